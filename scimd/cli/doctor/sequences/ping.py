"""What PingOne sends: a look-up filter that an admin writes, groups merged by PATCH or overwritten by PUT."""

from __future__ import annotations

from typing import Any

from scimd.cli.doctor.checks import ENTERPRISE, GROUP, USER, echoes, value
from scimd.cli.doctor.play import Sequence, Source
from scimd.cli.doctor.sequences.common import (
    INACTIVE,
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

BASE = "docs.pingidentity.com/pingone/integrations/"
CONNECTION = Source(
    "Creating a SCIM connection", "docs.pingidentity.com/r/en-us/pingone/p1_create_scim_connection"
)
FILTERS = Source("SCIM filter expressions", BASE + "p1_scim_filter_expressions.html")
FEATURES = Source("SCIM provisioning features", BASE + "p1_scim_provisioning_features.html")
GROUPS = Source(
    "Configuring outbound group provisioning",
    BASE + "p1_provisioning_configuring_outbound_group_provisioning.html",
)

SEQUENCE = Sequence("ping", "PingOne")
step = SEQUENCE.step


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
        "displayName": f"{who.capitalize()} {family}",
        "emails": [{"value": name, "type": "work", "primary": True}],
        "active": active,
        ENTERPRISE: {"department": "Research"},
    }


@step("Test connection: PingOne lists people", CONNECTION, makes=("endpoint",))
async def connect(stage: Stage) -> None:
    reply = await stage.get("/Users", startIndex=1, count=1)
    refuse_plain_http(stage, reply)
    await connects(stage, reply)


@step("PingOne asks for the groups", GROUPS, makes=("groups",))
async def ask_for_groups(stage: Stage) -> None:
    await offers_groups(stage, await stage.get("/Groups", startIndex=1, count=100))


@step("PingOne looks for the person by its default filter", FILTERS)
async def look_up_unknown_person(stage: Stage) -> None:
    await finds_nobody(stage, "/Users", f'userName eq "{stage.names.user("anna")}"')


@step("PingOne creates the person", FEATURES, makes=("user:anna",))
async def create_person(stage: Stage) -> None:
    await makes(stage, "/Users", "user:anna", person(stage, "anna"))


@step("PingOne provisions a disabled user", FEATURES, makes=("user:ben",))
async def create_disabled_person(stage: Stage) -> None:
    await makes(stage, "/Users", "user:ben", person(stage, "ben", active=False))
    await reads(stage, "user:ben", value("active", is_=False, mend=INACTIVE))


@step('An admin\'s filter: username Eq "%s", in other capitals', FILTERS, needs=("user:anna",))
async def find_by_written_filter(stage: Stage) -> None:
    await finds(stage, "/Users", f'username Eq "{stage.names.user("anna")}"', "user:anna")


@step('An admin\'s filter: emails.value Co "%s"', FILTERS, needs=("user:anna",))
async def find_by_part_of_address(stage: Stage) -> None:
    await finds(stage, "/Users", f'emails.value Co "{stage.names.user("anna")}"', "user:anna")


@step("PingOne overwrites: PUT of the whole user", FEATURES, needs=("user:anna",))
async def put_whole_person(stage: Stage) -> None:
    changed = person(stage, "anna", "Zöllner")
    await puts(stage, "user:anna", changed, mend="Accept a PUT of the whole user and store what it says.")
    await reads(stage, "user:anna", *echoes(changed))


@step("PingOne merges: PATCH without a path", FEATURES, needs=("user:anna",))
async def patch_person(stage: Stage) -> None:
    mend = "Accept a path-less replace, and merge complex values with what is stored (RFC 7644 §3.5.2.3)."
    change = {"displayName": "Anna Abt", "name": {"familyName": "Abt"}}
    await patches(stage, "user:anna", {"op": "replace", "value": change}, mend=mend)
    await reads(
        stage, "user:anna",
        value("displayName", is_="Anna Abt", mend=mend), value("name", "familyName", is_="Abt", mend=mend),
        value("name", "givenName", is_="Anna", mend=mend, severity="should"),
    )  # fmt: skip


@step("PingOne disables on deprovisioning", FEATURES, needs=("user:anna",))
async def disable(stage: Stage) -> None:
    off = {"op": "replace", "path": "active", "value": False}
    await patches(stage, "user:anna", off, mend="Accept PATCH replace on active.")
    await is_inactive(stage, "user:anna", stage.names.user("anna"))


@step("PingOne enables", FEATURES, needs=("user:anna",))
async def enable(stage: Stage) -> None:
    on = {"op": "replace", "path": "active", "value": True}
    await patches(stage, "user:anna", on, mend="Accept PATCH replace on active.")
    await is_active(stage, "user:anna")


@step("PingOne looks for the group by name, then creates it", GROUPS, needs=("groups",), makes=("group:one",))
async def create_group(stage: Stage) -> None:
    name = stage.names.group("engineers")
    await finds_nobody(stage, "/Groups", f'displayName eq "{name}"')
    await makes(stage, "/Groups", "group:one", {"schemas": [GROUP], "displayName": name})


@step("Merge: PATCH adds to the members who are there", GROUPS, needs=("group:one", "user:anna", "user:ben"))
async def merge_members(stage: Stage) -> None:
    mend = "Add members by PATCH add on members; keep those who are there, the inactive ones, too."
    for key in ("user:anna", "user:ben", "user:ben"):
        add = {"op": "add", "path": "members", "value": [{"value": id_of(stage, key)}]}
        await patches(stage, "group:one", add, mend=mend)
    await reads(stage, "group:one", has_members(stage, "user:anna", "user:ben", mend=mend))


@step("Overwrite: PUT of the group with its members", GROUPS, needs=("group:one", "user:anna", "user:ben"))
async def overwrite_members(stage: Stage) -> None:
    name = stage.names.group("engineers")
    body = {"schemas": [GROUP], "displayName": name, "members": [{"value": id_of(stage, "user:anna")}]}
    mend = "Let a PUT of a group set exactly the members that it carries."
    await puts(stage, "group:one", body, mend=mend)
    await reads(stage, "group:one", has_members(stage, "user:anna", mend=mend))


@step("PingOne deletes the group", GROUPS, needs=("group:one",))
async def delete_group(stage: Stage) -> None:
    await removes(stage, "group:one", filter_=f'displayName eq "{stage.names.group("engineers")}"')


@step("PingOne deletes the person on deprovisioning", FEATURES, needs=("user:anna",))
async def delete_person(stage: Stage) -> None:
    await removes(stage, "user:anna", filter_=f'userName eq "{stage.names.user("anna")}"')
