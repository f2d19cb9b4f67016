"""/Users (RFC 7644 §3.3-3.6): wire to facts, records to wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from scimd.core.attributes import USER, ResourceKind
from scimd.core.people import Document, PersonId
from scimd.core.resource import StoredUser, etag, render_user, user_location
from scimd.core.travelling import travels
from scimd.org.reading import reads
from scimd.org.users import people
from scimd.org.users.people import AssertUser
from scimd.scim import patch
from scimd.scim.documents import bounded, checked, document_of, replacement_of, settled
from scimd.scim.effort import MAX_GONE_OVER
from scimd.scim.etag import is_unchanged
from scimd.scim.exchange import Exchange, answer, missing
from scimd.scim.listing import Pages, list_query
from scimd.scim.operations import Operation, PatchRules, operations_of


async def create(ex: Exchange) -> web.Response:
    """POST /Users. An account that says nothing of ``active`` is active."""
    given = await ex.body(ex.users, "create")
    projection = ex.projection(ex.users).after(given)
    document = document_of(ex.users, given, ex.rules)
    document.setdefault("active", True)
    stored = await people.create_user(ex.door, ex.ctx, AssertUser(document, document.get("externalId")))
    body = render_user(stored, ex.settings.base_url, projection)
    return answer(201, body, _head(ex, etag(stored.version, stored.rest), stored.person_id))


async def read(ex: Exchange) -> web.Response:
    """GET /Users/{id}."""
    found = await reads.scim_user(ex.door, ex.ctx, _id(ex), ex.view(ex.users))
    if found is None:
        raise missing(USER, ex.id)
    if is_unchanged(ex.header, found.tag):
        return answer(304, headers={"ETag": found.tag})
    return answer(200, found.body, _head(ex, found.tag, found.id))


async def replace(ex: Exchange) -> web.Response:
    """PUT /Users/{id}. What is absent is cleared, but for ``active`` (docs/decisions/0022)."""
    given = await ex.body(ex.users, "replace")
    change = Replaced(replacement_of(ex.users, given, ex.rules))
    changed = await people.change_user(ex.door, ex.ctx, _id(ex), change, if_match=ex.precondition())
    return _shown(ex, changed, given)


@travels
@dataclass(frozen=True, slots=True)
class Replaced:
    fresh: Document

    def __call__(self, stored: Document, users: ResourceKind) -> Document:
        kept = {"active": stored["active"]} if "active" in stored and "active" not in self.fresh else {}
        return bounded({**settled(self.fresh, stored), **kept})


async def modify(ex: Exchange) -> web.Response:
    """PATCH /Users/{id}: atomic, applied to the stored document inside the transaction."""
    given = await ex.body(ex.users, "patch")
    operations = operations_of(given, ex.settings.max_operations, ex.profile.rules)
    changed = await people.change_user(
        ex.door,
        ex.ctx,
        _id(ex),
        Patched(operations, ex.profile.rules, ex.may_go_over(operations)),
        if_match=ex.precondition(),
    )
    if not ex.profile.user_patch_answers and "attributes" not in ex.query:
        return answer(204, headers={"ETag": etag(changed.version, changed.rest)})
    return _shown(ex, changed, given)


@travels
@dataclass(frozen=True, slots=True)
class Patched:
    operations: Sequence[Operation]
    rules: PatchRules
    gone_over: int = MAX_GONE_OVER

    def __call__(self, stored: Document, users: ResourceKind) -> Document:
        return patch.apply(users, stored, self.operations, self.rules, self.gone_over)


async def fill_in(ex: Exchange) -> web.Response:
    """What a POST of a bulk request had to leave open: only what nobody has said meanwhile."""
    given = await ex.body(ex.users, "create")
    change = FilledIn(checked(ex.users, given, ex.rules))
    changed = await people.change_user(ex.door, ex.ctx, _id(ex), change)
    return answer(204, headers={"ETag": etag(changed.version, changed.rest)})


@travels
@dataclass(frozen=True, slots=True)
class FilledIn:
    open: Document

    def __call__(self, stored: Document, users: ResourceKind) -> Document:
        within = {
            urn: {**more, **stored[urn]}
            for urn, more in self.open.items()
            if urn in stored and users.schema_of(urn) is not None
        }
        return bounded({**self.open, **stored, **within})


async def delete(ex: Exchange) -> web.Response:
    """DELETE /Users/{id}."""
    await people.delete_user(ex.door, ex.ctx, _id(ex), if_match=ex.precondition())
    return answer(204)


async def listing(ex: Exchange) -> web.Response:
    """GET /Users with filter, sort, page and projection."""
    view = ex.view(ex.users)
    pages = Pages(ex, "users")
    query = pages.of(list_query(ex, ex.users, pages.paging), ex.users)
    found = await reads.scim_users(ex.door, ex.ctx, query, view)
    body = pages.answer(found.resources, found.total, found.end, ex.users, found.before, found.moves)
    return answer(200, body)


def _shown(ex: Exchange, stored: StoredUser, written: Document | None = None) -> web.Response:
    body = render_user(stored, ex.settings.base_url, ex.projection(ex.users).after(written))
    return answer(200, body, _head(ex, etag(stored.version, stored.rest), stored.person_id))


def _head(ex: Exchange, tag: str, person_id: str) -> dict[str, str]:
    """As in the examples of RFC 7644 §3.4.1 and §3.5.1: a client need not look into the body."""
    return {"Location": user_location(person_id, ex.settings.base_url), "ETag": tag}


def _id(ex: Exchange) -> PersonId:
    return PersonId(ex.id or "")
