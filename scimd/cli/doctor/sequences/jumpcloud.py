"""What JumpCloud sends: a test user and a test group on activation, removals by a list of values."""

from __future__ import annotations

from typing import Any

from scimd.cli.doctor.checks import GROUP, USER, echoes
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

CUSTOM = Source(
    "Identity Management using a custom SCIM integration",
    "jumpcloud.com/support/provision-and-manage-users-and-groups-in-apps-using-custom-scim-identity-management-integration",
)

SEQUENCE = Sequence("jumpcloud", "JumpCloud")
step = SEQUENCE.step

WHOLE = "Accept a PUT of the whole user and store what it says."


def person(stage: Stage, who: str, family: str = "Àbrecht", *, active: bool = True) -> dict[str, Any]:
    name = stage.names.user(who)
    return {
        "schemas": [USER],
        "userName": name,
        "externalId": stage.names.external(who).replace("-", "")[:24],
        "name": {"givenName": who.capitalize(), "familyName": family},
        "displayName": f"{who.capitalize()} {family}",
        "emails": [{"value": name, "type": "work", "primary": True}],
        "active": active,
    }


@step("Test connection: JumpCloud lists people", CUSTOM, makes=("endpoint",))
async def connect(stage: Stage) -> None:
    reply = await stage.get("/Users", startIndex=1, count=1)
    refuse_plain_http(stage, reply)
    await connects(stage, reply)


@step("Test connection: JumpCloud lists groups", CUSTOM, makes=("groups",))
async def ask_for_groups(stage: Stage) -> None:
    await offers_groups(stage, await stage.get("/Groups", startIndex=1, count=1))


@step("Activation: JumpCloud looks for the test user", CUSTOM)
async def look_up_test_user(stage: Stage) -> None:
    await finds_nobody(stage, "/Users", f'userName eq "{stage.names.user("test")}"')


@step("Activation: JumpCloud creates a test user", CUSTOM, makes=("user:test",))
async def create_test_user(stage: Stage) -> None:
    await makes(stage, "/Users", "user:test", person(stage, "test"))


@step("Activation: JumpCloud updates the test user", CUSTOM, needs=("user:test",))
async def update_test_user(stage: Stage) -> None:
    changed = person(stage, "test", "Zöllner")
    await puts(stage, "user:test", changed, mend=WHOLE)
    await reads(stage, "user:test", *echoes(changed))


@step("Activation: JumpCloud creates a test group", CUSTOM, needs=("groups",), makes=("group:test",))
async def create_test_group(stage: Stage) -> None:
    body = {"schemas": [GROUP], "displayName": stage.names.group("test group"), "members": []}
    await makes(stage, "/Groups", "group:test", body)


@step("Activation: JumpCloud deletes the test group", CUSTOM, needs=("group:test",))
async def delete_test_group(stage: Stage) -> None:
    await removes(stage, "group:test", filter_=f'displayName eq "{stage.names.group("test group")}"')


@step("Activation: JumpCloud deletes the test user", CUSTOM, needs=("user:test",))
async def delete_test_user(stage: Stage) -> None:
    await removes(stage, "user:test", filter_=f'userName eq "{stage.names.user("test")}"')


@step("JumpCloud provisions a person", CUSTOM, makes=("user:anna",))
async def create_person(stage: Stage) -> None:
    await makes(stage, "/Users", "user:anna", person(stage, "anna"))


@step("JumpCloud provisions a second person", CUSTOM, makes=("user:ben",))
async def create_second_person(stage: Stage) -> None:
    await makes(stage, "/Users", "user:ben", person(stage, "ben"))


@step("JumpCloud deactivates: PUT with active false", CUSTOM, needs=("user:anna",))
async def put_deactivates(stage: Stage) -> None:
    await puts(stage, "user:anna", person(stage, "anna", active=False), mend=WHOLE)
    await is_inactive(stage, "user:anna", stage.names.user("anna"))


@step("JumpCloud activates: PATCH replace on active", CUSTOM, needs=("user:anna",))
async def patch_activates(stage: Stage) -> None:
    on = {"op": "replace", "path": "active", "value": True}
    await patches(stage, "user:anna", on, mend="Accept PATCH replace on active.")
    await is_active(stage, "user:anna")


@step("JumpCloud provisions a group", CUSTOM, needs=("groups",), makes=("group:one",))
async def create_group(stage: Stage) -> None:
    body = {"schemas": [GROUP], "displayName": stage.names.group("engineers"), "members": []}
    await makes(stage, "/Groups", "group:one", body)
    await finds(stage, "/Groups", f'displayName eq "{body["displayName"]}"', "group:one")


@step("JumpCloud adds members", CUSTOM, needs=("group:one", "user:anna", "user:ben"))
async def add_members(stage: Stage) -> None:
    mend = "Add members by PATCH add on members; one who is there already changes nothing."
    for key in ("user:anna", "user:ben", "user:ben"):
        add = {"op": "add", "path": "members", "value": [{"value": id_of(stage, key)}]}
        await patches(stage, "group:one", add, mend=mend)
    await reads(stage, "group:one", has_members(stage, "user:anna", "user:ben", mend=mend))


@step("JumpCloud removes a member by a list of values", CUSTOM, needs=("group:one", "user:anna", "user:ben"))
async def remove_by_value_list(stage: Stage) -> None:
    remove = {"op": "remove", "path": "members", "value": [{"value": id_of(stage, "user:ben")}]}
    mend = "Where a remove on members carries a value list, remove those members only, never all."
    await patches(stage, "group:one", remove, mend=mend)
    await reads(stage, "group:one", has_members(stage, "user:anna", mend=mend))


@step("JumpCloud deletes the group", CUSTOM, needs=("group:one",))
async def delete_group(stage: Stage) -> None:
    await removes(stage, "group:one", filter_=f'displayName eq "{stage.names.group("engineers")}"')
