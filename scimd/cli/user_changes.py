"""``scimd user``: what an operator changes of people by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    confirmed,
    each_person,
    in_organization,
    lifetime,
    said,
)
from scimd.cli.user_import import import_
from scimd.core.people import UNSET, LicenceId, OrgId, PersonId, ProjectId, RoleName, TeamId
from scimd.core.roles import MEMBER, USER
from scimd.org.authentication import second_factors
from scimd.org.grants import assignments, named, project_upkeep
from scimd.org.identities import detaching, moving
from scimd.org.organizations import partner_approvals
from scimd.org.tx import Context, Door
from scimd.org.users import gates, local_people
from scimd.org.users.local_people import Edit, NewPerson, NewServiceAccount

Who = Annotated[list[str], typer.Argument(help="Ids, user names or addresses.")]
OneWho = Annotated[str, typer.Argument(help="An id, a user name or an address.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def register(app: typer.Typer) -> None:
    """Add the commands to ``scimd user``."""
    for name, command in (
        ("add", add), ("add-service", add_service), ("edit", edit), ("role", role), ("team", team),
        ("project", project), ("licence", licence), ("disable", disable), ("enable", enable),
        ("deactivate", deactivate), ("reactivate", reactivate), ("delete", delete), ("restore", restore),
        ("move", move), ("reset-password", reset_password),
        ("reset-second-factor", reset_second_factor), ("approve", approve), ("detach", detach),
        ("import", import_),
    ):  # fmt: skip
        app.command(name)(command)


# ------------------------------------------------------------------------------ adding, editing


def add(
    email: Annotated[str, typer.Argument(help="The address to sign in with; the mail goes there.")],
    user_name: Annotated[str | None, typer.Option(help="Small letters, digits, dashes.")] = None,
    display_name: Annotated[str | None, typer.Option(help="Any text.")] = None,
    role: Annotated[str, typer.Option(help="The organization role.")] = USER,
    project: Annotated[
        list[str] | None, typer.Option(help="NAME or NAME=ROLE; may be given several times.")
    ] = None,
    team: Annotated[str | None, typer.Option(help="The team's name.")] = None,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Add a person directly; a link to set a password goes by mail and works for three hours by default."""

    async def work(door: Door, ctx: Context) -> PersonId:
        new = NewPerson(
            email,
            user_name,
            display_name,
            RoleName(role),
            await projects_named(door, ctx.org_id, project or []) or None,
            TeamId((await named.by_name(door, ctx.org_id, "team", team)).id) if team else None,
        )
        return await local_people.add(door, ctx, new)

    _added(in_organization(config, org, work), json)


def add_service(
    user_name: Annotated[str, typer.Argument(help="Small letters, digits, dashes.")],
    owner: Annotated[str, typer.Option(help="Who answers for it.")],
    display_name: Annotated[str | None, typer.Option(help="Any text.")] = None,
    role: Annotated[str, typer.Option(help="The organization role.")] = USER,
    expires: Annotated[str | None, typer.Option(help="After how long, such as 90d; else never.")] = None,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Add a service account: no mail, no password, no seat; no source ever matches it."""

    async def work(door: Door, ctx: Context) -> PersonId:
        until = _until(door, expires)
        new = NewServiceAccount(user_name, display_name or user_name, owner, RoleName(role), until)
        return await local_people.add_service_account(door, ctx, new)

    _added(in_organization(config, org, work), json)


def _until(door: Door, expires: str | None) -> datetime | None:
    span = lifetime(expires, "--expires")
    return None if span is None else door.clock() + span


def _added(person_id: PersonId, json: bool) -> None:
    said({"id": person_id}, f"Added: {person_id}", json=json)


async def projects_named(door: Door, org_id: OrgId, words: list[str]) -> dict[ProjectId, RoleName]:
    """``Alpha`` or ``Alpha=viewer`` → the project's id and the role in it. Raises NotFound."""
    found: dict[ProjectId, RoleName] = {}
    for word in words:
        name, _, role = word.rpartition("=") if "=" in word else (word, "", "")
        record = await project_upkeep.by_name(door, org_id, name)
        found[record.id] = RoleName(role) if role else MEMBER
    return found


def edit(
    who: OneWho,
    user_name: Annotated[str | None, typer.Option(help="Small letters, digits, dashes.")] = None,
    display_name: Annotated[str | None, typer.Option(help='Any text; "" for none.')] = None,
    email: Annotated[str | None, typer.Option(help="The new address; the person confirms it.")] = None,
    expires: Annotated[
        str | None, typer.Option(help="Of a service account: after how long, such as 90d, or never.")
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Of a service account: who answers for it.")] = None,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Change user name, display name or address; owner or end of a service account."""
    if all(each is None for each in (user_name, display_name, email, expires, owner)):
        raise typer.BadParameter(
            "Give at least one of --user-name, --display-name, --email, --expires or --owner."
        )

    async def work(door: Door, ctx: Context, person_id: PersonId) -> None:
        wanted = Edit(
            UNSET if user_name is None else user_name,
            UNSET if display_name is None else display_name,
            UNSET if email is None else email,
            UNSET if expires is None else _until(door, expires),
            UNSET if owner is None else owner,
        )
        await local_people.edit(door, ctx, person_id, wanted)

    each_person(config, org, [who], work, done="changed", json=json)


# ------------------------------------------------------------------------------ what they have


def role(
    who: Who,
    set_: Annotated[str | None, typer.Option("--set", help="The role, in place of others by hand.")] = None,
    add: Annotated[str | None, typer.Option(help="A further role.")] = None,
    remove: Annotated[str | None, typer.Option(help="A role that a hand gave.")] = None,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Change organization roles."""
    _one_of(set_, add, remove, names="--set, --add or --remove")

    async def work(door: Door, ctx: Context, person_id: PersonId) -> None:
        if set_:
            await assignments.set_role(door, ctx, person_id, RoleName(set_))
        elif add:
            await assignments.add_role(door, ctx, person_id, RoleName(add))
        else:
            await assignments.remove_role(door, ctx, person_id, RoleName(str(remove)))

    each_person(config, org, who, work, done="roles changed", json=json)


def team(
    who: Who,
    set_: Annotated[str | None, typer.Option("--set", help="The team's name.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Take away the team that a hand gave.")] = False,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Put people into a team; each is in one."""
    _one_of(set_, none or None, names="--set or --none")

    async def work(door: Door, ctx: Context, person_id: PersonId) -> None:
        found = await named.by_name(door, ctx.org_id, "team", set_) if set_ else None
        await assignments.set_team(door, ctx, person_id, TeamId(found.id) if found else None)

    each_person(config, org, who, work, done="team changed", json=json)


def project(
    who: Who,
    add: Annotated[str | None, typer.Option(help="The project's name.")] = None,
    remove: Annotated[str | None, typer.Option(help="The project's name.")] = None,
    role: Annotated[str, typer.Option(help="With --add: owner, member or viewer.")] = MEMBER,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Let people take part in a project, in a role, or take them out of it."""
    _one_of(add, remove, names="--add or --remove")

    async def work(door: Door, ctx: Context, person_id: PersonId) -> None:
        found = await project_upkeep.by_name(door, ctx.org_id, str(add or remove))
        if add:
            await assignments.set_project(door, ctx, person_id, found.id, RoleName(role))
        else:
            await assignments.remove_project(door, ctx, person_id, found.id)

    each_person(config, org, who, work, done="projects changed", json=json)


def licence(
    who: Who,
    give: Annotated[str | None, typer.Option(help="The licence's name.")] = None,
    take: Annotated[str | None, typer.Option(help="The licence's name.")] = None,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Give people a licence by hand, or take it back."""
    _one_of(give, take, names="--give or --take")

    async def work(door: Door, ctx: Context, person_id: PersonId) -> None:
        found = LicenceId((await named.by_name(door, ctx.org_id, "licence", str(give or take))).id)
        change = assignments.give_licence if give else assignments.take_licence
        await change(door, ctx, person_id, found)

    each_person(config, org, who, work, done="licences changed", json=json)


def _one_of(*given: object, names: str) -> None:
    if sum(value is not None for value in given) != 1:
        raise typer.BadParameter(f"Give one of {names}.")


# ------------------------------------------------------------------------------ gates


def disable(who: Who, org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Sign out and lock people, until they are enabled again; no push undoes it."""
    each_person(config, org, who, gates.disable, done="disabled", json=json)


def enable(who: Who, org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Lift a disabling."""
    each_person(config, org, who, gates.enable, done="enabled", json=json)


def deactivate(
    who: Who, yes: Yes = False, org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Take access and seat away at once; account and grants stay, and can come back."""
    confirmed(f"Deactivate {', '.join(who)}?", yes=yes, json=json)
    each_person(config, org, who, gates.deactivate, done="deactivated", json=json)


def reactivate(
    who: Who, org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Lift a deactivation by an admin, if there is a seat."""
    each_person(config, org, who, gates.reactivate, done="reactivated", json=json)


def delete(
    who: Who, yes: Yes = False, org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Delete people; they can be restored for 30 days."""
    confirmed(f"Delete {', '.join(who)}? They can be restored for 30 days.", yes=yes, json=json)
    each_person(config, org, who, gates.delete, done="deleted", json=json)


def restore(who: Who, org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Bring back people who were deleted within the last 30 days."""
    each_person(config, org, who, gates.restore, done="restored", json=json, deleted=True)


# ------------------------------------------------------------------------------ the rest


def reset_password(
    who: Who, org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Sign people out everywhere, and mail them a link to set a new password."""

    async def work(door: Door, ctx: Context, person_id: PersonId) -> None:
        await local_people.reset_password(door, ctx, [person_id])

    each_person(config, org, who, work, done="a link was sent", json=json)


def reset_second_factor(
    who: Who, org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """Take all second factors from people who lost theirs, and sign them out everywhere."""

    async def work(door: Door, ctx: Context, person_id: PersonId) -> None:
        await second_factors.reset(door, ctx, [person_id])

    each_person(config, org, who, work, done="second factors removed", json=json)


def approve(who: Who, org: OrgOption = None, config: ConfigOption = None, json: JsonOption = False) -> None:
    """Approve people in an organization that requires a partner's approval."""
    each_person(config, org, who, partner_approvals.approve, done="approved", json=json)


def detach(
    who: Who,
    source: Annotated[str, typer.Option(help="The source to detach them from.")],
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Turn what a source says of people into history; their profile is a local one from then on."""

    async def work(door: Door, ctx: Context, person_id: PersonId) -> None:
        await detaching.detach(door, ctx, person_id, source)

    each_person(config, org, who, work, done=f"detached from {source}", json=json)


def move(
    who: OneWho,
    to: Annotated[str, typer.Option(help="The organization to move to.")],
    yes: Yes = False,
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Move somebody without a source to another organization; project grants stay behind."""
    confirmed(f"Move {who} to {to}?", yes=yes, json=json)

    async def work(door: Door, ctx: Context, person_id: PersonId) -> None:
        await moving.move(door, ctx, person_id, to)

    each_person(config, org, [who], work, done=f"moved to {to}", json=json)
