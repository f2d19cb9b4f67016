"""One's own account: profile, picture, address, recovery codes. Of a person, never of a service.

Setting up a second factor and proving oneself anew need a browser; the page does both.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from pydantic import Field, StringConstraints

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Input, Output, Text
from scimd.core.errors import (
    Forbidden,
    InvalidValue,
    NotAllowedNow,
    NotFound,
    OwnedBySource,
    ProofNeeded,
    TooLarge,
    TooManyRequests,
)
from scimd.core.people import UNSET, PersonId
from scimd.org.authentication import second_factors
from scimd.org.authentication.sessions import SessionHolder
from scimd.org.users import my_profile


class OwnProject(Output):
    name: str
    role: str


class Me(Output):
    id: str
    display_name: str
    user_name: str
    address: str | None
    address_verified: bool
    phone: str | None
    source: str | None = Field(description="Who owns name and address; null: the person does.")
    has_picture: bool
    permissions: list[str]
    projects: list[OwnProject]


class MeChange(Input):
    display_name: Text | None = Field(None, description="Null: the address stands in its place.")
    phone: Text | None = None


class NewAddress(Input):
    address: Annotated[str, StringConstraints(max_length=320)]


class NewPicture(Input):
    image: Annotated[str, StringConstraints(max_length=700_000)] = Field(
        description="PNG, JPEG or WebP of at most 512 KB, in base64."
    )


class RecoveryCodes(Output):
    codes: list[str]


class SecondFactor(Output):
    id: str
    kind: str
    name: str


class SecondFactors(Output):
    items: list[SecondFactor]
    recovery_codes_left: int


def _whose(call: Call) -> PersonId:
    """Whose account is read, by a session or a personal API token. Raises Forbidden for a service's."""
    if call.caller.person_id is None:
        raise Forbidden("of a person")
    return call.caller.person_id


def _person(call: Call) -> SessionHolder:
    """Who is behind the session. Raises Forbidden for API tokens: they change nobody's own account."""
    holder = call.caller
    if not isinstance(holder, SessionHolder):
        raise Forbidden("of a signed-in person")
    return holder


@endpoint("GET", "/me", refuses=(Forbidden,))
async def show(call: Call) -> Me:
    """Read one's own profile."""
    person_id = _whose(call)
    found = await my_profile.show(call.door, call.caller.org_id, person_id)
    return Me(
        id=person_id,
        permissions=sorted(call.caller.permissions),
        projects=[OwnProject.of(each) for each in found.projects],
        **{
            name: getattr(found, name)
            for name in (
                "display_name", "user_name", "address", "address_verified", "phone", "source", "has_picture",
            )
        },
    )  # fmt: skip


@endpoint("PATCH", "/me", refuses=(Forbidden, InvalidValue, OwnedBySource))
async def change(call: Call, body: MeChange) -> Me:
    """Change one's own name or phone number; by a session only."""
    given = body.given()
    await my_profile.edit(
        call.door,
        _person(call),
        display_name=given.get("display_name", UNSET),
        phone=given.get("phone", UNSET),
    )
    return await _shown(call)


async def _shown(call: Call) -> Me:
    found = await show(call)
    assert isinstance(found, Me)  # noqa: S101 - what the handler above gives
    return found


@endpoint(
    "POST",
    "/me/address",
    refuses=(Forbidden, InvalidValue, OwnedBySource, NotAllowedNow, ProofNeeded, TooManyRequests),
)
async def confirm_address(call: Call, body: NewAddress) -> None:
    """Ask for a mail with a link that makes an address one's own; by a session only.

    The answer is the same whether or not somebody has that address: whoever opens the link is told. At most
    ten mails an hour.
    """
    await my_profile.ask_confirmation(call.door, _person(call), body.address)


@endpoint("PUT", "/me/picture", refuses=(Forbidden, InvalidValue, TooLarge))
async def set_picture(call: Call, body: NewPicture) -> None:
    """Set one's own picture; by a session only."""
    try:
        image = base64.b64decode(body.image, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidValue("image", "must be base64") from exc
    await my_profile.set_picture(call.door, _person(call), image)


@endpoint("DELETE", "/me/picture", refuses=(Forbidden,))
async def drop_picture(call: Call) -> None:
    """Remove one's own picture; by a session only."""
    await my_profile.drop_picture(call.door, _person(call))


@endpoint("GET", "/me/second-factors", refuses=(Forbidden,))
async def factors(call: Call) -> SecondFactors:
    """List one's own second factors."""
    _whose(call)
    found = await second_factors.list_own(call.door, call.caller)
    left = await second_factors.codes_left(call.door, call.caller)
    return SecondFactors(items=[SecondFactor.of(each) for each in found], recovery_codes_left=left)


@endpoint("POST", "/me/recovery-codes", refuses=(Forbidden, NotAllowedNow, ProofNeeded, NotFound))
async def new_codes(call: Call) -> RecoveryCodes:
    """Make new recovery codes; the older ones are dead. By a session only."""
    return RecoveryCodes(codes=list(await second_factors.new_codes(call.door, _person(call))))
