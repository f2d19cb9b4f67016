"""``scimd user show``: one person with all that is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.markup import escape

from scimd.cli import user_explain
from scimd.cli.common import (
    ConfigOption,
    JsonOption,
    OrgOption,
    in_organization,
    out,
    print_json,
    print_table,
)
from scimd.cli.user import COLUMNS, status_of
from scimd.core.people import OrgId
from scimd.core.profile import Profile
from scimd.core.standing import Reason, Standing
from scimd.org.authentication import sign_in_reads
from scimd.org.authentication.sessions import SessionRecord
from scimd.org.invitations import invitation_list
from scimd.org.invitations.invitation_list import InvitationRecord
from scimd.org.organizations import settings
from scimd.org.tx import Context, Door
from scimd.org.users import admin_reads, user_page
from scimd.org.users.admin_reads import AssertionRow
from scimd.org.users.user_reads import UserRow
from scimd.org.windows import Window


def register(app: typer.Typer) -> None:
    """Add the command to ``scimd user``."""
    app.command("show")(show)


@dataclass(frozen=True, slots=True)
class _Whole:
    """One person as ``show --json`` prints them; ``person`` is a line of the list."""

    person: UserRow
    profile: Profile
    has_picture: bool
    sessions: Sequence[SessionRecord]
    invitations: Sequence[InvitationRecord]
    assertions: Sequence[AssertionRow]
    standing: Standing
    unsettled: bool


def show(
    who: Annotated[str, typer.Argument(help="An id, a user name or an address.")],
    org: OrgOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show one person: profile, sessions, invitations, sources, and the reasons behind their access."""

    async def work(door: Door, ctx: Context) -> tuple[_Whole, list[Reason], str | None]:
        found = await _whole(door, ctx.org_id, who)
        reasons = await user_explain.in_words(door, ctx.org_id, found.standing.reasons)
        return found, reasons, await settings.active_label(door, ctx.org_id)

    whole, reasons, active = in_organization(config, org, work)
    if json:
        print_json(whole)
    else:
        _print(whole, reasons, active)


async def _whole(door: Door, org_id: OrgId, who: str) -> _Whole:
    page = await admin_reads.show_person(door, org_id, who)
    found = await user_page.get(door, org_id, page.person.id)
    who = found.user.id
    live = await sign_in_reads.list_sessions(
        door, org_id, Window(100, sort="-last_active"), person_id=who, live=True
    )
    invited = await invitation_list.window(door, org_id, Window(100, sort="-created"), person=who)
    return _Whole(
        found.user, found.profile, found.has_picture, live.rows, invited.rows, page.assertions,
        page.standing, page.unsettled,
    )  # fmt: skip


def _print(whole: _Whole, reasons: Sequence[Reason], active: str | None) -> None:
    row = whole.person
    out.print(
        f"[bold]{escape(row.display_name)}[/bold]  {escape(row.email or 'no address')}  {escape(row.id)}"
    )
    causes = f" ({', '.join(row.causes)})" if row.causes else ""
    seat = "has a seat" if row.has_seat else "no seat"
    out.print(f"{status_of(row, active)}{causes}, {seat}, roles {', '.join(row.roles)}", markup=False)
    print_table("", ("", ""), _known(whole), empty="")
    print_table("Sources", ("Source", "External id", "User name", "Active", "State"),
        ((a.source_name, a.external_id, a.user_name, a.active, a.state) for a in whole.assertions),
        empty="No source lists this person.",
    )  # fmt: skip
    print_table("Sessions", ("Device", "IP address", "Last active", "Id"),
        ((each.device, each.ip, each.last_active_at, each.id) for each in whole.sessions),
        empty="Not signed in anywhere.",
    )  # fmt: skip
    print_table("Invitations", ("Status", "Sent", "Expires", "Invited by", "Id"),
        ((each.status, each.sent_at, each.expires_at, each.invited_by, each.id)
         for each in whole.invitations),
        empty="Never invited.",
    )  # fmt: skip
    print_table("Why", ("About", "Fact", "Outcome", "Because"),
        ((reason.about, reason.fact, reason.verdict, reason.why) for reason in reasons),
        empty="",
    )  # fmt: skip


def _known(whole: _Whole) -> list[tuple[str, object]]:
    """What there is of the profile and the list's columns, a line each."""
    row, profile = whole.person, whole.profile
    name = " ".join(filter(None, (profile.given_name, profile.family_name)))
    lines = (
        ("Full name", name), ("User name", row.user_name), ("Title", profile.title),
        ("Department", profile.department), ("Employee number", profile.employee_number),
        ("Employed since", profile.employment_start), ("Phone", profile.phones),
        ("Postal address", "; ".join(profile.addresses)), ("Picture", profile.picture_url),
        *((title, COLUMNS[key][1](row)) for title, key in (
            ("Team", "team"), ("Projects", "projects"), ("Licences", "licences"), ("Source", "source"),
            ("Owner", "owner"), ("Approved", "approved"), ("Partner", "partner"), ("Created", "created"),
            ("Created by", "created-by"), ("Last login", "last-login"),
        )),
    )  # fmt: skip
    return [(title, value) for title, value in lines if value not in (None, "", (), [])]
