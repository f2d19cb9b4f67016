"""What programs prove themselves with: tokens and OAuth clients of sources, API tokens."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import WHOLE, Id, Input, Listed, ListQuery, Moment, Name, Output
from scimd.core.bearer import PROFILES
from scimd.core.errors import InvalidValue, NotAllowedNow, NotFound, ProofNeeded
from scimd.core.people import SourceId, TokenId
from scimd.core.roles import Permission
from scimd.org.request_log import request_log
from scimd.org.tokens import api_tokens, oauth, tokens
from scimd.org.windows import part

_SOURCES = ("sources.manage",)
_ORGANIZATION = ("organization.manage",)
Scope = Literal["users:read", "users:write", "groups:read", "groups:write"]
Scopes = Annotated[list[Scope], Field(min_length=1, max_length=10)]
Profile = Annotated[str, Field(max_length=64, json_schema_extra={"enum": list(PROFILES)})]
#: Seconds for which the old one works beside the new one.
Overlap = Annotated[int, Field(ge=0, le=90 * 86400), WHOLE]


class NewToken(Output):
    id: str
    token: str = Field(description="Shown this once.")


class NewSourceToken(Input):
    source: Id = Field(description="A SCIM source's id.")
    name: Name
    profile: Profile = "default"
    scopes: Scopes | None = Field(None, description="Null: all.")
    expires_at: Moment | None = Field(None, description="Null: never.")


class Rotation(Input):
    overlap_s: Overlap = Field(86400, description="How many seconds the old one works beside the new one.")


class Tracing(Input):
    for_s: Annotated[int, Field(ge=1, le=7 * 86400), WHOLE] | None = Field(
        3600, description="For how many seconds; null ends it."
    )


class Traced(Output):
    trace_until: datetime | None


@endpoint("POST", "/source-tokens", needs=_SOURCES, refuses=(NotFound, InvalidValue, ProofNeeded))
async def create_source_token(call: Call, body: NewSourceToken) -> NewToken:
    """Make a token of a SCIM source.

    For whoever holds what the source can give: by its ceiling, by its rules, and what its people hold.
    """
    call.require_proof()
    made = await tokens.create(
        call.door, call.ctx, SourceId(body.source), body.name, body.profile, body.expires_at, body.scopes
    )
    return NewToken.of(made)


@endpoint(
    "POST", "/source-tokens/{id}/rotate", needs=_SOURCES, refuses=(NotFound, NotAllowedNow, ProofNeeded)
)
async def rotate_source_token(call: Call, body: Rotation) -> NewToken:
    """Make the successor of a SCIM source's token, which may do the same.

    For whoever may make one.
    """
    call.require_proof()
    overlap = timedelta(seconds=body.overlap_s)
    return NewToken.of(await tokens.rotate(call.door, call.ctx, TokenId(call.id), overlap))


@endpoint("POST", "/source-tokens/{id}/trace", needs=_SOURCES, refuses=(NotFound, InvalidValue))
async def trace_source_token(call: Call, body: Tracing) -> Traced:
    """Put a token's successful reads into the log of SCIM requests, too, for a while."""
    span = None if body.for_s is None else timedelta(seconds=body.for_s)
    return Traced(trace_until=await request_log.trace(call.door, call.ctx, TokenId(call.id), span))


# ------------------------------------------------------------------------------ OAuth clients


class ClientSecret(Output):
    id: str
    created_at: datetime
    expires_at: datetime | None


class OAuthClient(Output):
    id: str
    source_id: str
    source_name: str
    name: str
    profile: str
    scopes: list[str]
    created_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None
    secrets: list[ClientSecret] = Field(description="Those that work.")


class NewSecret(Output):
    client_id: str
    secret_id: str
    secret: str = Field(description="Shown this once.")


class SecretRotation(Rotation):
    expires_at: Moment | None = Field(None, description="Of the new secret; null: never.")


class MadeQuery(ListQuery):
    sort: Literal["created", "-created"] = "-created"


@endpoint("GET", "/oauth-clients", needs=_SOURCES)
async def list_clients(call: Call, query: MadeQuery) -> Listed[OAuthClient]:
    """List the OAuth clients of SCIM sources."""
    found = await oauth.list_clients(call.door, call.org_id)
    return Listed.of(part(found, call.window, lambda row: row.id), OAuthClient.of)


@endpoint("POST", "/oauth-clients", needs=_SOURCES, refuses=(NotFound, InvalidValue, ProofNeeded))
async def create_client(call: Call, body: NewSourceToken) -> NewSecret:
    """Make an OAuth client of a SCIM source, and its first secret.

    `expires_at` is the secret's. For whoever may make a token of that source.
    """
    call.require_proof()
    made = await oauth.create_client(
        call.door, call.ctx, SourceId(body.source), body.name, body.profile, body.scopes, body.expires_at
    )
    return NewSecret.of(made)


@endpoint(
    "POST", "/oauth-clients/{id}/rotate", needs=_SOURCES, refuses=(NotFound, NotAllowedNow, ProofNeeded)
)
async def rotate_client(call: Call, body: SecretRotation) -> NewSecret:
    """Make a second secret of an OAuth client.

    Two can be alive. An overlap of 0 ends the others at once. For whoever may make the client.
    """
    call.require_proof()
    overlap = timedelta(seconds=body.overlap_s)
    made = await oauth.rotate_secret(call.door, call.ctx, TokenId(call.id), overlap, body.expires_at)
    return NewSecret.of(made)


@endpoint("DELETE", "/oauth-clients/{id}", needs=_SOURCES, refuses=(NotFound,))
async def revoke_client(call: Call) -> None:
    """Revoke an OAuth client with its secrets and access tokens."""
    await oauth.revoke_client(call.door, call.ctx, TokenId(call.id))


# ------------------------------------------------------------------------------ API tokens


class ApiToken(Output):
    id: str
    kind: Literal["personal", "service"]
    name: str
    person_id: str | None
    display_name: str | None
    permissions: list[str] | None = Field(description="Null: whatever the person may.")
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None
    last_used_at: datetime | None


class NewServiceToken(Input):
    name: Name = Field(description="The service's.")
    permissions: Annotated[list[Permission], Field(min_length=1, max_length=50)]
    expires_at: Moment | None = Field(None, description="Null: never.")


@endpoint("GET", "/api-tokens", needs=_ORGANIZATION)
async def list_api_tokens(call: Call, query: MadeQuery) -> Listed[ApiToken]:
    """List the API tokens of people and services."""
    found = await api_tokens.list_tokens(call.door, call.ctx)
    return Listed.of(part(found, call.window, lambda row: row.id), ApiToken.of)


@endpoint("POST", "/api-tokens", needs=_ORGANIZATION, refuses=(InvalidValue, NotAllowedNow, ProofNeeded))
async def create_service_token(call: Call, body: NewServiceToken) -> NewToken:
    """Make an API token of a service.

    It may do nothing that its maker may not. An API token cannot create another one.
    """
    call.require_proof()
    made = await api_tokens.create_service(
        call.door, call.ctx, body.name, body.permissions, expires_at=body.expires_at
    )
    return NewToken.of(made)


@endpoint("DELETE", "/api-tokens/{id}", needs=_ORGANIZATION, refuses=(NotFound,))
async def revoke_api_token(call: Call) -> None:
    """Revoke an API token."""
    await api_tokens.revoke(call.door, call.ctx, TokenId(call.id))
