"""What particular identity providers send: transforms and switches, by a profile per token.

A transform is pure, body → body, and runs before the generic code, only for tokens of a profile that
has it. Each names itself, the date on which it was last checked, and its source.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from operator import is_
from typing import Any, Literal

from scim2_models.path import FilterNode

from scimd.core.catalogue import Form
from scimd.core.people import Document
from scimd.scim import filters
from scimd.scim.operations import PatchRules

Part = Literal["create", "replace", "patch"]


@dataclass(frozen=True, slots=True)
class Quirk:
    """One habit of one provider, and the form in which the generic code takes it.

    ``apply`` gives back the very body that it got where there is nothing to do.
    """

    name: str
    seen: date
    source: str
    kinds: frozenset[str]
    parts: frozenset[Part]
    apply: Callable[[Document], Document]

    @property
    def does(self) -> str:
        """What it does, in the words of its function, for the request log."""
        return (self.apply.__doc__ or self.name).strip().partition("\n")[0]


def naming(*names: str) -> Callable[[Iterable[str]], bool]:
    """From names in ASCII to a test whether an object has one of them as a key, whatever its case.

    Most bodies have nothing to change: this says so without a copy of them. A key of another length than
    all the names is none of them, since no letter in lower case is two of ASCII, or none.
    """
    wanted = frozenset(name.lower() for name in names)
    lengths = frozenset(map(len, wanted))

    def named(given: Iterable[str]) -> bool:
        fitting = [key for key in given if len(key) in lengths]
        return bool(fitting) and not wanted.isdisjoint([key.lower() for key in fitting])

    return named


def each_operation(body: Document, change: Callable[[Any], Any]) -> Document:
    """A PATCH with each operation as ``change`` gives it back; the very body where it changes none."""
    operations = body.get("Operations")
    if not isinstance(operations, list):
        return body
    changed = [change(each) for each in operations]
    if all(map(is_, changed, operations)):
        return body
    return {**body, "Operations": changed}


_MESSAGE = {key.lower(): key for key in ("schemas", "Operations")}
_OPERATION = {key: key for key in ("op", "path", "value")}
_MESSAGES_OWN, _OPERATIONS_OWN = frozenset(_MESSAGE.values()), frozenset(_OPERATION)


def spelled(body: Document) -> Document:
    """A PATCH with its message's keys as RFC 7644 spells them, whose case does not count (RFC 7643 §2.1).

    Of two spellings, the last counts.
    """
    if not _MESSAGES_OWN.issuperset(body):
        body = {_MESSAGE.get(key.lower(), key): value for key, value in body.items()}
    return each_operation(body, _spelled_operation)


def _spelled_operation(operation: Any) -> Any:
    if not isinstance(operation, Mapping) or _OPERATIONS_OWN.issuperset(operation):
        return operation
    return {_OPERATION.get(key.lower(), key): value for key, value in operation.items()}


@dataclass(frozen=True, slots=True)
class Profile:
    """How a provider is spoken with."""

    name: str
    quirks: tuple[Quirk, ...] = ()
    rules: PatchRules = field(default_factory=PatchRules)
    #: PATCH of a user answers 200 with the resource, else 204; of a group likewise.
    user_patch_answers: bool = True
    group_patch_answers: bool = False
    #: Whose form /Roles and /Entitlements have.
    catalogue: Form = "draft"
    #: From the text of a filter to its syntax tree. Raises invalidFilter.
    read_filter: Callable[[str], FilterNode] = filters.parse
    _applying: Mapping[tuple[str, Part], tuple[Quirk, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        applying: dict[tuple[str, Part], tuple[Quirk, ...]] = {}
        for quirk in self.quirks:
            for pair in itertools.product(quirk.kinds, quirk.parts):
                applying[pair] = (*applying.get(pair, ()), quirk)
        object.__setattr__(self, "_applying", applying)

    def transform(self, kind: str, part: Part, body: Document) -> tuple[Document, tuple[Quirk, ...]]:
        """The body as the generic code takes it, and the transforms that changed it."""
        applied: tuple[Quirk, ...] = ()
        quirks = self._applying.get((kind, part), ())
        if quirks and part == "patch":
            body = spelled(body)
        for quirk in quirks:
            changed = quirk.apply(body)
            if changed is not body:
                applied = (*applied, quirk)
                body = changed
        return body, applied
