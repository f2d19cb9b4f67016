"""The first half of Entra's sequence, people: capitalised operations, booleans as strings, value paths.

Both manners are played: the default, and the one behind ``?aadOptscim062020``.
"""

from __future__ import annotations

from typing import Any

from scimd.cli.doctor.checks import (
    ENTERPRISE,
    ERROR,
    NO_NULLS,
    SCIM_JSON,
    USER,
    absent,
    echoes,
    listing,
    names,
    status,
    value,
)
from scimd.cli.doctor.play import Sequence, Source
from scimd.cli.doctor.sequences.common import (
    LOOK_UP,
    connects,
    finds,
    finds_nobody,
    id_of,
    is_active,
    is_inactive,
    makes_somehow,
    offers_groups,
    patches,
    reads,
    refuse_plain_http,
    refuses_twin,
    unknown_is_404,
)
from scimd.cli.doctor.stage import Stage

BASE = "learn.microsoft.com/entra/identity/app-provisioning/"
TUTORIAL = Source(
    "Develop and plan provisioning for a SCIM endpoint", BASE + "use-scim-to-provision-users-and-groups"
)
ISSUES = Source(
    "Known issues with SCIM 2.0 protocol compliance",
    BASE + "application-provisioning-config-problem-scim-compatibility",
)
WORKS = Source("How provisioning works", BASE + "how-provisioning-works")

PEOPLE = Sequence("entra", "Microsoft Entra ID")
step = PEOPLE.step

MANAGER = f"{ENTERPRISE}:manager"
CAPITALS = "Read op without regard to case: Entra sends Add, Replace and Remove."
STRINGS = 'Accept "True" and "False" for booleans, and store true and false.'


def person(stage: Stage, who: str, family: str, *, emails: bool = True) -> dict[str, Any]:
    body: dict[str, Any] = {
        "schemas": [USER, ENTERPRISE],
        "externalId": stage.names.external(who),
        "userName": stage.names.user(who),
        "active": True,
        "displayName": f"{who.capitalize()} {family}",
        "emails": [{"primary": True, "type": "work", "value": stage.names.user(f"{who}.Mail")}],
        "meta": {"resourceType": "User"},
        "name": {
            "formatted": f"{who.capitalize()} {family}",
            "familyName": family,
            "givenName": who.capitalize(),
        },
        "roles": [],
    }
    if not emails:
        del body["emails"]
    return body


def plain(body: dict[str, Any]) -> dict[str, Any]:
    """The same without what only Entra sends."""
    return {key: value for key, value in body.items() if key not in ("roles", "meta")}


@step("Test Connection: Entra looks for a random person and takes 200 with an empty list", TUTORIAL,
      makes=("endpoint",))  # fmt: skip
async def connect(stage: Stage) -> None:
    reply = await stage.search("/Users", f'userName eq "{stage.names.external("probe")}"')
    refuse_plain_http(stage, reply)
    if reply.status == 404 and names(reply, ERROR):
        stage.kept["endpoint"] = stage.client.url  # it speaks SCIM: the rest is worth knowing
        stage.expect(reply, status(200, mend=LOOK_UP))
    await connects(stage, reply)
    stage.expect(reply, *listing(0, mend=LOOK_UP))


@step("Test Connection: Entra looks for a random group, without its members", TUTORIAL, makes=("groups",))
async def ask_for_groups(stage: Stage) -> None:
    name = stage.names.external("probe")
    reply = await stage.search("/Groups", f'displayName eq "{name}"', excludedAttributes="members")
    await offers_groups(stage, reply)


@step("Gallery apps: Entra reads the schemas, in which nothing may be null", TUTORIAL)
async def read_schemas(stage: Stage) -> None:
    reply = await stage.get("/Schemas")
    mend = "Serve /Schemas as a ListResponse (RFC 7644 §4): Entra finds further attributes by it."
    stage.expect(reply, status(200, mend=mend, severity="should"), SCIM_JSON, *listing(), NO_NULLS)


@step("Entra looks for the person by userName", TUTORIAL)
async def look_up_unknown_person(stage: Stage) -> None:
    await finds_nobody(stage, "/Users", f'userName eq "{stage.names.user("Anna")}"')


@step("Entra reads an id that does not exist", TUTORIAL)
async def read_unknown_person(stage: Stage) -> None:
    await unknown_is_404(stage, "/Users")


@step("Entra creates the person, with roles: [] and meta", TUTORIAL, makes=("user:anna",))
async def create_person(stage: Stage) -> None:
    body = person(stage, "Anna", "Àbrecht")
    mend = "Take roles: [] as no roles, and ignore meta."
    await makes_somehow(stage, "/Users", "user:anna", body, plain(body), mend=mend)


@step("Entra creates a manager, who has no address yet", TUTORIAL, makes=("user:ben",))
async def create_manager(stage: Stage) -> None:
    body = person(stage, "Ben", "Børsen", emails=False)
    await makes_somehow(stage, "/Users", "user:ben", body, plain(body))


@step("Entra reads the person: everything as it was sent", TUTORIAL, needs=("user:anna",))
async def read_person(stage: Stage) -> None:
    await reads(stage, "user:anna", *echoes(person(stage, "Anna", "Àbrecht")))
    await finds(stage, "/Users", f'userName eq "{stage.names.user("Anna")}"', "user:anna")


@step("Entra matches by externalId", TUTORIAL, needs=("user:anna",))
async def match_by_external_id(stage: Stage) -> None:
    await finds(stage, "/Users", f'externalId eq "{stage.names.external("Anna")}"', "user:anna")


@step('Entra matches by emails[type eq "work"].value', TUTORIAL, needs=("user:anna",))
async def match_by_work_address(stage: Stage) -> None:
    address = stage.names.user("Anna.Mail")
    await finds(stage, "/Users", f'emails[type eq "work"].value eq "{address}"', "user:anna")


@step("Entra creates a person who exists already", TUTORIAL, needs=("user:anna",))
async def create_person_twice(stage: Stage) -> None:
    mend = "Answer 409 with scimType uniqueness when the userName is taken."
    await refuses_twin(stage, "/Users", person(stage, "Anna", "Àbrecht"), mend, must=True)


@step("Entra changes an address and a name: Replace with a value path", TUTORIAL, needs=("user:anna",))
async def replace_values(stage: Stage) -> None:
    address = stage.names.user("Anna.New")
    await patches(
        stage, "user:anna",
        {"op": "Replace", "path": 'emails[type eq "work"].value', "value": address},
        {"op": "Replace", "path": "name.familyName", "value": "Zöllner"},
        mend=CAPITALS + ' Support value paths such as emails[type eq "work"].value.',
    )  # fmt: skip
    mend = "Change the value that the value path names, and keep the rest of it."
    await reads(
        stage, "user:anna",
        value("emails", {"type": "work"}, "value", is_=address, mend=mend),
        value("name", "familyName", is_="Zöllner", mend=mend),
        value("name", "givenName", is_="Anna", mend=mend),
    )  # fmt: skip


@step("Entra adds an address where there is none: Add emails[type eq \"work\"].value", TUTORIAL,
      needs=("user:ben",))  # fmt: skip
async def add_where_nothing_matches(stage: Stage) -> None:
    address, number = stage.names.user("Ben.Mail"), "+49 30 5550123"
    mend = "Create the value, with its type, where the value path matches nothing; do not answer noTarget."
    await patches(stage, "user:ben", {"op": "Add", "path": 'emails[type eq "work"].value', "value": address},
                  mend=mend)  # fmt: skip
    await patches(stage, "user:ben", {"op": "Replace", "path": 'phoneNumbers[type eq "mobile"].value',
                                      "value": number}, mend=mend)  # fmt: skip
    await reads(
        stage, "user:ben",
        value("emails", {"type": "work"}, "value", is_=address, mend=mend),
        value("phoneNumbers", {"type": "mobile"}, "value", is_=number, mend=mend, severity="should"),
    )  # fmt: skip


@step('Entra disables: Replace active with the string "False"', ISSUES, needs=("user:anna",))
async def disable_by_string(stage: Stage) -> None:
    await patches(stage, "user:anna", {"op": "Replace", "path": "active", "value": "False"}, mend=STRINGS)
    await is_inactive(stage, "user:anna", stage.names.user("Anna"))


@step('Entra enables again: Replace active with the string "True"', ISSUES, needs=("user:anna",))
async def enable_by_string(stage: Stage) -> None:
    await patches(stage, "user:anna", {"op": "Replace", "path": "active", "value": "True"}, mend=STRINGS)
    await is_active(stage, "user:anna")


@step("With aadOptscim062020: replace without a path, with dotted and URN keys", ISSUES, needs=("user:anna",))
async def replace_with_dotted_keys(stage: Stage) -> None:
    keys = {
        "displayName": "Hanna Abt",
        "name.givenName": "Hanna",
        "name.familyName": "Abt",
        f"{ENTERPRISE}:employeeNumber": "4711",
    }
    mend = "Read keys such as name.givenName and urn:…:User:employeeNumber in a path-less value as paths."
    await patches(stage, "user:anna", {"op": "replace", "value": keys}, mend=mend)
    await reads(
        stage, "user:anna",
        value("displayName", is_="Hanna Abt", mend=mend),
        value("name", "givenName", is_="Hanna", mend=mend),
        value("name", "familyName", is_="Abt", mend=mend),
        value(ENTERPRISE, "employeeNumber", is_="4711", mend=mend),
    )  # fmt: skip


@step("With aadOptscim062020: disable and enable by a boolean", ISSUES, needs=("user:anna",))
async def disable_by_boolean(stage: Stage) -> None:
    off = {"op": "Replace", "path": "active", "value": False}
    await patches(stage, "user:anna", off, mend=CAPITALS)
    await is_inactive(stage, "user:anna", stage.names.user("Anna"))
    await patches(stage, "user:anna", off | {"value": True}, mend=CAPITALS)
    await is_active(stage, "user:anna")


@step("Entra sets the manager as a bare string", TUTORIAL, needs=("user:anna", "user:ben"))
async def manager_as_string(stage: Stage) -> None:
    manager = id_of(stage, "user:ben")
    mend = "Take a bare string for manager as manager.value."
    await patches(stage, "user:anna", {"op": "Add", "path": MANAGER, "value": manager}, mend=mend)
    await reads(stage, "user:anna", value(ENTERPRISE, "manager", "value", is_=manager, mend=mend))


@step(
    "Entra sets the manager as a list, and as an object with $ref null",
    TUTORIAL,
    needs=("user:anna", "user:ben"),
)
async def manager_as_list_and_object(stage: Stage) -> None:
    manager = id_of(stage, "user:ben")
    mend = "Take manager as an object, or as a list of one, and ignore $ref."
    for shape in ([{"$ref": None, "value": manager}], {"$ref": None, "value": manager}):
        await patches(stage, "user:anna", {"op": "Replace", "path": MANAGER, "value": shape}, mend=mend)
        await reads(stage, "user:anna", value(ENTERPRISE, "manager", "value", is_=manager, mend=mend))


@step('Entra takes the manager away: ""', TUTORIAL, needs=("user:anna", "user:ben"))
async def manager_taken_away(stage: Stage) -> None:
    mend = 'Take "" for manager as no manager.'
    await patches(stage, "user:anna", {"op": "Replace", "path": MANAGER, "value": ""}, mend=mend)
    await reads(stage, "user:anna", absent(ENTERPRISE, "manager", "value", mend=mend))


@step('Entra sets the primary role: roles[primary eq "True"].value', TUTORIAL, needs=("user:anna",))
async def set_primary_role(stage: Stage) -> None:
    role = {"op": "Add", "path": 'roles[primary eq "True"].value', "value": "User"}
    reply = await stage.patch(stage.kept["user:anna"], role)
    mend = 'Read "True" as true in a value filter, and create the role where none matches.'
    stage.expect(reply, status(200, 204, mend=mend, severity="should"))
