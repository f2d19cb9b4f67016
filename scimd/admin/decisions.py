"""Questions that scimd does not decide by itself, and their answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from scimd.admin.bulk import bulk
from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Input, Listed, ListQuery, Output, Text
from scimd.core.errors import (
    InvalidValue,
    NotAllowedNow,
    NotFound,
    NotUnique,
    OwnAccount,
    PoolLimitReached,
    SeatLimitReached,
)
from scimd.core.people import DecisionId
from scimd.org.decisions import decisions
from scimd.org.decisions.decisions import DecisionKind, State


class Option(Output):
    answer: str
    label: str
    effect: str


class Decision(Output):
    id: str
    kind: DecisionKind
    question: str
    options: list[Option]
    facts: dict[str, Any]
    source_id: str | None
    state: State
    answer: str | None
    answered_by: str | None
    opened_at: datetime
    answered_at: datetime | None


class DecisionQuery(ListQuery):
    state: State | None = "open"
    kind: DecisionKind | None = None
    sort: Literal["opened", "-opened"] = "-opened"


class Answer(Input):
    answer: Text = Field(description="One of the options' words.", examples=["link"])


@endpoint("GET", "/decisions", needs=decisions.SEEING)
async def index(call: Call, query: DecisionQuery) -> Listed[Decision]:
    """List questions to decide.

    Without `users.read` only those that one may answer.
    """
    found = await decisions.window(
        call.door,
        call.org_id,
        call.window,
        state=query.state,
        kind=query.kind,
        kinds=decisions.seen_with(call.visit.holder.permissions),
    )
    return Listed.of(found, Decision.of)


@endpoint("GET", "/decisions/{id}", needs=decisions.SEEING)
async def show(call: Call) -> Decision:
    """Show a question."""
    kinds = decisions.seen_with(call.visit.holder.permissions)
    return Decision.of(await decisions.get(call.door, call.org_id, DecisionId(call.id), kinds))


@endpoint(
    "POST",
    "/decisions/{id}/answer",
    needs=("users.manage", "projects.manage"),
    refuses=(
        NotFound,
        InvalidValue,
        NotAllowedNow,
        NotUnique,
        OwnAccount,
        PoolLimitReached,
        SeatLimitReached,
    ),
)
async def answer(call: Call, body: Answer) -> Decision:
    """Answer a question.

    What the answer means is done in the same transaction. A question about a group's name needs
    `projects.manage`, every other `users.manage`. That an entry is oneself is for another to say.
    """
    return Decision.of(await decisions.answer(call.door, call.ctx, DecisionId(call.id), body.answer))


answer_many = bulk(answer, "/decisions/answer")
