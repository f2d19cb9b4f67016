"""One's own API tokens: made by a signed-in person, listed and revoked by a token, too."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from scimd.admin.credentials import ApiToken, MadeQuery, NewToken
from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Input, Listed, Moment, Name
from scimd.core.errors import Forbidden, InvalidValue, NotAllowedNow, NotFound, ProofNeeded
from scimd.core.people import PersonId, TokenId
from scimd.core.roles import Permission
from scimd.org.authentication.sessions import SessionHolder
from scimd.org.tokens import api_tokens
from scimd.org.tx import Context
from scimd.org.windows import part


class NewOwnToken(Input):
    name: Name
    permissions: Annotated[list[Permission], Field(min_length=1, max_length=50)] | None = Field(
        None, description="Null: whatever you may, as it changes."
    )
    expires_at: Moment | None = Field(None, description="Null: never.")


def _own(call: Call) -> tuple[Context, PersonId]:
    """Raises Forbidden for a service."""
    caller = call.caller
    if caller.person_id is None:
        raise Forbidden("of a person")
    return caller.context(call.door), caller.person_id


@endpoint("GET", "/me/api-tokens", refuses=(Forbidden,))
async def index(call: Call, query: MadeQuery) -> Listed[ApiToken]:
    """List one's own API tokens, never their text."""
    ctx, person_id = _own(call)
    found = await api_tokens.list_tokens(call.door, ctx, person_id=person_id)
    return Listed.of(part(found, call.window, lambda row: row.id), ApiToken.of)


@endpoint(
    "POST",
    "/me/api-tokens",
    refuses=(Forbidden, InvalidValue, NotAllowedNow, ProofNeeded),
    status=201,
)
async def create(call: Call, body: NewOwnToken) -> NewToken:
    """Make an API token of one's own. It is shown this once.

    It may do what you may at the moment of its use, or less, and ends with your sessions. An API token
    cannot create another one.
    """
    holder = call.caller
    if not isinstance(holder, SessionHolder):
        raise NotAllowedNow(
            "An API token cannot create another one. Sign in on the page, or use the command line."
        )
    made = await api_tokens.create_own(
        call.door, holder, body.name, permissions=body.permissions, expires_at=body.expires_at
    )
    return NewToken.of(made)


@endpoint("DELETE", "/me/api-tokens/{id}", refuses=(Forbidden, NotFound))
async def revoke(call: Call) -> None:
    """Revoke one of one's own API tokens. Revoking twice changes nothing."""
    ctx, _ = _own(call)
    await api_tokens.revoke_own(call.door, ctx, TokenId(call.id))
