"""What Google Workspace sends: people only, by automated user provisioning of a SAML app.

Google publishes what it does and not how it writes it; the RFC's plain forms are played, PUT and PATCH.
"""

from __future__ import annotations

from typing import Any

from scimd.cli.doctor.checks import USER, echoes, value
from scimd.cli.doctor.play import Sequence, Source
from scimd.cli.doctor.sequences.common import (
    connects,
    finds,
    finds_nobody,
    is_active,
    is_inactive,
    makes,
    patches,
    puts,
    reads,
    refuse_plain_http,
    refuses_twin,
    removes,
)
from scimd.cli.doctor.stage import Stage

ABOUT = Source(
    "About automated user provisioning",
    "knowledge.workspace.google.com/admin/users/advanced/about-automated-user-provisioning",
)

SEQUENCE = Sequence("google", "Google Workspace")
step = SEQUENCE.step


def person(stage: Stage, family: str = "Àbrecht") -> dict[str, Any]:
    name = stage.names.user("anna")
    return {
        "schemas": [USER],
        "userName": name,
        "externalId": stage.names.external("anna"),
        "name": {"givenName": "Anna", "familyName": family, "formatted": f"Anna {family}"},
        "displayName": f"Anna {family}",
        "emails": [{"value": name, "type": "work", "primary": True}],
        "active": True,
    }


@step("Authorize: Google asks for one person", ABOUT, makes=("endpoint",))
async def connect(stage: Stage) -> None:
    reply = await stage.get("/Users", count=1)
    refuse_plain_http(stage, reply)
    await connects(stage, reply)


@step("Google looks for the person by userName", ABOUT)
async def look_up_unknown_person(stage: Stage) -> None:
    await finds_nobody(stage, "/Users", f'userName eq "{stage.names.user("anna")}"')


@step("Google creates the person", ABOUT, makes=("user:anna",))
async def create_person(stage: Stage) -> None:
    await makes(stage, "/Users", "user:anna", person(stage))


@step("Google finds the person again", ABOUT, needs=("user:anna",))
async def find_person(stage: Stage) -> None:
    await finds(stage, "/Users", f'userName eq "{stage.names.user("anna")}"', "user:anna")


@step("Google creates a person who exists already", ABOUT, needs=("user:anna",))
async def create_person_twice(stage: Stage) -> None:
    mend = "Answer 409 with scimType uniqueness when the userName is taken."
    await refuses_twin(stage, "/Users", person(stage), mend, must=True)


@step("Google changes the name: PUT of the whole user", ABOUT, needs=("user:anna",))
async def put_whole_person(stage: Stage) -> None:
    changed = person(stage, "Zöllner")
    await puts(stage, "user:anna", changed, mend="Accept a PUT of the whole user and store what it says.")
    await reads(stage, "user:anna", *echoes(changed))


@step("Google changes the name: PATCH", ABOUT, needs=("user:anna",))
async def patch_name(stage: Stage) -> None:
    mend = "Accept PATCH replace on an attribute's path."
    await patches(stage, "user:anna", {"op": "replace", "path": "name.familyName", "value": "Abt"}, mend=mend)
    await reads(
        stage, "user:anna",
        value("name", "familyName", is_="Abt", mend=mend), value("name", "givenName", is_="Anna", mend=mend),
    )  # fmt: skip


@step("Suspended in Google: active false", ABOUT, needs=("user:anna",))
async def suspend(stage: Stage) -> None:
    off = {"op": "replace", "path": "active", "value": False}
    await patches(stage, "user:anna", off, mend="Accept PATCH replace on active.")
    await is_inactive(stage, "user:anna", stage.names.user("anna"))


@step("Restored in Google: active true", ABOUT, needs=("user:anna",))
async def restore(stage: Stage) -> None:
    await puts(stage, "user:anna", person(stage, "Abt"), mend="Accept a PUT with active true.")
    await is_active(stage, "user:anna")


@step("Deleted in Google: DELETE", ABOUT, needs=("user:anna",))
async def delete_person(stage: Stage) -> None:
    await removes(stage, "user:anna", filter_=f'userName eq "{stage.names.user("anna")}"')
