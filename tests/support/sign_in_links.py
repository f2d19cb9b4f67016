"""A one-time link for whoever a test is about; the host makes them for admins alone."""

from __future__ import annotations

from scimd.core.people import PersonId
from scimd.org.authentication import links
from scimd.org.tx import Context, Door, Tx


async def sign_in_link(door: Door, ctx: Context, person_id: PersonId) -> str:
    """The token of a new link, made as ``first_admins.create_admin`` makes it."""

    def body(tx: Tx) -> str:
        link_id = links.make(tx, person_id, "sign_in", links.SIGN_IN_VALID_S)
        return links.token(tx, "sign_in", link_id, "copy")

    return await door.run(ctx, body)
