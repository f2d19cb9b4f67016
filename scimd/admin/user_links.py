"""Whose an entry is, by hand: link, unlink, merge, and the ways back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import Field

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Flag, Id, Input, Output, Query, Text
from scimd.core.errors import (
    NotAllowedNow,
    NotFound,
    NotUnique,
    OwnAccount,
    PoolLimitReached,
    Protected,
    SeatLimitReached,
)
from scimd.core.people import PersonId
from scimd.org.identities import linking, merged, merging, unmerging
from scimd.org.rehearsal import rehearse
from scimd.org.tx import Door

T = TypeVar("T")
_MANAGE = ("users.manage",)
_REFUSES = (NotFound, NotAllowedNow, OwnAccount, Protected, PoolLimitReached, SeatLimitReached)


class PreviewQuery(Query):
    preview: Flag = Field(False, description="Only tell what would change.")


class Entry(Input):
    source: Text = Field(description="The source's name.")
    entry: Text = Field(description="The entry's external id, or its userName.")


class OfSource(Input):
    source: Text = Field(description="The source's name.")


class Other(Input):
    other: Id = Field(description="The id of the user who goes into this one.")


class Change(Output):
    """One thing that changes, as the audit has it."""

    kind: str
    target_kind: str
    target_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    note: str


class Linked(Output):
    id: str = Field(description="The user's.")
    done: bool = Field(description="False of a preview.")
    linked: bool = Field(description="False where the entry is linked when the source brings it.")
    changes: list[Change] = Field(description="Of a preview; else the audit has them.")


class Unlinked(Output):
    id: str = Field(description="The user's.")
    done: bool = Field(description="False of a preview.")
    new_id: str | None = Field(description="Of the user that the entry is now; null of a preview.")
    changes: list[Change] = Field(description="Of a preview; else the audit has them.")


class Merged(Output):
    id: str = Field(description="Of the user who was kept.")
    done: bool = Field(description="False of a preview.")
    merged: str = Field(description="The other's id, which answers for the kept one.")
    changes: list[Change] = Field(description="Of a preview; else the audit has them.")


class Unmerged(Output):
    id: str = Field(description="Of the user who was kept.")
    done: bool = Field(description="False of a preview.")
    unmerged: str = Field(description="The other's id, which is their own again.")
    changes: list[Change] = Field(description="Of a preview; else the audit has them.")


async def _told(
    call: Call, query: PreviewQuery, work: Callable[[Door], Awaitable[T]]
) -> tuple[T, list[Change]]:
    """Do it, or rehearse it."""
    if not query.preview:
        return await work(call.door), []
    value, events = await rehearse(call.door, work)
    return value, [Change.of(each) for each in events]


@endpoint("POST", "/users/{id}/link", needs=_MANAGE, refuses=_REFUSES)
async def link(call: Call, query: PreviewQuery, body: Entry) -> Linked:
    """Make a source's entry this user's: at once, or when it comes.

    An entry that is somebody else moves over, if no hand has given that somebody anything; else merge
    the two. Unlink takes it back. Whoever links must hold all that the source can give.
    """
    linked, changes = await _told(
        call,
        query,
        lambda door: linking.link(door, call.ctx, PersonId(call.id), body.source, body.entry),
    )
    return Linked(id=call.id, done=not query.preview, linked=linked, changes=changes)


@endpoint("POST", "/users/{id}/unlink", needs=_MANAGE, refuses=_REFUSES)
async def unlink(call: Call, query: PreviewQuery, body: OfSource) -> Unlinked:
    """Make what a source says of this user a user of its own again.

    Link takes it back.
    """
    new_id, changes = await _told(
        call, query, lambda door: linking.unlink(door, call.ctx, PersonId(call.id), body.source)
    )
    done = not query.preview
    return Unlinked(id=call.id, done=done, new_id=new_id if done else None, changes=changes)


@endpoint("POST", "/users/{id}/merge", needs=_MANAGE, refuses=_REFUSES)
async def merge(call: Call, query: PreviewQuery, body: Other) -> Merged:
    """Make one user of two.

    Grants are united, and there is one seat; both ids answer from then on. This user stays who they are.
    For 30 days `unmerge`, with the other's id, takes it back.
    """

    async def work(door: Door) -> None:
        async def of(other: PersonId) -> None:
            await merging.merge(door, call.ctx, PersonId(call.id), other)

        await merged.follow(door, call.org_id, PersonId(body.other), of)

    _, changes = await _told(call, query, work)
    return Merged(id=call.id, done=not query.preview, merged=body.other, changes=changes)


@endpoint("POST", "/users/{id}/unmerge", needs=_MANAGE, refuses=(*_REFUSES, NotUnique))
async def unmerge(call: Call, query: PreviewQuery) -> Unmerged:
    """Undo a merge, by the id of the user who was merged into another; within 30 days.

    What came from them goes back: sources, memberships, grants by hand, gates. What the other got since
    stays. Their password is gone; a link to set one goes by mail.
    """
    kept, changes = await _told(
        call, query, lambda door: unmerging.unmerge(door, call.ctx, PersonId(call.id))
    )
    return Unmerged(id=kept, done=not query.preview, unmerged=call.id, changes=changes)
