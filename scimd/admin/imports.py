"""People from a CSV file: a plan to look at, and its application."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Input, Output, Refused, Rows
from scimd.core.errors import InvalidValue, StateMoved
from scimd.http import statuses
from scimd.org.users import importing

_NEEDS = ("users.manage", "invitations.manage")


class ImportFile(Input):
    csv: Annotated[str, StringConstraints(min_length=1, max_length=1_000_000)] = Field(
        description="Columns by header: `email`, and `display_name`, `user_name`, `role`, `team`, `projects` "
        "(`Alpha;Beta=viewer`).",
        examples=["email,projects\nann@acme.example,Alpha"],
    )
    how: Literal["invite", "add"] = Field("invite", description="What becomes of people who are new.")


class ImportRow(Output):
    line: int
    email: str
    action: Literal["invite", "add", "unchanged", "refused"]
    why: str | None


class ImportPlan(Output):
    rows: list[ImportRow]
    seats_wanted: int = Field(description="At once: none where a partner has to approve them first.")
    seats_free: int | None = Field(description="Null: no limit.")
    sealed: str = Field(description="The plan, for whoever asked for it, for an hour.")


class Approval(Input):
    plan: Annotated[
        str, StringConstraints(min_length=1, max_length=1_040_000, pattern="^[A-Za-z0-9_-]+$")
    ] = Field(description="`sealed` of the plan.")


class ImportedRow(Output):
    line: int
    email: str
    action: Literal["invite", "add"]
    person_id: str


@endpoint("POST", "/imports", needs=_NEEDS, refuses=(InvalidValue,))
async def plan(call: Call, body: ImportFile) -> ImportPlan:
    """Plan an import of people.

    Nothing is changed. Each row says what would become of it, and why; somebody who is here already
    stays as they are.
    """
    return ImportPlan.of(await importing.plan(call.door, call.ctx, body.csv, body.how))


@endpoint("POST", "/imports/apply", needs=_NEEDS, refuses=(InvalidValue, StateMoved))
async def apply(call: Call, body: Approval) -> Rows[ImportedRow]:
    """Apply a plan of an import.

    Row by row, without those that the plan refused or found unchanged.
    """
    done: list[ImportedRow | Refused | None] = []
    for row in await importing.apply(call.door, call.ctx, body.plan):
        if row.refusal is not None:
            done.append(Refused(statuses.of_refusal(row.refusal)))
        else:
            done.append(ImportedRow.of(row))
    return Rows(done, 201, None)
