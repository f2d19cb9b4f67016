"""The audit: who did what, and the proof that nobody has changed it since."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import WHOLE, Listed, ListQuery, Moment, Output, Query, Text
from scimd.org.audit import audit_reads, verifying
from scimd.org.audit.audit_reads import EntryFilter

Door = Literal["scim", "sync", "web", "api", "cli", "job"]


class AuditEntry(Output):
    id: str
    at: datetime
    kind: str = Field(description="What happened: `person.created`, `seat.taken`, …")
    actor_kind: str
    actor_id: str
    actor_name: str
    door: str
    target_kind: str
    target_id: str
    correlation_id: str = Field(description="The request or run that it belongs to.")
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    note: str
    erased: bool = Field(description="The values were erased with the person.")


class Verification(Output):
    """``faults``: a sentence for each place where the audit is not what was written; of many the first
    ones, and how many more there are.
    """

    ok: bool
    published: int = Field(description="Entries of the chain that were looked at.")
    unpublished: int = Field(
        description="Entries that are not in it yet, a matter of seconds; counted with the last part."
    )
    erased: int
    faults: list[str]
    next: int | None = Field(description="`after` of the next part; null with the last.")


class VerifyQuery(Query):
    after: Annotated[int, Field(ge=0, le=2**31 - 1), WHOLE] = Field(
        0, description="The part that follows this entry of the chain."
    )


class AuditQuery(ListQuery):
    kind: Text | None = None
    actor: Text | None = Field(None, description="The id of a person, a token, a source.")
    target: Text | None = Field(None, description="The id of what it happened to.")
    correlation: Text | None = Field(None, description="A request's or a run's id.")
    door: Door | None = None
    since: Moment | None = Field(None, description="From this moment on.")
    until: Moment | None = Field(None, description="Before this moment.")
    sort: Literal["at", "-at"] = "-at"


@endpoint("GET", "/audit", needs=("audit.read",))
async def index(call: Call, query: AuditQuery) -> Listed[AuditEntry]:
    """List the audit."""
    only = EntryFilter(**query.model_dump(include=set(EntryFilter.__dataclass_fields__)))
    return Listed.of(await audit_reads.list_entries(call.door, call.org_id, only, call.window), AuditEntry.of)


@endpoint("GET", "/audit/verify", needs=("audit.read",))
async def verify(call: Call, query: VerifyQuery) -> Verification:
    """Verify the audit.

    Recomputes the chain and every digest, some ten thousand entries at a time: from the first on, and then
    `after` what `next` says, until it is null. The audit is as it was written if each part is `ok`.
    """
    return Verification.of(await verifying.verify_part(call.door, call.org_id, query.after))
