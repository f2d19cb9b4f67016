"""Every refusal that scimd knows: one class each, with the facts, and no HTTP.

The class docstring is the default text. ``str(refusal)`` is a sentence for whoever asked: what was
wrong, where, and what to do. ``code`` is stable; clients may rely on it. Each edge translates by a
table of its own (a test there fails on a missing class), so a new rule never learns about status
codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from scimd.core import causes


class Refusal(Exception):
    """Refused."""

    code: ClassVar[str] = "refused"

    def __reduce__(self) -> tuple[Any, ...]:
        """By its facts: how it was constructed is not kept."""
        return _refused_again, (type(self), dict(vars(self)))

    @property
    def detail(self) -> str:
        """The sentence. Subclasses with facts override it."""
        return (type(self).__doc__ or "Refused.").strip().splitlines()[0]

    def __str__(self) -> str:
        return self.detail

    def facts(self) -> dict[str, Any]:
        """The fields of the refusal, for errors that carry structure and for the audit."""
        return dict(vars(self))


def _refused_again(kind: type[Refusal], facts: dict[str, Any]) -> Refusal:
    refusal = kind.__new__(kind)
    vars(refusal).update(facts)
    return refusal


# ------------------------------------------------------------------------------ what was asked for


@dataclass(eq=False)
class NotFound(Refusal):
    """There is no such thing here. ``why``: the sentence where it is here, and not somebody's own."""

    kind: str = "resource"
    id: str = ""
    why: str = ""
    code: ClassVar[str] = "not_found"

    @property
    def detail(self) -> str:
        if self.why:
            return self.why
        return f"There is no {self.kind} {self.id!r} here." if self.id else f"There is no such {self.kind}."


@dataclass(eq=False)
class InvalidValue(Refusal):
    """A value is not allowed where it stands."""

    attribute: str
    why: str
    code: ClassVar[str] = "invalid_value"

    @property
    def detail(self) -> str:
        return f"{self.attribute}: {self.why}"


@dataclass(eq=False)
class NotUnique(Refusal):
    """Somebody else holds this value. ``holder`` says who manages them, when that may be told."""

    attribute: str
    value: str
    holder: str | None = None
    decision_id: str | None = None
    code: ClassVar[str] = "uniqueness"

    @property
    def detail(self) -> str:
        who = f" It is held by {self.holder}." if self.holder else ""
        way = f" An admin can decide it under To decide, item {self.decision_id}." if self.decision_id else ""
        return f"{self.attribute} {self.value!r} is taken.{who}{way}"


@dataclass(eq=False)
class VersionMismatch(Refusal):
    """The resource was changed since you read it. Read it again and repeat the change."""

    id: str
    current: str
    code: ClassVar[str] = "version_mismatch"


@dataclass(eq=False)
class StateMoved(Refusal):
    """What the plan rests on has changed since it was made. Make a new plan."""

    why: str
    code: ClassVar[str] = "state_moved"

    @property
    def detail(self) -> str:
        return f"{self.why}. Make a new plan: nothing was applied."


# ------------------------------------------------------------------------------ who may


class NotAuthenticated(Refusal):
    """No valid credential came with this request."""

    code: ClassVar[str] = "not_authenticated"


@dataclass(eq=False)
class Forbidden(Refusal):
    """Your permissions do not allow this. ``role``: whose power is above the caller's; ``who`` holds it."""

    needs: str
    role: str = ""
    who: str = ""
    code: ClassVar[str] = "forbidden"

    @property
    def detail(self) -> str:
        if self.who:
            return f"{self.who} has the role {self.role}, which may do what you may not ({self.needs})."
        if self.role:
            return f"The role {self.role} may do what you may not ({self.needs})."
        return f"This needs the permission {self.needs}."


@dataclass(eq=False)
class NotYours(Refusal):
    """The person belongs to no source; this token's source may link them, but not remove them."""

    person: str
    code: ClassVar[str] = "not_yours"


@dataclass(eq=False)
class AddressDiffers(Refusal):
    """A local person can only be linked by a request that carries the address they sign in with."""

    person: str
    code: ClassVar[str] = "address_differs"


@dataclass(eq=False)
class OwnedBySource(Refusal):
    """A directory owns this; change it there."""

    attribute: str
    source: str
    code: ClassVar[str] = "owned_by_source"

    @property
    def detail(self) -> str:
        return f"{self.attribute} comes from the source {self.source}. Change it there."


@dataclass(eq=False)
class Protected(Refusal):
    """This person is protected."""

    person: str
    why: str
    code: ClassVar[str] = "protected"

    @property
    def detail(self) -> str:
        return f"{self.person} cannot be deactivated, demoted or removed: {self.why}. Nothing was changed."


@dataclass(eq=False)
class OwnAccount(Refusal):
    """Nobody does this to their own account. Ask another admin."""

    what: str
    code: ClassVar[str] = "own_account"

    @property
    def detail(self) -> str:
        return f"Nobody can {self.what} their own account. Ask another admin of the organization."


@dataclass(eq=False)
class WrongCredentials(Refusal):
    """The address or the password is wrong."""

    code: ClassVar[str] = "wrong_credentials"


@dataclass(eq=False)
class SecondFactorUnreadable(Refusal):
    """This cannot be checked any more, for its key is gone. Ask an admin to reset your second factors."""

    code: ClassVar[str] = "second_factor_unreadable"


@dataclass(eq=False)
class MayNotSignIn(Refusal):
    """The password was right, and this person may not come in. ``cause`` says why, as it is stored."""

    cause: str
    code: ClassVar[str] = "may_not_sign_in"

    @property
    def detail(self) -> str:
        return (
            f"You cannot sign in at present: {causes.words(self.cause)}. Ask an admin of your organization."
        )


@dataclass(eq=False)
class SecondFactorAsked(Refusal):
    """The first step is done. A code of the authenticator app, a passkey or a recovery code completes it."""

    ticket: str
    kinds: tuple[str, ...]
    code: ClassVar[str] = "second_factor_asked"


class SecondFactorMissing(Refusal):
    """Your role needs a second factor. Set one up on the page, and go on from there."""

    code: ClassVar[str] = "second_factor_missing"


class ProofNeeded(Refusal):
    """Confirm once more that it is you, by your password or second factor; that is good for ten minutes."""

    code: ClassVar[str] = "proof_needed"


# ------------------------------------------------------------------------------ seats, invitations


@dataclass(eq=False)
class SeatLimitReached(Refusal):
    """All seats are taken."""

    limit: int
    used: int
    active: int
    invited: int
    who: str
    verb: str = "created"
    get_more_url: str | None = None
    code: ClassVar[str] = "seat_limit_reached"

    @property
    def detail(self) -> str:
        more = f" Get more seats: {self.get_more_url}" if self.get_more_url else ""
        return (
            f"Seat limit reached: {self.used} of {self.limit} used "
            f"({self.active} active, {self.invited} invited). "
            f"{self.who} was not {self.verb}. Free a seat or raise the limit.{more}"
        )


@dataclass(eq=False)
class PoolLimitReached(Refusal):
    """The limit of people who may have this is reached."""

    kind: str  # project | licence
    name: str
    limit: int
    used: int
    who: str
    verb: str = "updated"
    code: ClassVar[str] = "pool_limit_reached"

    @property
    def detail(self) -> str:
        return (
            f"Limit of the {self.kind} {self.name!r} reached: {self.used} of {self.limit} used. "
            f"{self.who} was not {self.verb}. Take it from somebody or raise the limit."
        )


@dataclass(eq=False)
class InvitationClosed(Refusal):
    """The invitation is no longer open. ``status`` is what became of it."""

    status: str
    code: ClassVar[str] = "invitation_closed"

    @property
    def detail(self) -> str:
        return {
            "accepted": "This invitation was accepted already. Sign in instead.",
            "declined": "This invitation was declined. Ask for a new one if that was a mistake.",
            "expired": "This invitation has expired. Ask the person who invited you for a new one.",
            "cancelled": "This invitation was withdrawn.",
        }.get(self.status, "This invitation is no longer open.")


class LinkInvalid(Refusal):
    """This link is not valid. Open the newest mail, or ask for a new link."""

    code: ClassVar[str] = "link_invalid"


@dataclass(eq=False)
class WeakPassword(Refusal):
    """The password is too easy to guess. ``figures`` stand in ``why`` as ``%(name)s``."""

    why: str
    figures: Mapping[str, str] = field(default_factory=dict)
    code: ClassVar[str] = "weak_password"
    #: What ``why`` goes on from.
    advice: ClassVar[str] = "Choose another password: %(why)s"

    @property
    def detail(self) -> str:
        return self.advice % {"why": self.why % self.figures}


# ------------------------------------------------------------------------------ bounds, trouble


@dataclass(eq=False)
class TooLarge(Refusal):
    """More than scimd takes at once."""

    what: str
    limit: int
    code: ClassVar[str] = "too_large"

    @property
    def detail(self) -> str:
        return f"{self.what}: more than the {self.limit} that are allowed."


@dataclass(eq=False)
class KeyReused(Refusal):
    """A different request was sent with this Idempotency-Key before. Give each request a key of its own."""

    key: str
    code: ClassVar[str] = "idempotency_key_reused"


@dataclass(eq=False)
class RequestInProgress(Refusal):
    """The request with this Idempotency-Key is being carried out. Send it again to get its answer."""

    retry_after_s: float = 1.0
    code: ClassVar[str] = "request_in_progress"


@dataclass(eq=False)
class AnswerLost(Refusal):
    """The request with this Idempotency-Key was carried out, and its answer is lost. Look at what it made."""

    key: str
    code: ClassVar[str] = "answer_lost"


@dataclass(eq=False)
class TooManyRequests(Refusal):
    """Too many requests; come back later."""

    retry_after_s: float
    code: ClassVar[str] = "too_many_requests"


@dataclass(eq=False)
class Overloaded(Refusal):
    """scimd is busy; the request was not begun. Send it again later."""

    retry_after_s: float = 1.0
    code: ClassVar[str] = "overloaded"


@dataclass(eq=False)
class DatabaseUnavailable(Refusal):
    """The database does not answer; nothing was changed. Send the request again later."""

    retry_after_s: float = 2.0
    why: str | None = None  # instead of the default sentence
    code: ClassVar[str] = "database_unavailable"

    @property
    def detail(self) -> str:
        return self.why or super().detail


class StorageFull(Refusal):
    """The disk is full or read-only; nothing was changed."""

    code: ClassVar[str] = "storage_full"


@dataclass(eq=False)
class LeaseLost(Refusal):
    """Another process took over this source; this one stops without writing."""

    source: str
    code: ClassVar[str] = "lease_lost"


@dataclass(eq=False)
class Busy(Refusal):
    """Somebody else is doing this right now."""

    what: str
    code: ClassVar[str] = "busy"

    @property
    def detail(self) -> str:
        return f"{self.what} is running already. Wait for it, or look at it with: scimd run list"


@dataclass(eq=False)
class NotAllowedNow(Refusal):
    """The thing is in a state in which this cannot be done."""

    why: str
    code: ClassVar[str] = "not_allowed_now"

    @property
    def detail(self) -> str:
        return self.why
