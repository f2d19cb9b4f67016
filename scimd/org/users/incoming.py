"""A user's entry on its way into the database: what was sent, whose it is, what became of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from sqlalchemy import Row

from scimd.core.attributes import USER, ResourceKind, columns_of, fold_document
from scimd.core.attributes.rows import INDEXED, SHOWN
from scimd.core.errors import InvalidValue, Refusal
from scimd.core.people import OBJECT, DecisionId, Document, Keys, PersonId, RunId, keys_of
from scimd.core.resource import as_stored, pack
from scimd.core.travelling import travels
from scimd.org.identities.candidates import Entry, Survey

RecordOutcome: TypeAlias = Literal["created", "updated", "unchanged", "returned", "linked", "refused"]


@travels
@dataclass(frozen=True, slots=True)
class AssertUser:
    """What a source says of one user now. ``document`` is complete: it replaces what was said before.

    ``person_id``: whose assertion of this source it is; one is made where they have none. None: the
    rules of matching say. ``link``: an admin's or a plan's word that the person is the one, so that
    no rule is asked. ``digest``, ``entry_name`` and ``run_id`` are the sync's own notes. ``place``
    orders newcomers of one call for seats. ``before``: the stored document, where the caller has read it.
    ``active``: what counts where the document does not say it.
    """

    document: Document
    external_id: str | None
    person_id: PersonId | None = None
    link: bool = False
    digest: bytes | None = None
    entry_name: str | None = None
    run_id: RunId | None = None
    place: str = ""
    before: Document | None = None
    active: bool = True


@dataclass(frozen=True, slots=True)
class Asserted:
    """What became of it. ``refusal`` is there exactly when the outcome is ``refused``."""

    person_id: PersonId | None
    outcome: RecordOutcome
    refusal: Refusal | None = None
    decision_id: DecisionId | None = None


@dataclass(slots=True, eq=False)
class Work:
    """One AssertUser in hand."""

    wish: AssertUser
    users: ResourceKind
    keys: Keys
    packed: bytes
    person_id: PersonId | None
    outcome: RecordOutcome = "created"
    #: On return: whether everything comes back.
    keeps: bool = True
    #: This source's stored assertion of the person, in whatever state; and whether it counted.
    old: Row[Any] | None = None
    was_live: bool = False
    refusal: Refusal | None = None
    decision_id: DecisionId | None = None
    #: The local user name to begin with, and what one look found near; for an entry that is most likely new.
    local_name: str = ""
    survey: Survey | None = None

    @property
    def entry(self) -> Entry:
        return Entry(self.keys, self.person_id)

    def met(self, old: Row[Any] | None) -> None:
        """``old``: what this source asserts of them, or did."""
        self.old = old
        self.was_live = old is not None and old.state == "live" and old.deleted_at is None
        if old is not None:
            self.packed = as_stored(old.document, self.packed)

    @property
    def id(self) -> PersonId:
        assert self.person_id is not None  # noqa: S101 - given to every row that is not refused
        return self.person_id

    def refuse(self, refusal: Refusal, decision_id: DecisionId | None = None) -> None:
        self.outcome, self.refusal, self.decision_id = "refused", refusal, decision_id

    def same(self) -> bool:
        """Whether the stored assertion says all this already."""
        return (
            self.was_live
            and self.old is not None
            and self.old.document == self.packed
            and self.old.external_id == self.keys.external_id
        )

    def result(self) -> Asserted:
        person_id = None if self.refusal and self.outcome == "refused" else self.person_id
        return Asserted(person_id, self.outcome, self.refusal, self.decision_id)


def prepare(wish: AssertUser, users: ResourceKind) -> Work:
    """Derive what is stored and compared. A document that cannot be stored is refused, here alone."""
    document = wish.document
    if not isinstance(document.get("userName"), str) or not document["userName"].strip():
        return _unfit(wish, InvalidValue("userName", "it must be a string that is not empty"))
    keys = keys_of(document)
    if keys.external_id != wish.external_id:
        keys = replace(keys, external_id=wish.external_id)
    if not wish.active and document.get("active") is None:
        keys = replace(keys, active=False)
    if over := _over_long(document, keys):
        return _unfit(wish, over)
    try:
        packed = pack(document, users)
    except TypeError as exc:
        return _unfit(wish, InvalidValue("document", f"it cannot be written as JSON: {exc}"))
    if b"\\u0000" in packed or "\x00" in (wish.external_id or ""):
        return _unfit(wish, InvalidValue("document", "it contains the character NUL, which cannot be stored"))
    return Work(wish, users, keys, packed, wish.person_id)


def too_long(name: str, most: int = INDEXED) -> InvalidValue:
    """Of a value that is kept whole, or by which somebody or something is found."""
    return InvalidValue(name, f"it is longer than {most} characters")


def _over_long(document: Document, keys: Keys) -> Refusal | None:
    """Of the first value that no index takes, or of a name that is too long to show."""
    found_by = [
        ("userName", keys.user_name, INDEXED),
        ("externalId", keys.external_id, INDEXED),
        ("displayName", document.get("displayName"), SHOWN),
        ("employeeNumber", keys.employee_number_key, INDEXED),
    ]
    rows = document.get("emails") or ()
    found_by += [("emails", row.get("value"), INDEXED) for row in rows if isinstance(row, OBJECT)]
    over = ((name, most) for name, value, most in found_by if isinstance(value, str) and len(value) > most)
    return next(itertools.starmap(too_long, over), None)


def _unfit(wish: AssertUser, refusal: Refusal) -> Work:
    work = Work(wish, USER, Keys("", "", None, "", None, None, True), b"", wish.person_id)
    work.refuse(refusal)
    return work


def columns(work: Work, *, folded: bool = True) -> dict[str, Any]:
    """The columns of ``assertions`` that come from the document; ``folded`` False leaves that one out."""
    keys, document = work.keys, work.wish.document
    more = {"folded": fold_document(document, work.users)} if folded else {}
    return more | {
        "external_id": keys.external_id,
        "user_name": keys.user_name,
        "user_name_key": keys.user_name_key,
        "active": keys.active,
        "document": work.packed,
        "sign_in_key": keys.sign_in_key,
        "employee_number_key": keys.employee_number_key,
        "digest": work.wish.digest,
        "entry_name": work.wish.entry_name,
        "seen_run_id": work.wish.run_id,
        **columns_of(document),
    }
