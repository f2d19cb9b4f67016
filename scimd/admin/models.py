"""What requests and answers are made of: the models that validate are the ones that are documented.

- ``Input``: a request's body. Unknown fields are refused, types are exact. Absent is not null:
  ``given()`` holds what was sent and nothing else.
- ``Query``, ``ListQuery``: parameters, written as text and read by their type.
- ``Output``: an answer. ``Output.of(record)`` takes the fields that it names from a record of the door.
- ``Listed[Row]``: what the handler of a list gives; it goes out as a ``Page`` or, whole, as a file.
- ``Download``: a file.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from scimd.core.words import NAME_AT_MOST
from scimd.http import statuses
from scimd.org.windows import Place, Slice

R = TypeVar("R")

# ------------------------------------------------------------------------------ kinds of values

_NO_NUL = r"^[^\u0000]*$"
_NOT_BLANK = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _whole(value: object) -> object:
    """Of text digits and nothing else: pydantic would read ``1_000`` as well. In JSON 5.0 is 5."""
    if isinstance(value, str) and not (value.isascii() and value.removeprefix("-").isdigit()):
        raise ValueError("must be a whole number")
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _flag(value: object) -> object:
    if isinstance(value, str) and value not in ("true", "false"):
        raise ValueError("must be true or false")
    return value


def _moment(value: object) -> object:
    """RFC 3339 §5.6, with its offset: pydantic would read ``0.5`` as a time, too.

    It is made here, for in a body pydantic takes no text for a time from a function before it.
    """
    if not isinstance(value, str):
        return value
    if not _MOMENT.fullmatch(value):
        raise ValueError("must be a time with its offset, as 2027-01-31T09:00:00Z")
    return datetime.fromisoformat(value.upper())


#: A moment, aware.
Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
#: A whole number: ``Annotated[int, Field(ge=1), WHOLE]``; a truth value among parameters.
WHOLE = BeforeValidator(_whole)
Flag = Annotated[bool, BeforeValidator(_flag)]
#: Text of one line or a few; longer ones say so where they stand.
Text = Annotated[str, StringConstraints(max_length=256, pattern=_NO_NUL)]
Name = Annotated[
    str, StringConstraints(min_length=1, max_length=NAME_AT_MOST, pattern=_NOT_BLANK, strip_whitespace=True)
]
LongText = Annotated[str, StringConstraints(max_length=4000, pattern=_NO_NUL)]
#: An id of ours, or whatever a client takes for one: what names nothing is not there (404).
Id = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=_NO_NUL)]
Search = Annotated[str, StringConstraints(max_length=200, pattern=_NO_NUL)]

# ------------------------------------------------------------------------------ requests


class Input(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    def given(self) -> dict[str, Any]:
        """The fields that were sent, null ones among them."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Query(BaseModel):
    """Parameters of one endpoint. Every endpoint of an organization takes this one."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    organization: Annotated[str, StringConstraints(max_length=64, pattern=_NO_NUL)] | None = Field(
        None, description="Operators only: the slug of the organization to act in, instead of their own."
    )


class ListQuery(Query):
    """Parameters of a list. A list adds its filters, ``q`` where it can be searched, and ``sort``."""

    limit: Annotated[int, Field(ge=1, le=500), WHOLE] = Field(100, description="Rows of a page.")
    cursor: Annotated[str, StringConstraints(max_length=2000, pattern=r"^[A-Za-z0-9_-]*$")] | None = Field(
        None, description="`next` of the page before; with the same filters and the same `sort`."
    )
    total: Flag = Field(False, description="Count the rows of the whole list, too.")
    format: Literal["csv", "json"] | None = Field(
        None, description="The whole list as a file; `limit` and `cursor` do not count then."
    )


class NoQuery(Query):
    """Nothing but the organization."""


# ------------------------------------------------------------------------------ answers


class Output(BaseModel):
    model_config = ConfigDict(from_attributes=True, extra="ignore")

    @classmethod
    def of(cls, record: object) -> Self:
        """The fields of the same names; a nested record becomes the nested model."""
        return cls.model_validate(record)


O = TypeVar("O", bound=Output)  # noqa: E741 - an answer


class Page(Output, Generic[O]):
    """A page of a list."""

    items: list[O]
    next: str | None = Field(None, description="The cursor of the next page; null on the last.")
    total: int | None = Field(None, description="Rows of the whole list, where `total=true` was asked.")

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        return f"{params[0].__name__}Page"


@dataclass(frozen=True, slots=True)
class Listed(Generic[O]):
    """What a list's handler gives: the rows of the call's window as models, and where they end."""

    rows: list[O]
    next: Place | None
    total: int | None

    @classmethod
    def of(cls, found: Slice[R], each: Callable[[R], O]) -> Listed[O]:
        return cls([each(row) for row in found.rows], found.next, found.total)


@dataclass(frozen=True, slots=True)
class Download:
    """An answer that is a file, sent piece by piece."""

    name: str
    kind: str
    pieces: AsyncIterator[str]


class Fault(Output):
    """One thing that is wrong with a request."""

    field: str = Field(
        description="A JSON pointer into the body (RFC 6901; empty: all of it), or a parameter's name."
    )
    why: str


class Problem(Output):
    """An error (RFC 9457). Programs go by `code`, which is stable; people read `detail`."""

    type: str = Field(description="Where the code is explained.")
    title: str
    status: int
    code: str
    detail: str
    instance: str = Field(description="The request's id, under which the log has it.")
    errors: list[Fault] | None = None
    facts: dict[str, Any] | None = Field(
        None, description="The figures that `detail` names, or what became of an invitation."
    )


# ------------------------------------------------------------------------------ many at once


class Nothing(Output):
    """An answer without content."""


class RowResult(Output, Generic[O]):
    """What became of one row: ``answer`` as the single request would have got it, or ``problem``."""

    index: int = Field(description="The row's place in the request, from 0.")
    status: int
    answer: O | None = None
    problem: Problem | None = None

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        return f"{params[0].__name__}Result"


class Results(Output, Generic[O]):
    results: list[RowResult[O]]

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        return f"{params[0].__name__}Results"


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that was refused."""

    fault: statuses.Fault


@dataclass(frozen=True, slots=True)
class Rows(Generic[O]):
    """What a handler for many gives (``bulk.in_rows``); it goes out as ``Results``.

    ``status``: of a row that was done. ``of``: the list in the body that the rows are of, or None.
    """

    done: list[O | Refused | None]
    status: int
    of: str | None = "items"
