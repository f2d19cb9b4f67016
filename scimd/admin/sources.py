"""Sources and their tokens: who may speak about people, and how they are doing."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Flag, Input, Listed, ListQuery, Output, Text
from scimd.core.errors import NotAllowedNow, NotFound
from scimd.core.people import TokenId
from scimd.org.sources import source_states, sources
from scimd.org.sources.sources import SourceRecord
from scimd.org.tokens import tokens

_NEEDS = ("sources.manage",)


class Source(Output):
    id: str
    name: str
    kind: Literal["scim", "connector"]
    connector: str | None = Field(description="The connector's entry point.")
    priority: int = Field(description="The lowest that asserts a person decides over them.")
    state: Literal["shadow", "staged", "active", "paused"]
    paused_from: Literal["shadow", "staged", "active"] | None = Field(
        description="Of a paused one the state before: it gives what it gave then, and goes on so."
    )
    invite: Literal["immediate", "never"]
    auto_approve: Literal["never", "domains", "always"] = Field(
        description="Who counts as approved on arrival by it: nobody, whoever has an address in a domain "
        "of the organization, everybody."
    )
    ceiling: str = Field(description="The role above which it gives nobody anything.")
    declared_in: Literal["file", "database"]
    user_count: int
    group_count: int
    failures: int = Field(description="Runs that failed, in a row.")
    last_success_at: datetime | None
    last_full_at: datetime | None
    next_run_at: datetime | None
    quarantined_since: datetime | None
    quarantine_cause: str | None
    released_at: datetime | None
    created_at: datetime
    ending: Literal["remove", "keep"] | None = Field(
        description="It is being ended, and this becomes of its people; `user_count` of them are left."
    )
    held: str | None = Field(
        description="Why what the config file changes of it is held, with the figures, and what to do; until "
        "then what was before counts. Null: nothing is held."
    )


class SourceDetail(Source):
    config: dict[str, Any] = Field(
        description="Mapping, rules, limits, schedule, settings; secrets only by reference."
    )
    config_version: int


class Release(Output):
    people: int = Field(description="People of the source.")
    mails: int = Field(description="Mails that are due with the release.")


class SourceState(Input):
    state: Literal["shadow", "active", "paused"]


class SourceQuery(ListQuery):
    sort: Literal["priority", "-priority", "name", "-name", "created", "-created"] = "priority"


@endpoint("GET", "/sources", needs=("sources.manage", "users.read"))
async def index(call: Call, query: SourceQuery) -> Listed[Source]:
    """List sources."""
    return Listed.of(await sources.window(call.door, call.org_id, call.window), Source.of)


@endpoint("GET", "/sources/{id}", needs=_NEEDS, etag=True)
async def show(call: Call) -> SourceDetail:
    """Show a source with its config."""
    return SourceDetail.of(await source_of(call))


@endpoint("GET", "/sources/{id}/release", needs=_NEEDS)
async def preview_release(call: Call) -> Release:
    """Show what a release would let go."""
    return Release.of(await source_states.preview_release(call.door, call.org_id, (await source_of(call)).id))


@endpoint("POST", "/sources/{id}/release", needs=_NEEDS, refuses=(NotFound, NotAllowedNow))
async def release(call: Call) -> Release:
    """Release a staged source.

    The invitations that waited are due now, and their time begins now. This cannot be taken back.
    """
    return Release.of(await source_states.release(call.door, call.ctx, (await source_of(call)).id))


@endpoint("POST", "/sources/{id}/state", needs=_NEEDS, refuses=(NotFound, NotAllowedNow))
async def set_state(call: Call, body: SourceState) -> Source:
    """Pause a source, set it active, or put it into shadow.

    Setting a staged one active releases it. Into shadow and out of it takes all that the source can give.
    """
    source = await source_of(call)
    return Source.of(await source_states.set_state(call.door, call.ctx, source.id, body.state))


@endpoint("POST", "/sources/{id}/run", needs=_NEEDS, refuses=(NotFound, NotAllowedNow), status=202)
async def run(call: Call) -> Source:
    """Read a source now.

    The worker begins within seconds; the run shows up in the list of runs.
    """
    return Source.of(await sources.run_soon(call.door, call.ctx, (await source_of(call)).id))


async def source_of(call: Call) -> SourceRecord:
    """By its id only: names are for terminals."""
    found = await sources.get_source(call.door, call.org_id, call.id)
    if found.id != call.id:
        raise NotFound("source", call.id)
    return found


# ------------------------------------------------------------------------------ tokens


class Token(Output):
    """A SCIM source's token; its text was shown once."""

    id: str
    source_id: str
    source_name: str
    name: str
    profile: str
    scopes: list[str]
    trace_until: datetime | None = Field(description="Until then its successful reads are logged, too.")
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class TokenQuery(ListQuery):
    source: Text | None = Field(None, description="A source's id.")
    live: Flag | None = Field(None, description="Neither revoked nor expired.")
    sort: Literal["created", "-created", "name", "-name"] = "-created"


@endpoint("GET", "/source-tokens", needs=_NEEDS)
async def list_tokens(call: Call, query: TokenQuery) -> Listed[Token]:
    """List the tokens of SCIM sources."""
    found = await tokens.window(call.door, call.org_id, call.window, source_id=query.source, live=query.live)
    return Listed.of(found, Token.of)


@endpoint("DELETE", "/source-tokens/{id}", needs=_NEEDS, refuses=(NotFound,))
async def revoke_token(call: Call) -> None:
    """Revoke a token of a SCIM source.

    It opens nothing from the next request on. Revoking twice changes nothing.
    """
    await tokens.revoke(call.door, call.ctx, TokenId(call.id))
