"""Refusals as HTTP statuses, for the page and the REST API. SCIM has a table of its own.

A test fails when a refusal of ``core.errors`` has no row here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from aiohttp import web

from scimd.core import errors


class ForeignForm(errors.Refusal):
    """This form is older than your sign-in, or not of this scimd. Open the page again, and repeat it."""

    code: ClassVar[str] = "foreign_form"


@dataclass(frozen=True, slots=True)
class FieldFault:
    """One thing that is wrong: where (a JSON pointer into the body, or a parameter's name), and why."""

    field: str
    why: str


@dataclass(eq=False)
class InvalidRequest(errors.Refusal):
    """Something in the request is not as the address takes it; ``faults`` says what, all of it."""

    faults: tuple[FieldFault, ...]
    code: ClassVar[str] = "invalid_request"

    @property
    def detail(self) -> str:
        first = self.faults[0]
        more = f" And {len(self.faults) - 1} more." if len(self.faults) > 1 else ""
        where = f"{first.field}:" if first.field else "The body"
        return f"{where} {first.why}.{more}"


@dataclass(eq=False)
class MalformedBody(errors.Refusal):
    """The body is no JSON."""

    why: str
    code: ClassVar[str] = "malformed_body"

    @property
    def detail(self) -> str:
        return f"The body is not what this address takes: {self.why}."


@dataclass(eq=False)
class UnsupportedMediaType(errors.Refusal):
    """The body is of another type than this address takes."""

    why: str
    code: ClassVar[str] = "unsupported_media_type"

    @property
    def detail(self) -> str:
        return self.why


class PreconditionRequired(errors.Refusal):
    """This replaces the whole. Send If-Match with the ETag that you read, so that nobody's change is lost."""

    code: ClassVar[str] = "precondition_required"


STATUS: Mapping[type[errors.Refusal], int] = {
    errors.NotFound: 404,
    errors.InvalidValue: 422,
    errors.NotUnique: 409,
    errors.VersionMismatch: 412,
    errors.StateMoved: 409,
    errors.NotAuthenticated: 401,
    errors.Forbidden: 403,
    errors.NotYours: 403,
    errors.AddressDiffers: 409,
    errors.OwnedBySource: 403,
    errors.Protected: 403,
    errors.OwnAccount: 403,
    errors.WrongCredentials: 401,
    errors.SecondFactorUnreadable: 401,
    errors.MayNotSignIn: 403,
    errors.SecondFactorAsked: 401,
    errors.SecondFactorMissing: 403,
    errors.ProofNeeded: 403,
    errors.SeatLimitReached: 409,
    errors.PoolLimitReached: 409,
    errors.InvitationClosed: 410,
    errors.LinkInvalid: 404,
    errors.WeakPassword: 422,
    errors.TooLarge: 413,
    errors.KeyReused: 422,
    errors.RequestInProgress: 409,
    errors.AnswerLost: 409,
    errors.TooManyRequests: 429,
    errors.Overloaded: 503,
    errors.DatabaseUnavailable: 503,
    errors.StorageFull: 507,
    errors.LeaseLost: 503,
    errors.Busy: 409,
    errors.NotAllowedNow: 409,
    ForeignForm: 403,
    InvalidRequest: 422,
    MalformedBody: 400,
    UnsupportedMediaType: 415,
    PreconditionRequired: 428,
}

_SENTENCES = {
    400: ("bad_request", "The request cannot be read."),
    404: ("not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This address does not take that method."),
    408: ("timeout", "The request took too long to arrive."),
    413: ("too_large", "The request is larger than scimd takes."),
    415: ("unsupported_media_type", "This address does not take that content type."),
    417: ("expectation_failed", "scimd supports no expectation but 100-continue."),
    503: ("overloaded", "scimd is busy. Send the request again later."),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as the client sees it: no internals, ever."""

    status: int
    code: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[FieldFault, ...] = ()
    #: What the sentence says in figures and words of ours, for programs.
    facts: Mapping[str, object] = field(default_factory=dict)


#: Which facts of a refusal are told to programs, too.
_TOLD: Mapping[type[errors.Refusal], tuple[str, ...]] = {
    errors.SeatLimitReached: ("limit", "used", "active", "invited", "get_more_url"),
    errors.PoolLimitReached: ("kind", "name", "limit", "used"),
    errors.InvitationClosed: ("status",),
    errors.TooLarge: ("limit",),
}


def of_refusal(refusal: errors.Refusal) -> Fault:
    wait = getattr(refusal, "retry_after_s", None)
    headers = {"Retry-After": str(math.ceil(wait))} if wait is not None else {}
    facts = {name: getattr(refusal, name) for name in _TOLD.get(type(refusal), ())}
    return Fault(STATUS[type(refusal)], refusal.code, refusal.detail, headers, _fields_of(refusal), facts)


def _fields_of(refusal: errors.Refusal) -> tuple[FieldFault, ...]:
    match refusal:
        case InvalidRequest():
            return refusal.faults
        case errors.InvalidValue():
            return (FieldFault(_pointer(refusal.attribute), refusal.why),)
        case errors.NotUnique():
            return (FieldFault(_pointer(refusal.attribute), "is taken"),)
        case errors.OwnedBySource():
            return (FieldFault(_pointer(refusal.attribute), f"comes from the source {refusal.source}"),)
        case _:
            return ()


def _pointer(attribute: str) -> str:
    """RFC 6901, of an attribute's dotted name."""
    return attribute if attribute.startswith("/") else "/" + attribute.replace(".", "/")


def of_http(exc: web.HTTPException) -> Fault:
    """An error of the router or of aiohttp's own reading, whose texts may say too much."""
    fallback = ("refused", "The request was refused.")
    code, detail = _SENTENCES.get(exc.status, fallback)
    allow = exc.headers.get("Allow")
    return Fault(exc.status, code, detail, {"Allow": allow} if allow else {})


def of_crash(correlation_id: str) -> Fault:
    detail = f"Something went wrong inside scimd. Its log says what, under {correlation_id}."
    return Fault(500, "internal", detail)
