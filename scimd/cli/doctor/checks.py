"""What can be asked of a reply. A check is graded, and carries what to change where it does not hold.

``must``: this identity provider stops, loses data or shuts people out without it. ``should``: the
documents ask for it and the provider copes. ``may``: worth knowing, and no fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from scimd.cli.doctor.client import Reply

Severity = Literal["must", "should", "may"]
Path = tuple[str | Mapping[str, Any], ...]

USER: Final = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP: Final = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE: Final = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
LIST: Final = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
PATCH_OP: Final = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ERROR: Final = "urn:ietf:params:scim:api:messages:2.0:Error"

#: Every provider here maps these; a server that drops or alters one makes it write for ever.
MAPPED: Final = {"userName", "externalId", "displayName", "name", "emails", "active"}


LIMITED: Final = (
    "Let the provider send as fast as it does, or send a Retry-After that it can wait for (RFC 6585 §4); the "
    "doctor waits as long as one request may take, --timeout."
)
#: Where the answer is about the token or the pace, another request would have met the same.
NOT_THE_REQUEST: Final = {
    401: "Let one token serve the whole sequence: it was taken before.",
    403: "Give the token the scope or right that this needs, or lift what forbids it: the answer names it.",
    429: LIMITED,
}


#: What the sequences change; an endpoint may alter the rest as it likes.
PLAYED: Final = (*sorted(MAPPED), "members", "phoneNumbers", ENTERPRISE)
EMPTY: Final[tuple[Any, ...]] = (None, [], {}, "")


@dataclass(frozen=True, slots=True)
class Check:
    """``judge`` gives a complaint or None; ``ends``: where it fails, nothing else can be judged.

    ``mends`` has another advice for answers with a status of its own.
    """

    judge: Callable[[Reply], str | None]
    mend: str
    severity: Severity = "must"
    ends: bool = False
    mends: Mapping[int, str] = field(default_factory=dict)

    def advice(self, reply: Reply) -> str:
        return self.mends.get(reply.status, self.mend)


@dataclass(frozen=True, slots=True)
class Finding:
    severity: Severity
    complaint: str
    mend: str
    request: str


def status(*wanted: int, mend: str, severity: Severity = "must") -> Check:
    """An answer with any other status says nothing else that could be judged."""

    def judge(reply: Reply) -> str | None:
        if reply.status in wanted:
            return None
        expected = " or ".join(map(str, wanted))
        return f"answered {reply.status}{explained(reply)}, expected {expected}"

    return Check(judge, mend, severity, ends=True, mends=NOT_THE_REQUEST)


def rather(wanted: int, mend: str) -> Check:
    """Another success than the documents name: said, and the answer is judged all the same."""
    return replace(status(wanted, mend=mend, severity="should"), ends=False)


def explained(reply: Reply) -> str:
    """What a refusal says of itself; never a part of an answer that may be about real people."""
    if reply.status < 400 or reply.body is None:
        return ""
    said = " ".join(str(reply.at("detail") or reply.at("scimType") or reply.excerpt).split())
    said = reply.redaction.text(said)
    return f" ({said[:200]}{'…' if len(said) > 200 else ''})"


SCIM_JSON: Final = Check(
    lambda r: (
        None
        if not r.status or r.body is None or r.content_type == "application/scim+json"
        else f"the content type is {r.content_type or 'missing'}, not application/scim+json"
    ),
    "Send Content-Type: application/scim+json with every answer that has a body, errors included "
    "(RFC 7644 §3.1).",
    "should",
)
OBJECT: Final = Check(
    lambda r: None if isinstance(r.body, dict) else "the body is not a JSON object",
    "Answer with the resource as a JSON object (RFC 7644 §3.4.1).",
    ends=True,
)
LOCATION: Final = Check(
    lambda r: "201 without a Location header" if r.status == 201 and not r.headers.get("Location") else None,
    "Send the address of the new resource in the Location header of the 201 (RFC 7644 §3.3).",
)
NO_NULLS: Final = Check(
    lambda r: f"null at {where}" if (where := next(_nulls(r.body), None)) else None,
    "Leave attributes without a value out of the answer in place of sending null.",
    "should",
)
NO_PASSWORD: Final = Check(
    lambda r: "the answer contains the password" if r.at("password") is not None else None,
    'Never return password (RFC 7643 §4.1.1: returned "never").',
)


def _nulls(value: Any, where: str = "") -> Iterator[str]:
    if value is None and where:
        yield where
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _nulls(inner, f"{where}.{key}" if where else key)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _nulls(inner, f"{where}[{number}]")


def names(reply: Reply, schema: str) -> bool:
    schemas = reply.at("schemas")
    return isinstance(schemas, list) and schema in schemas


def identified(kind: str) -> tuple[Check, ...]:
    """A resource names itself: id, schemas, meta."""

    def own_id(reply: Reply) -> str | None:
        return None if isinstance(reply.at("id"), str) and reply.at("id") else "the resource has no id"

    def own_schema(reply: Reply) -> str | None:
        return None if names(reply, kind) else f"schemas does not name {kind}"

    def own_type(reply: Reply) -> str | None:
        name = kind.rsplit(":", 1)[-1]
        given = reply.at("meta", "resourceType")
        return None if given == name else f"meta.resourceType is {_said(reply, given)}, not {name!r}"

    return (
        Check(own_id, "Give every resource an id, a string that never changes (RFC 7643 §3.1).", ends=True),
        Check(own_schema, f"Name {kind} in schemas of every such resource (RFC 7643 §3)."),
        Check(own_type, "Send meta.resourceType with every resource (RFC 7643 §3.1).", "should"),
    )


def value(*path: str | Mapping[str, Any], is_: Any, mend: str, severity: Severity = "must") -> Check:
    def judge(reply: Reply) -> str | None:
        found = reply.at(*path)
        if type(found) is type(is_) and found == is_:
            return None
        return f"{spell(path)} is {_said(reply, found)}, expected {_said(reply, is_)}"

    return Check(judge, mend, severity)


def absent(*path: str | Mapping[str, Any], mend: str, severity: Severity = "must") -> Check:
    def judge(reply: Reply) -> str | None:
        found = reply.at(*path)
        return None if found in EMPTY else f"{spell(path)} is still {_said(reply, found)}"

    return Check(judge, mend, severity)


def spell(path: Path) -> str:
    text = ""
    for step in path:
        if isinstance(step, str):
            text += ("." if text and not text.endswith(":User") else ":" if text else "") + step
        else:
            text += "[" + " and ".join(f'{key} eq "{inner}"' for key, inner in step.items()) + "]"
    return text


def _said(reply: Reply, found: Any) -> str:
    """Redacted before it is cut: half a token is one too much."""
    return "missing" if found is None else repr(reply.redaction.value(found))[:160]


def echoes(sent: Mapping[str, Any]) -> tuple[Check, Check]:
    """What was sent comes back as it was sent: the mapped attributes must, the others should."""

    def among(mapped: bool) -> Callable[[Reply], str | None]:
        def judge(reply: Reply) -> str | None:
            for key, wanted in sent.items():
                if key in {"schemas", "meta", "id", "password", "groups", "roles", "members"}:
                    continue
                if (key in MAPPED) is mapped and (lost := _lost(reply, wanted, reply.at(key), key)):
                    return lost
            return None

        return judge

    mend = "Store and return values exactly as they were sent, without changing case or dropping parts."
    return Check(among(True), mend), Check(
        among(False),
        "Store this attribute, or take it out of the attribute mapping: the provider sends it again "
        "in every cycle.",
        "should",
    )


def _lost(reply: Reply, wanted: Any, found: Any, where: str) -> str | None:
    """The first sent value that did not come back, as a complaint."""
    if wanted is None or wanted == []:
        return None
    if isinstance(wanted, dict):
        inner = found if isinstance(found, dict) else {}
        return next(
            (c for k, v in wanted.items() if (c := _lost(reply, v, inner.get(k), f"{where}.{k}"))), None
        )
    if isinstance(wanted, list):
        rows = found if isinstance(found, list) else []
        for row in wanted:
            if all(_lost(reply, row, candidate, where) for candidate in rows):
                return f"{where} was sent {_said(reply, row)} and came back {_said(reply, found or None)}"
        return None
    if type(wanted) is type(found) and wanted == found:
        return None
    return f"{where} was sent {_said(reply, wanted)} and came back {_said(reply, found)}"


def told_truly(stored: Reply) -> tuple[Check, Check]:
    """The answer to a PUT or PATCH against what was then read: nothing untrue, nothing left out."""

    def untrue(reply: Reply) -> str | None:
        for key in PLAYED:
            told, found = reply.at(key), stored.at(key)
            if told not in EMPTY and not _agree(told, found):
                return f"{key} is {_said(reply, told)} in the answer, and {_said(reply, found)} when read"
        return None

    def left_out(reply: Reply) -> str | None:
        missing = [k for k in PLAYED if reply.at(k) in EMPTY and stored.at(k) not in EMPTY]
        return f"the answer leaves out {', '.join(missing)}" if missing else None

    mend = (
        "Answer PUT and PATCH with the whole resource as it is after the change, a PATCH perhaps with 204 "
        "(RFC 7644 §3.5.1, §3.5.2): the provider takes the answer for what is stored."
    )
    return Check(untrue, mend), Check(left_out, mend, "should")


def _agree(told: Any, found: Any) -> bool:
    """Whether two values are one, in what both of them say; the order of a list says nothing."""
    if isinstance(told, dict) and isinstance(found, dict):
        return all(_agree(inner, found[key]) for key, inner in told.items() if key in found)
    if isinstance(told, list) and isinstance(found, list):
        return len(told) == len(found) and all(any(_agree(a, b) for b in found) for a in told)
    return type(told) is type(found) and bool(told == found)


def listing(total: int | None = None, *, mend: str = "") -> tuple[Check, ...]:
    """A ListResponse, with whole numbers; ``total`` where it is known."""

    def schema(reply: Reply) -> str | None:
        return None if names(reply, LIST) else "the answer is not a ListResponse"

    def numbers(reply: Reply) -> str | None:
        for key in ("totalResults", "startIndex", "itemsPerPage"):
            given = reply.at(key)
            if (given is not None or key == "totalResults") and type(given) is not int:
                return f"{key} is {_said(reply, given)}, not a whole number"
        return None

    def rows(reply: Reply) -> str | None:
        return None if isinstance(reply.at("Resources"), list) else "Resources is missing"

    def count(reply: Reply) -> str | None:
        found = reply.at("totalResults")
        if total is None or found == total == len(reply.resources):
            return None
        return f"found {found} ({len(reply.resources)} in Resources), expected {total}"

    return (
        OBJECT,
        Check(schema, "Answer every query with a ListResponse (RFC 7644 §3.4.2)."),
        Check(numbers, "Send totalResults, startIndex and itemsPerPage as numbers, not as strings."),
        Check(rows, "Send Resources, as an empty list where nothing was found.", "should"),
        Check(count, mend or "Answer the filter with exactly the resources that it names."),
    )


MEMBERS_LIST: Final = Check(
    lambda r: (
        None
        if r.at("members") is None or isinstance(r.at("members"), list)
        else f"members is {_said(r, r.at('members'))}, not a list"
    ),
    "Send members as a list of objects, each with a value (RFC 7643 §4.2).",
)


def members(*ids: str, mend: str) -> Check:
    """Exactly these are members, each once, in any order. What is no list is ``MEMBERS_LIST``'s to say."""

    def judge(reply: Reply) -> str | None:
        rows = reply.at("members") or []
        if not isinstance(rows, list):
            return None
        found = Counter(str(row.get("value")) for row in rows if isinstance(row, dict))
        twice = [one for one, times in found.items() if times > 1]
        if twice:
            return f"a member appears {found[twice[0]]} times"
        if set(found) == set(ids):
            return None
        lost, extra = set(ids) - set(found), set(found) - set(ids)
        parts = [f"{len(lost)} of {len(ids)} members are missing"] if lost else []
        parts += [f"{len(extra)} are members that should not be"] if extra else []
        return " and ".join(parts)

    return Check(judge, mend)


ERROR_BODY: Final = (
    Check(
        lambda r: None if isinstance(r.body, dict) else f"the body of the {r.status} is no SCIM error",
        "Answer every refusal with a SCIM error as JSON, also for unknown addresses (RFC 7644 §3.12).",
        ends=True,
    ),
    Check(
        lambda r: None if names(r, ERROR) else "the error does not name the schema of SCIM errors",
        "Send schemas, status and detail in every error (RFC 7644 §3.12).",
        "should",
    ),
)
