"""What OneLogin sends: whole users by PUT from an editable template, memberships by PATCH.

OneLogin publishes little of its wire format; where it says nothing, the RFC's plainest form is sent.
"""

from __future__ import annotations

from typing import Any

from scimd.cli.doctor.checks import ENTERPRISE, GROUP, USER, echoes
from scimd.cli.doctor.play import Sequence, Source
from scimd.cli.doctor.sequences.common import (
    connects,
    finds,
    finds_nobody,
    has_members,
    id_of,
    is_active,
    is_inactive,
    makes,
    offers_groups,
    patches,
    puts,
    reads,
    refuse_plain_http,
    removes,
)
from scimd.cli.doctor.stage import Stage

CREATE_APP = Source("Create a SCIM test app", "developers.onelogin.com/scim/create-app")
TEST = Source("Test your SCIM implementation", "developers.onelogin.com/scim/test-your-scim")

SEQUENCE = Sequence("onelogin", "OneLogin")
step = SEQUENCE.step

WHOLE = "Accept a PUT of the whole user and store what it says."


def person(stage: Stage, who: str, family: str = "Àbrecht", *, active: bool = True) -> dict[str, Any]:
    name = stage.names.user(who)
    return {
        "schemas": [USER, ENTERPRISE],
        "userName": name,
        "externalId": stage.names.external(who),
        "name": {
            "givenName": who.capitalize(),
            "familyName": family,
            "formatted": f"{who.capitalize()} {family}",
        },
        "emails": [{"value": name, "type": "work", "primary": True}],
        "active": active,
        ENTERPRISE: {"department": "Research"},
    }


@step("Enable: OneLogin connects to the base URL", CREATE_APP, makes=("endpoint",))
async def connect(stage: Stage) -> None:
    reply = await stage.get("/Users", startIndex=1, count=1)
    refuse_plain_http(stage, reply)
    await connects(stage, reply)


@step("Refresh entitlements: OneLogin reads the groups", CREATE_APP, makes=("groups",))
async def ask_for_groups(stage: Stage) -> None:
    await offers_groups(stage, await stage.get("/Groups", startIndex=1, count=100))


@step("OneLogin looks for the person by userName", TEST)
async def look_up_unknown_person(stage: Stage) -> None:
    await finds_nobody(stage, "/Users", f'userName eq "{stage.names.user("anna")}"')


@step("OneLogin creates the person from its template", CREATE_APP, makes=("user:anna",))
async def create_person(stage: Stage) -> None:
    await makes(stage, "/Users", "user:anna", person(stage, "anna"))


@step("OneLogin creates a second person", CREATE_APP, makes=("user:ben",))
async def create_second_person(stage: Stage) -> None:
    await makes(stage, "/Users", "user:ben", person(stage, "ben"))


@step("OneLogin finds the person again", TEST, needs=("user:anna",))
async def find_person(stage: Stage) -> None:
    await finds(stage, "/Users", f'userName eq "{stage.names.user("anna")}"', "user:anna")


@step("OneLogin updates: PUT of the whole user", TEST, needs=("user:anna",))
async def put_whole_person(stage: Stage) -> None:
    changed = person(stage, "anna", "Zöllner")
    await puts(stage, "user:anna", changed, mend=WHOLE)
    await reads(stage, "user:anna", *echoes(changed))


@step("Suspend: active false", TEST, needs=("user:anna",))
async def suspend(stage: Stage) -> None:
    await puts(stage, "user:anna", person(stage, "anna", "Zöllner", active=False), mend=WHOLE)
    await is_inactive(stage, "user:anna", stage.names.user("anna"))


@step("Unsuspend: active true", TEST, needs=("user:anna",))
async def unsuspend(stage: Stage) -> None:
    on = {"op": "replace", "path": "active", "value": True}
    await patches(stage, "user:anna", on, mend="Accept PATCH replace on active.")
    await is_active(stage, "user:anna")


@step("OneLogin creates a group of a role's name", CREATE_APP, needs=("groups",), makes=("group:one",))
async def create_group(stage: Stage) -> None:
    body = {"schemas": [GROUP], "displayName": stage.names.group("engineers")}
    await makes(stage, "/Groups", "group:one", body)


@step("OneLogin assigns: PATCH add members", TEST, needs=("group:one", "user:anna", "user:ben"))
async def add_members(stage: Stage) -> None:
    mend = "Add members by PATCH add on members, and keep those who are there."
    for key in ("user:anna", "user:ben", "user:ben"):
        add = {"op": "add", "path": "members", "value": [{"value": id_of(stage, key)}]}
        await patches(stage, "group:one", add, mend=mend)
    await reads(stage, "group:one", has_members(stage, "user:anna", "user:ben", mend=mend))


@step(
    "OneLogin unassigns: PATCH remove members[value eq …]", TEST, needs=("group:one", "user:anna", "user:ben")
)
async def remove_member(stage: Stage) -> None:
    remove = {"op": "remove", "path": f'members[value eq "{id_of(stage, "user:ben")}"]'}
    mend = "Remove exactly the member that the value filter names (RFC 7644 §3.5.2.2)."
    await patches(stage, "group:one", remove, mend=mend)
    await reads(stage, "group:one", has_members(stage, "user:anna", mend=mend))


@step("Delete: OneLogin deletes the person", TEST, needs=("user:ben",))
async def delete_person(stage: Stage) -> None:
    await removes(stage, "user:ben", filter_=f'userName eq "{stage.names.user("ben")}"')
