"""What the SCIM edge refuses, and how every refusal looks on the wire (RFC 7644 §3.12).

One table says which status and scimType a refusal of the core has. What the edge itself finds wrong
with a request is a ScimError, made by the functions below; each names the attribute or the path.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from scimd.core import errors

ERROR_URN = "urn:ietf:params:scim:api:messages:2.0:Error"
#: Said of a token that opens nothing, or nothing any more.
DEAD = "This token is unknown, expired or revoked."

ScimType = Literal[
    "invalidFilter",
    "tooMany",
    "uniqueness",
    "mutability",
    "invalidSyntax",
    "invalidPath",
    "noTarget",
    "invalidValue",
    "invalidVers",
    "sensitive",
    "invalidCursor",
    "expiredCursor",
    "invalidCount",
]


class ScimError(Exception):
    """A request that the edge refuses. ``detail`` is a sentence for the admin at the other end."""

    def __init__(
        self,
        status: int,
        detail: str,
        scim_type: ScimType | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.scim_type = scim_type
        self.headers = headers

    def __reduce__(self) -> tuple[Any, ...]:
        return ScimError, (self.status, self.detail, self.scim_type, self.headers)


def invalid_value(attribute: str, why: str) -> ScimError:
    return ScimError(400, f"{attribute}: {why}", "invalidValue")


def invalid_count(why: str) -> ScimError:
    """RFC 9865 §2.4: of a list that is paged by cursor."""
    return ScimError(400, f"count: {why}.", "invalidCount")


def invalid_syntax(why: str) -> ScimError:
    return ScimError(400, why, "invalidSyntax")


def invalid_path(path: str, why: str) -> ScimError:
    return ScimError(400, f"The path {shown(path)}: {why}", "invalidPath")


def invalid_filter(why: str) -> ScimError:
    return ScimError(400, why, "invalidFilter")


def no_target(path: str, why: str) -> ScimError:
    return ScimError(400, f"The path {shown(path)}: {why}", "noTarget")


def read_only(attribute: str, why: str = "it is read-only") -> ScimError:
    return ScimError(400, f"{attribute}: {why}", "mutability")


def unauthorized(detail: str, why: str = "") -> ScimError:
    """``why`` is RFC 6750's error; none where no token came at all (§3.1)."""
    error = f', error="{why}"' if why else ""
    return ScimError(401, detail, None, (("WWW-Authenticate", f'Bearer realm="scim"{error}'),))


def insufficient_scope(missing: Sequence[str]) -> ScimError:
    scope = " ".join(missing)
    detail = f"This token lacks the scope {scope}. Make one that has it, or ask for it with the token."
    header = f'Bearer realm="scim", error="insufficient_scope", scope="{scope}"'
    return ScimError(403, detail, None, (("WWW-Authenticate", header),))


def shown(sent: Any, at_most: int = 120) -> str:
    """What a client sent, as JSON spells it, quoted and cut, for a detail."""
    text = sent if isinstance(sent, str) else json.dumps(sent, ensure_ascii=False, default=str)
    return repr(text if len(text) <= at_most else f"{text[:at_most]}…")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    scim_type: ScimType | None = None


#: Every refusal of the core. A test fails where one is missing.
ANSWERS: dict[type[errors.Refusal], Answer] = {
    errors.NotFound: Answer(404),
    errors.InvalidValue: Answer(400, "invalidValue"),
    errors.NotUnique: Answer(409, "uniqueness"),
    errors.VersionMismatch: Answer(412),
    errors.StateMoved: Answer(409),
    errors.NotAuthenticated: Answer(401),
    errors.Forbidden: Answer(403),
    errors.NotYours: Answer(403),
    errors.AddressDiffers: Answer(409, "uniqueness"),
    errors.OwnedBySource: Answer(403),
    errors.Protected: Answer(403),
    errors.OwnAccount: Answer(403),
    errors.WrongCredentials: Answer(401),
    errors.SecondFactorUnreadable: Answer(401),
    errors.MayNotSignIn: Answer(403),
    errors.SecondFactorAsked: Answer(401),
    errors.SecondFactorMissing: Answer(403),
    errors.ProofNeeded: Answer(403),
    errors.SeatLimitReached: Answer(403),
    errors.PoolLimitReached: Answer(403),
    errors.InvitationClosed: Answer(409),
    errors.LinkInvalid: Answer(404),
    errors.WeakPassword: Answer(400, "invalidValue"),
    errors.TooLarge: Answer(413),
    errors.KeyReused: Answer(422),
    errors.RequestInProgress: Answer(409),
    errors.AnswerLost: Answer(409),
    errors.TooManyRequests: Answer(429),
    errors.Overloaded: Answer(503),
    errors.DatabaseUnavailable: Answer(503),
    errors.StorageFull: Answer(507),
    errors.LeaseLost: Answer(503),
    errors.Busy: Answer(409),
    errors.NotAllowedNow: Answer(409),
}


def of_refusal(refusal: errors.Refusal) -> ScimError:
    """The refusal as this edge says it."""
    if isinstance(refusal, errors.NotAuthenticated):
        return unauthorized(DEAD, "invalid_token")
    answer = ANSWERS[type(refusal)]
    wait = getattr(refusal, "retry_after_s", None)
    headers = (("Retry-After", str(max(1, round(wait)))),) if wait is not None else ()
    return ScimError(answer.status, refusal.detail, answer.scim_type, headers)


def body_of(error: ScimError) -> bytes:
    """The error resource. The status is a string (RFC 7644 §3.12)."""
    body = {"schemas": [ERROR_URN], "status": str(error.status)}
    if error.scim_type is not None:
        body["scimType"] = error.scim_type
    body["detail"] = error.detail.encode("utf-8", "replace").decode()
    return orjson.dumps(body)
