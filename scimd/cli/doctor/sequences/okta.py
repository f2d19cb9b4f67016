"""What Okta sends: whole objects by PUT from custom apps, PATCH without a path from catalogue apps."""

from __future__ import annotations

from typing import Any

from scimd.cli.doctor.checks import (
    ENTERPRISE,
    GROUP,
    SCIM_JSON,
    USER,
    Check,
    echoes,
    listing,
    status,
    value,
)
from scimd.cli.doctor.client import Manner
from scimd.cli.doctor.play import Sequence, Source
from scimd.cli.doctor.sequences.common import (
    LOOK_UP,
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
    refuses_twin,
    removes,
    unknown_is_404,
)
from scimd.cli.doctor.stage import Stage

REFERENCE = Source(
    "Okta and SCIM Version 2.0", "developer.okta.com/docs/api/openapi/okta-scim/guides/scim-20"
)
FAQ = Source("SCIM: frequently asked questions", "developer.okta.com/docs/concepts/scim/faqs")
TESTS = Source("Okta SCIM 2.0 specification test", "developer.okta.com/standards/SCIM/SCIMFiles")
PUSH = Source("Okta and SCIM Version 2.0: group operations", REFERENCE.address)

SEQUENCE = Sequence("okta", "Okta", Manner(user_agent="Okta SCIM Client 1.0.0"))
step = SEQUENCE.step

WHOLE = "Accept a PUT of the whole object with id, meta and groups in it, and ignore those three."
NO_PATH = (
    "Accept PATCH operations without a path, whose value is an object of attributes (RFC 7644 §3.5.2.3)."
)


def person(stage: Stage, who: str, given: str, family: str) -> dict[str, Any]:
    name = stage.names.user(who)
    return {
        "schemas": [USER, ENTERPRISE],
        "userName": name,
        "name": {"givenName": given, "familyName": family},
        "emails": [{"primary": True, "value": name, "type": "work"}],
        "displayName": f"{given} {family}",
        "locale": "en-US",
        "externalId": f"00u{stage.names.random}{who}",
        "groups": [],
        "title": "Engineer",
        ENTERPRISE: {"department": "Research", "employeeNumber": "4711"},
        "password": f"Never-kept-{stage.names.random}",
        "active": True,
    }


def whole(stage: Stage, key: str, **changes: Any) -> dict[str, Any]:
    """The object as Okta PUTs it: what it knows, with the id and meta that the server gave."""
    sent = person(stage, "anna", "Anna", "Àbrecht") | changes
    del sent["password"]
    return sent | {"id": id_of(stage, key), "meta": {"resourceType": "User"}}


@step("Okta tests the API credentials: the first two people", TESTS, makes=("endpoint",))
async def connect(stage: Stage) -> None:
    reply = await stage.get("/Users", startIndex=1, count=2)
    refuse_plain_http(stage, reply)
    await connects(stage, reply)


@step("Okta asks for the groups, for import and push", REFERENCE, makes=("groups",))
async def ask_for_groups(stage: Stage) -> None:
    await offers_groups(stage, await stage.get("/Groups", startIndex=1, count=100))


@step("Okta looks whether the person exists, by userName", REFERENCE)
async def look_up_unknown_person(stage: Stage) -> None:
    filter_ = f'userName eq "{stage.names.user("anna")}"'
    await finds_nobody(stage, "/Users", filter_, startIndex=1, count=100)


@step("Okta reads an id that does not exist", TESTS)
async def read_unknown_person(stage: Stage) -> None:
    await unknown_is_404(stage, "/Users")


@step("Okta creates the person, with groups: [] and a password", REFERENCE, makes=("user:anna",))
async def create_person(stage: Stage) -> None:
    await makes(stage, "/Users", "user:anna", person(stage, "anna", "Anna", "Àbrecht"))


@step("Okta creates a second person", REFERENCE, makes=("user:ben",))
async def create_second_person(stage: Stage) -> None:
    await makes(stage, "/Users", "user:ben", person(stage, "ben", "Ben", "Børsen"))


@step("Okta finds the person by userName and reads the id", REFERENCE, needs=("user:anna",))
async def find_person(stage: Stage) -> None:
    name = stage.names.user("anna")
    await finds(stage, "/Users", f'userName eq "{name}"', "user:anna", startIndex=1, count=100)
    await reads(stage, "user:anna", *echoes(person(stage, "anna", "Anna", "Àbrecht")))


@step("Okta finds the person whatever the case of the userName", TESTS, needs=("user:anna",))
async def find_person_in_capitals(stage: Stage) -> None:
    name = stage.names.user("anna").upper()
    mend = "Compare userName without regard to case (RFC 7643 §4.1.1: caseExact false)."
    reply = await stage.search("/Users", f'userName eq "{name}"', startIndex=1, count=100)
    stage.expect(reply, status(200, mend=mend), *listing(1, mend=mend))


@step("Okta creates a person who exists already", TESTS, needs=("user:anna",))
async def create_person_twice(stage: Stage) -> None:
    mend = "Answer 409 with scimType uniqueness when the userName is taken."
    await refuses_twin(stage, "/Users", person(stage, "anna", "Anna", "Àbrecht"), mend, must=True)


@step("Okta imports page by page: paging by startIndex and count", FAQ, needs=("user:anna", "user:ben"))
async def import_by_pages(stage: Stage) -> None:
    mend = "Serve pages by startIndex and count in a stable order, each resource on one page only."
    seen: list[str] = []
    for start in (1, 2):
        reply = await stage.get("/Users", startIndex=start, count=1)
        one = Check(
            lambda r: None if len(r.resources) == 1 else f"{len(r.resources)} resources for count=1", mend
        )
        stage.expect(reply, status(200, mend=LOOK_UP), SCIM_JSON, *listing(), one)
        stage.expect(reply, value("startIndex", is_=start, mend="Send startIndex as a number, as asked for."))
        seen += [str(row.get("id")) for row in reply.resources]
    if len(set(seen)) != len(seen):
        stage.find("must", "pages 1 and 2 hold the same resource", mend, stage.replies[-1])


@step("A custom app changes the profile: PUT of the whole object with id and meta", FAQ, needs=("user:anna",))
async def put_whole_person(stage: Stage) -> None:
    changed = whole(stage, "user:anna", name={"givenName": "Anna", "familyName": "Zöllner"})
    await puts(stage, "user:anna", changed, mend=WHOLE)
    await reads(stage, "user:anna", *echoes(changed))


@step("A custom app deactivates: PUT with active false", FAQ, needs=("user:anna",))
async def put_deactivates(stage: Stage) -> None:
    await puts(stage, "user:anna", whole(stage, "user:anna", active=False), mend=WHOLE)
    await is_inactive(stage, "user:anna", stage.names.user("anna"))


@step("A custom app reactivates: PUT with active true", FAQ, needs=("user:anna",))
async def put_reactivates(stage: Stage) -> None:
    await puts(stage, "user:anna", whole(stage, "user:anna", active=True), mend=WHOLE)
    await is_active(stage, "user:anna")


@step(
    "A catalogue app deactivates: PATCH replace {active: false} without a path",
    REFERENCE,
    needs=("user:anna",),
)
async def patch_deactivates(stage: Stage) -> None:
    await patches(stage, "user:anna", {"op": "replace", "value": {"active": False}}, mend=NO_PATH)
    await is_inactive(stage, "user:anna", stage.names.user("anna"))


@step(
    "A catalogue app reactivates: PATCH replace {active: true} without a path",
    REFERENCE,
    needs=("user:anna",),
)
async def patch_reactivates(stage: Stage) -> None:
    await patches(stage, "user:anna", {"op": "replace", "value": {"active": True}}, mend=NO_PATH)
    await is_active(stage, "user:anna")


@step("Okta pushes a password (Sync Password): PATCH without a path", REFERENCE, needs=("user:anna",))
async def push_password(stage: Stage) -> None:
    password = {"op": "replace", "value": {"password": f"Never-kept-2-{stage.names.random}"}}
    reply = await stage.patch(stage.kept["user:anna"], password)
    mend = "Accept password and keep nothing of it, or switch Sync Password off in Okta."
    stage.expect(reply, status(200, 204, mend=mend, severity="should"))
    await reads(stage, "user:anna")


@step("Okta pushes a group with its members, who have no type", PUSH,
      needs=("groups", "user:anna"), makes=("group:one",))  # fmt: skip
async def push_group(stage: Stage) -> None:
    await makes(stage, "/Groups", "group:one", {
        "schemas": [GROUP],
        "displayName": stage.names.group("engineers"),
        "members": [{"value": id_of(stage, "user:anna"), "display": stage.names.user("anna")}],
    }, mend="Accept members that carry only value and display.")  # fmt: skip
    mend = "Store the members that come with a new group; type is optional (RFC 7643 §4.2)."
    await reads(stage, "group:one", has_members(stage, "user:anna", mend=mend))


@step("Okta finds the group by displayName", PUSH, needs=("group:one",))
async def find_group(stage: Stage) -> None:
    name = stage.names.group("engineers")
    await finds(stage, "/Groups", f'displayName eq "{name}"', "group:one", startIndex=1, count=100)


@step("Okta adds a member: PATCH add, without type", PUSH, needs=("group:one", "user:anna", "user:ben"))
async def add_member(stage: Stage) -> None:
    add = {"op": "add", "path": "members",
           "value": [{"value": id_of(stage, "user:ben"), "display": stage.names.user("ben")}]}  # fmt: skip
    mend = "Add members by PATCH add on members, and keep those who are there."
    await patches(stage, "group:one", add, mend=mend)
    await reads(stage, "group:one", has_members(stage, "user:anna", "user:ben", mend=mend))


@step("Okta adds a member who is there already", PUSH, needs=("group:one", "user:anna", "user:ben"))
async def add_member_again(stage: Stage) -> None:
    add = {"op": "add", "path": "members",
           "value": [{"value": id_of(stage, "user:anna"), "display": stage.names.user("anna")}]}  # fmt: skip
    mend = "Treat adding a present member as done: answer 200 or 204 and change nothing."
    await patches(stage, "group:one", add, mend=mend)
    await reads(stage, "group:one", has_members(stage, "user:anna", "user:ben", mend=mend))


@step("Okta renames the group: replace {id, displayName} without a path", PUSH,
      needs=("group:one", "user:anna", "user:ben"))  # fmt: skip
async def rename_group(stage: Stage) -> None:
    name = stage.names.group("engineering")
    rename = {"op": "replace", "value": {"id": id_of(stage, "group:one"), "displayName": name}}
    mend = "Ignore the id in a path-less replace and rename the group: a 400 here stops the whole push."
    await patches(stage, "group:one", rename, mend=mend)
    kept = "Change only what the replace names: a rename must not touch the members."
    await reads(
        stage, "group:one", value("displayName", is_=name, mend=mend),
        has_members(stage, "user:anna", "user:ben", mend=kept),
    )  # fmt: skip


@step("Okta removes a member: remove members[value eq …]", PUSH, needs=("group:one", "user:anna", "user:ben"))
async def remove_member(stage: Stage) -> None:
    remove = {"op": "remove", "path": f'members[value eq "{id_of(stage, "user:ben")}"]'}
    mend = "Remove exactly the member that the value filter names (RFC 7644 §3.5.2.2)."
    await patches(stage, "group:one", remove, mend=mend)
    await reads(stage, "group:one", has_members(stage, "user:anna", mend=mend))


@step(
    "Push now: the whole member list replaces the old one", PUSH, needs=("group:one", "user:anna", "user:ben")
)
async def push_now(stage: Stage) -> None:
    replace = {"op": "replace", "path": "members", "value": [{"value": id_of(stage, "user:ben")}]}
    mend = "Let replace on members set exactly the list that was sent (RFC 7644 §3.5.2.3)."
    await patches(stage, "group:one", replace, mend=mend)
    await reads(stage, "group:one", has_members(stage, "user:ben", mend=mend))


@step("Push now of an empty group: replace members []", PUSH, needs=("group:one",))
async def push_now_empty(stage: Stage) -> None:
    replace = {"op": "replace", "path": "members", "value": []}
    mend = "Accept an empty member list in a replace: it empties the group."
    await patches(stage, "group:one", replace, mend=mend)
    await reads(stage, "group:one", has_members(stage, mend=mend))


@step("Okta unlinks the group: DELETE", PUSH, needs=("group:one",))
async def unlink_group(stage: Stage) -> None:
    await removes(stage, "group:one", filter_=f'displayName eq "{stage.names.group("engineering")}"')
