"""The second half of Entra's sequence: groups, and the end of people and groups."""

from __future__ import annotations

from typing import Any

from scimd.cli.doctor.checks import GROUP, SCIM_JSON, Check, absent, listing, rather, status, value
from scimd.cli.doctor.client import together
from scimd.cli.doctor.play import Sequence
from scimd.cli.doctor.sequences.common import (
    LOOK_UP,
    finds,
    has_members,
    id_of,
    makes_somehow,
    patches,
    reads,
    refuses_twin,
    removes,
)
from scimd.cli.doctor.sequences.entra_people import ISSUES, TUTORIAL, WORKS, person, plain
from scimd.cli.doctor.stage import Stage

GROUPS = Sequence("entra", "Microsoft Entra ID")
step = GROUPS.step

EXTRA_SCHEMA = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"
CROWD = ("Cleo", "Dora", "Emil", "Finn")
ALL = ("user:anna", "user:ben", *(f"user:{who.lower()}" for who in CROWD))


def group(stage: Stage) -> dict[str, Any]:
    return {
        "schemas": [GROUP, EXTRA_SCHEMA],
        "externalId": stage.names.external("group"),
        "displayName": stage.names.group("Engineers"),
        "meta": {"resourceType": "Group"},
    }


@step("Entra creates the group empty, with a schema of its own and meta", TUTORIAL,
      needs=("groups",), makes=("group:one",))  # fmt: skip
async def create_group(stage: Stage) -> None:
    mend = f"Ignore the schema {EXTRA_SCHEMA} and meta in a new group."
    body = group(stage)
    await makes_somehow(stage, "/Groups", "group:one", body, plain(body) | {"schemas": [GROUP]}, mend=mend)


@step("Entra reads the group without its members", TUTORIAL, needs=("group:one", "user:anna"))
async def read_group_without_members(stage: Stage) -> None:
    add = {"op": "Add", "path": "members", "value": [{"$ref": None, "value": id_of(stage, "user:anna")}]}
    null_ref = "Accept $ref: null in members."
    await patches(stage, "group:one", add, mend=null_ref)
    await reads(stage, "group:one", has_members(stage, "user:anna", mend=null_ref))
    mend = "Honour excludedAttributes=members, by id and in lists: Entra asks so for every group."
    reply = await stage.get(stage.kept["group:one"], excludedAttributes="members")
    stage.expect(reply, status(200, mend=mend), SCIM_JSON, absent("members", mend=mend))
    name = stage.names.group("Engineers")
    bare = Check(
        lambda r: "members are in the list" if any(row.get("members") for row in r.resources) else None, mend
    )
    await finds(stage, "/Groups", f'displayName eq "{name}"', "group:one", bare, excludedAttributes="members")


@step("Entra creates a group whose displayName is taken", TUTORIAL, needs=("group:one",))
async def create_group_twice(stage: Stage) -> None:
    mend = "Refuse a second group of the same displayName with 409: Entra matches groups by it."
    twin = group(stage) | {"externalId": stage.names.external("twin")}
    await refuses_twin(stage, "/Groups", twin, mend, must=False)


@step("Entra adds a member and expects 204", TUTORIAL, needs=("group:one", "user:anna", "user:ben"))
async def add_member(stage: Stage) -> None:
    add = {"op": "Add", "path": "members", "value": [{"$ref": None, "value": id_of(stage, "user:ben")}]}
    reply = await patches(stage, "group:one", add, mend="Add members by Add on members.")
    empty = "Answer 204 without a body to a PATCH of a group; a list of all members costs both sides dearly."
    stage.expect(reply, rather(204, empty))
    mend = "Add members to those who are there, keep the rest."
    await reads(stage, "group:one", has_members(stage, "user:anna", "user:ben", mend=mend))


@step("Entra adds a member who is there already", TUTORIAL, needs=("group:one", "user:anna", "user:ben"))
async def add_member_again(stage: Stage) -> None:
    add = {"op": "Add", "path": "members", "value": [{"$ref": None, "value": id_of(stage, "user:ben")}]}
    mend = "Treat adding a present member as done: answer 204 and change nothing."
    await patches(stage, "group:one", add, mend=mend)
    await reads(stage, "group:one", has_members(stage, "user:anna", "user:ben", mend=mend))


@step("Entra asks whether somebody is a member: id eq … and members eq …", TUTORIAL,
      needs=("group:one", "user:anna"))  # fmt: skip
async def ask_for_membership(stage: Stage) -> None:
    mend = "Support the filter id eq … and members eq … on /Groups."
    own, nobody = id_of(stage, "group:one"), stage.names.external("nobody")
    for member, found in ((id_of(stage, "user:anna"), 1), (nobody, 0)):
        filter_ = f'id eq "{own}" and members eq "{member}"'
        reply = await stage.search("/Groups", filter_, excludedAttributes="members")
        stage.expect(reply, status(200, mend=mend), SCIM_JSON, *listing(found, mend=mend))


@step("Entra creates more people", TUTORIAL, makes=ALL[2:])
async def create_crowd(stage: Stage) -> None:
    for who in CROWD:
        body = person(stage, who, "Crowd")
        await makes_somehow(stage, "/Users", f"user:{who.lower()}", body, plain(body))


@step("Entra adds members in parallel", TUTORIAL, needs=("group:one", *ALL))
async def add_members_in_parallel(stage: Stage) -> None:
    mend = "Add members under a lock, or as rows of their own: parallel requests must not undo each other."
    replies = await together(
        *(
            stage.patch(
                stage.kept["group:one"],
                {"op": "Add", "path": "members", "value": [{"$ref": None, "value": id_of(stage, key)}]},
            )
            for key in ALL[2:]
        )
    )
    for reply in replies:
        stage.expect(reply, status(204, 200, mend=mend))
    await reads(stage, "group:one", has_members(stage, *ALL, mend=mend))


@step(
    "Entra removes a member by a list of values: Remove members [{value}]", ISSUES, needs=("group:one", *ALL)
)
async def remove_by_value_list(stage: Stage) -> None:
    gone = {"$ref": None, "value": id_of(stage, "user:cleo")}
    mend = "Where a remove on members carries a value list, remove those members only, never all."
    await patches(stage, "group:one", {"op": "Remove", "path": "members", "value": [gone]}, mend=mend)
    rest = (key for key in ALL if key != "user:cleo")
    await reads(stage, "group:one", has_members(stage, *rest, mend=mend))


@step("With aadOptscim062020: remove members[value eq …]", ISSUES, needs=("group:one", *ALL))
async def remove_by_value_filter(stage: Stage) -> None:
    path = f'members[value eq "{id_of(stage, "user:dora")}"]'
    mend = "Remove exactly the member that the value filter names (RFC 7644 §3.5.2.2)."
    await patches(stage, "group:one", {"op": "remove", "path": path}, mend=mend)
    rest = (key for key in ALL if key not in ("user:cleo", "user:dora"))
    await reads(stage, "group:one", has_members(stage, *rest, mend=mend))


@step("Entra renames the group", TUTORIAL, needs=("group:one", *ALL))
async def rename_group(stage: Stage) -> None:
    name = stage.names.group("Engineering")
    mend = "Rename the group, and leave its members alone."
    await patches(stage, "group:one", {"op": "Replace", "path": "displayName", "value": name}, mend=mend)
    rest = (key for key in ALL if key not in ("user:cleo", "user:dora"))
    await reads(
        stage, "group:one", value("displayName", is_=name, mend=mend), has_members(stage, *rest, mend=mend)
    )


@step("Entra re-enables a person and does not send the memberships again", WORKS, needs=("group:one", *ALL))
async def keep_memberships_while_disabled(stage: Stage) -> None:
    for active in ("False", "True"):
        off = {"op": "Replace", "path": "active", "value": active}
        await patches(stage, "user:anna", off, mend='Accept "True" and "False" for active.')
    mend = "Keep the memberships of a disabled person: Entra does not send them again on re-enabling."
    rest = (key for key in ALL if key not in ("user:cleo", "user:dora"))
    await reads(stage, "group:one", has_members(stage, *rest, mend=mend))


@step("Entra deletes a person (after 30 days in its recycle bin)", WORKS, needs=("user:emil",))
async def delete_person(stage: Stage) -> None:
    stage.kept["gone"] = id_of(stage, "user:emil")
    await removes(stage, "user:emil", filter_=f'userName eq "{stage.names.user("Emil")}"')


@step(
    "A deleted person is in no group",
    TUTORIAL,
    needs=("gone", "group:one", "user:anna", "user:ben", "user:finn"),
)
async def deleted_person_left_groups(stage: Stage) -> None:
    mend = "Take a deleted person out of every group."
    await reads(stage, "group:one", has_members(stage, "user:anna", "user:ben", "user:finn", mend=mend))


@step(
    "Entra creates somebody new, who gets an id of their own", TUTORIAL, needs=("gone",), makes=("user:gina",)
)
async def ids_are_not_reused(stage: Stage) -> None:
    body = person(stage, "Gina", "Neu")
    await makes_somehow(stage, "/Users", "user:gina", body, plain(body))
    if id_of(stage, "user:gina") == stage.kept["gone"]:
        stage.find(
            "must", "a new person got the id of a deleted one",
            "Never give an id a second time (RFC 7643 §3.1): the provider would mix up two people.",
            stage.replies[-1],
        )  # fmt: skip


@step("Entra deletes the group", TUTORIAL, needs=("group:one",))
async def delete_group(stage: Stage) -> None:
    await removes(stage, "group:one", filter_=f'displayName eq "{stage.names.group("Engineering")}"')
    stage.expect(
        await stage.search("/Groups", f'displayName eq "{stage.names.external("probe")}"'),
        status(200, mend=LOOK_UP),
    )
