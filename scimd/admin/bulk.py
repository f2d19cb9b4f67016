"""The same for many: each row goes through the door by itself, and the answer says what became of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from pydantic import Field, create_model

from scimd.admin.endpoints import Call, Endpoint
from scimd.admin.models import Id, Input, NoQuery, Nothing, Output, Refused, Results, Rows
from scimd.core.errors import Refusal
from scimd.http import statuses

AT_MOST = 200
O = TypeVar("O", bound=Output)  # noqa: E741 - an answer
B = TypeVar("B")


async def in_rows(rows: Iterable[B], one: Callable[[B], Awaitable[O | None]], status: int = 200) -> Rows[O]:
    """Do it to each of the body's ``items`` in order. A refusal is that row's answer; the others go on."""
    done: list[O | Refused | None] = []
    for row in rows:
        try:
            done.append(await one(row))
        except Refusal as exc:
            done.append(Refused(statuses.of_refusal(exc)))
    return Rows(done, status)


def bulk(one: Endpoint, path: str) -> Endpoint:
    """The row of the table that does what ``one`` does to many: ``{"items": [{"id": …, …}, …]}``.

    ``one`` has ``{id}`` in its path; the fields of its body stand beside the id in each item.
    """
    item = create_model(f"{_title(one)}Item", __base__=one.body or Input, id=(Id, ...))
    items: Any = Annotated[list[item], Field(min_length=1, max_length=AT_MOST)]
    results: Any = Results

    async def many(call: Call, body: Any) -> Rows[Any]:
        return await in_rows(body.items, lambda row: _single(one, call, row), one.status)

    many.__name__ = f"{one.handler.__name__}_many"
    return replace(
        one,
        method="POST",
        path=path,
        handler=many,
        summary=f"{one.summary}: many at once",
        description=f"At most {AT_MOST} rows. Each is done by itself, and the answer says what became of it.",
        query=NoQuery,
        takes_query=False,
        body=create_model(f"{_title(one)}Many", __base__=Input, items=(items, ...)),
        answer=results[one.answer or Nothing],
        status=200,
        etag=False,
        needs_if_match=False,
    )


async def _single(one: Endpoint, call: Call, row: Any) -> Any:
    call = replace(call, path={"id": row.id})
    if one.body is None:
        return await one(call)
    values = {name: value for name, value in row if name != "id"}
    return await one(call, body=one.body.model_construct(row.model_fields_set - {"id"}, **values))


def _title(row: Endpoint) -> str:
    return "".join(part.capitalize() for part in f"{row.tag}_{row.handler.__name__}".split("_"))
