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
    """This form did not come from a page of this scimd. Open the page again, and repeat it."""

    code: ClassVar[str] = "foreign_form"


STATUS: Mapping[type[errors.Refusal], int] = {
    errors.NotFound: 404,
    errors.InvalidValue: 422,
    errors.NotUnique: 409,
    errors.VersionMismatch: 412,
    errors.StateMoved: 409,
    errors.Held: 409,
    errors.NotAuthenticated: 401,
    errors.Forbidden: 403,
    errors.NotYours: 403,
    errors.OwnedBySource: 403,
    errors.Protected: 403,
    errors.OwnAccount: 403,
    errors.WrongCredentials: 401,
    errors.MayNotSignIn: 403,
    errors.SeatLimitReached: 409,
    errors.InvitationClosed: 410,
    errors.LinkInvalid: 404,
    errors.WeakPassword: 422,
    errors.TooLarge: 413,
    errors.TooManyRequests: 429,
    errors.Overloaded: 503,
    errors.DatabaseUnavailable: 503,
    errors.StorageFull: 507,
    errors.LeaseLost: 503,
    errors.Busy: 409,
    errors.NotAllowedNow: 409,
    ForeignForm: 403,
}

_SENTENCES = {
    400: ("bad_request", "The request cannot be read."),
    404: ("not_found", "There is nothing at this address."),
    405: ("method_not_allowed", "This address does not take that method."),
    408: ("timeout", "The request took too long to arrive."),
    413: ("too_large", "The request is larger than scimd takes."),
    415: ("unsupported_media_type", "This address does not take that content type."),
    503: ("overloaded", "scimd is busy. Send the request again later."),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as the client sees it: no internals, ever."""

    status: int
    code: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)


def of_refusal(refusal: errors.Refusal) -> Fault:
    wait = getattr(refusal, "retry_after_s", None)
    headers = {"Retry-After": str(math.ceil(wait))} if wait is not None else {}
    return Fault(STATUS[type(refusal)], refusal.code, refusal.detail, headers)


def of_http(exc: web.HTTPException) -> Fault:
    """An error of the router or of aiohttp's own reading, whose texts may say too much."""
    fallback = ("refused", "The request was refused.")
    code, detail = _SENTENCES.get(exc.status, fallback)
    allow = exc.headers.get("Allow")
    return Fault(exc.status, code, detail, {"Allow": allow} if allow else {})


def of_crash(correlation_id: str) -> Fault:
    detail = f"Something went wrong inside scimd. Its log says what, under {correlation_id}."
    return Fault(500, "internal", detail)
