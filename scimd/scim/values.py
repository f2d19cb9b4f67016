"""One attribute's value: checked and brought into the form in which it is stored.

Derives from the attribute table. An accepted value comes back as it was sent (V20): nothing is
trimmed, cut or converted, but for the tolerance that a profile declares; the same value twice is one.
``None`` means unassigned, which null, an empty array and an empty object all are (RFC 7643 §2.5); DROPPED
that something was sent of which scimd keeps nothing.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sized
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv6Address
from typing import Any

from scimd.core.attributes import Attribute, date_time
from scimd.core.travelling import travels
from scimd.scim.errors import ScimError, invalid_value
from scimd.scim.nesting import unpacked
from scimd.scim.plural import distinct, is_primary

#: More than one address in one value, or a header's end: never one scalar address.
NO_ADDRESS = re.compile(r"[\x00-\x1f\x7f,;<>]|@.*@", re.DOTALL)
_ENCODED = r"(?:%[0-9A-Fa-f]{2})"


def _of(characters: str) -> str:
    """A run of characters of a URI, with unreserved ones, sub-delims and what is percent-encoded."""
    plain = rf"[\w.~!$&'()*+,;={characters}-]"
    return rf"{plain}*(?:{_ENCODED}{plain}*)*"


_AUTHORITY = rf"(?:{_of(':')}@)?(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|{_of('')})(?::[0-9]*)?"
#: A URI or a relative reference (RFC 3986 §4.1), ``http`` and ``https`` with a host (RFC 9110 §4.2).
_URI = re.compile(
    r"(?!(?i:https?):(?!//[^/?#:@]))"
    rf"(?:[A-Za-z][A-Za-z0-9+.-]*:|(?![^/?#]*:))(?://{_AUTHORITY}(?=[/?#]|\Z)|(?!//))"
    rf"{_of(':@/')}(?:\?{_of(':@/?')})?(?:#{_of(':@/?')})?",
    re.ASCII,
)
#: Values of one attribute. PATCH compares each with each filter; no provider comes near.
MAX_VALUES = 500
#: Integers above are not the same for every reader of JSON (RFC 8259 §6).
MAX_NUMBER = 2**53 - 1
_BOOLEANS = {"true": True, "false": False}


class _Dropped(Enum):
    """A value of which nothing is left for what was dropped of it: a singleton, also after ``pickle``."""

    DROPPED = 0


#: It says nothing, so that what is there stays; an empty value takes it away.
DROPPED = _Dropped.DROPPED


@travels
@dataclass(frozen=True, slots=True)
class Rules:
    """How strictly values are taken; part of a profile.

    ``refuse_unknown``: an attribute that scimd does not serve is refused, not passed over.
    ``tolerant``: "True" and "False" as booleans, one value where a list belongs, a string where an
    object with ``value`` belongs, any text where a URI belongs, small letters in a dateTime, several primary
    values, of which the first stays it, objects and members as JSON within a string, the whole numbers of a
    search as text.
    """

    refuse_unknown: bool = False
    tolerant: bool = True


def taken(row: Attribute, value: Any, where: str, rules: Rules) -> Any:
    """The value of an attribute as it is stored, None where that leaves it unassigned, or DROPPED."""
    if value is None:
        return None
    if not row.multi:
        return taken_one(row, value, where, rules)
    if row.type == "complex" and rules.tolerant:
        value = unpacked(value)
    if not isinstance(value, list):
        refuse_single(where, rules)
        value = [value]
    few_enough(value, where)
    kept = [taken_one(row, each, where, rules) for each in value if each is not None]
    values = distinct(row, [one for one in kept if one is not None and one is not DROPPED])
    return one_primary(values, where, rules) or (DROPPED if DROPPED in kept else None)


def refuse_single(where: str, rules: Rules) -> None:
    """Refuse a value alone where a list of them belongs, where the profile says so."""
    if not rules.tolerant:
        raise invalid_value(where, "it is multi-valued: send an array")


def one_primary(values: list[Any], where: str, rules: Rules) -> list[Any]:
    """The values with one primary at most (RFC 7643 §2.4); a lenient profile takes the first for it."""
    primaries = [place for place, each in enumerate(values) if is_primary(each)]
    if len(primaries) < 2:
        return values
    if not rules.tolerant:
        raise invalid_value(where, f"{len(primaries)} of its values are primary; one at most may be")
    first = primaries[0]
    once = (
        _unmarked(each) if place > first and is_primary(each) else each for place, each in enumerate(values)
    )
    return [each for each in once if each != {}]


def _unmarked(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in value.items() if name != "primary"}


def few_enough(values: Sized, where: str) -> None:
    """Refuse more values than an attribute may have."""
    if len(values) > MAX_VALUES:
        raise invalid_value(where, f"more than {MAX_VALUES} values")


def taken_one(row: Attribute, value: Any, where: str, rules: Rules) -> Any:
    """One value of an attribute, multi-valued or not; of a complex one None or DROPPED as of the whole."""
    match row.type:
        case "complex":
            return _complex(row, value, where, rules)
        case "boolean":
            return _boolean(value, where, rules)
        case "binary":
            return _binary(value, where)
        case "integer" | "decimal":
            return _number(row, value, where)
        case "dateTime":
            return _date_time(row, value, where, rules)
        case "reference":
            return _reference(row, value, where, rules)
        case "string":
            return _string(row, value, where)


def _date_time(row: Attribute, value: Any, where: str, rules: Rules) -> str:
    text = _string(row, value, where)
    if date_time(text, tolerant=rules.tolerant) is None:
        raise invalid_value(where, "must be a dateTime such as 2026-01-31T09:00:00Z")
    return text


def _reference(row: Attribute, value: Any, where: str, rules: Rules) -> str:
    """RFC 7643 §2.3.7: a URI, perhaps a relative one. What is none, a lenient profile takes all the same."""
    text = _string(row, value, where)
    if not rules.tolerant and not is_uri(text):
        raise invalid_value(where, "must be a URI, such as https://example.com/dana")
    return text


def is_uri(text: str) -> bool:
    """Whether a text is a URI or a relative reference, be it the empty one (RFC 3986 §4.1)."""
    found = _URI.fullmatch(text)
    return found is not None and (found["six"] is None or _is_address(found["six"]))


def _is_address(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _string(row: Attribute, value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise invalid_value(where, f"must be a string, not {_kind(value)}")
    if "\0" in value:
        raise invalid_value(where, "it contains the character NUL")
    if not value.isascii():
        _refuse_surrogates(value, where)
    if row.max_chars is not None and len(value) > row.max_chars:
        raise invalid_value(where, f"it is longer than {row.max_chars} characters")
    if row.address and NO_ADDRESS.search(value):
        raise invalid_value(where, "must be a single address, not a list, without control characters")
    return value


def _refuse_surrogates(value: str, where: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise invalid_value(where, "it contains half of a surrogate pair, which is not a character") from None


def _boolean(value: Any, where: str, rules: Rules) -> bool:
    if isinstance(value, bool):
        return value
    if rules.tolerant and isinstance(value, str) and value.lower() in _BOOLEANS:
        return _BOOLEANS[value.lower()]
    raise invalid_value(where, f"must be true or false, not {_kind(value)}")


def _number(row: Attribute, value: Any, where: str) -> int | float:
    wanted, wanted_name = (int, "an integer") if row.type == "integer" else ((int, float), "a number")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # First: an integer of more than 64 bits is read as a float.
    if is_number and not -MAX_NUMBER <= value <= MAX_NUMBER:
        raise invalid_value(where, f"it is too large: a number may be from {-MAX_NUMBER} to {MAX_NUMBER}")
    if not is_number or not isinstance(value, wanted):
        raise invalid_value(where, f"must be {wanted_name}, not {_kind(value)}")
    return value


def _binary(value: Any, where: str) -> str:
    """RFC 7643 §2.3.6: base64, of which the padding may be left out."""
    if not isinstance(value, str):
        raise invalid_value(where, f"must be base64, not {_kind(value)}")
    digits = "".join(value.split())
    if not digits.endswith("="):
        digits += "=" * (-len(digits) % 4)
    try:
        base64.b64decode(digits, validate=True)
    except (binascii.Error, ValueError):
        raise invalid_value(where, "it is not base64") from None
    return value


def _complex(row: Attribute, value: Any, where: str, rules: Rules) -> dict[str, Any] | _Dropped | None:
    if isinstance(value, str) and rules.tolerant:
        told = unpacked(value)
        value = told if isinstance(told, Mapping) or not row.multi else value
    if isinstance(value, str) and rules.tolerant and row.find("value") is not None:
        value = {"value": value} if value else {}
    if isinstance(value, list) and rules.tolerant and not row.multi and len(value) <= 1:
        return _complex(row, value[0], where, rules) if value else None
    if not isinstance(value, Mapping):
        raise invalid_value(where, f"must be an object, not {_kind(value)}")
    kept: dict[str, Any] = {}
    dropped = bool(value)
    for name, each in value.items():
        part = row.find(name)
        if part is None:
            refuse_unknown(f"{where}.{name}", rules)
        elif part.name in kept:
            raise invalid_value(f"{where}.{part.name}", "it was sent twice, in different spellings")
        elif part.mutability != "readOnly":
            dropped = False
            if each is not None:
                kept[part.name] = taken_one(part, each, f"{where}.{part.name}", rules)
    return kept or (DROPPED if dropped else None)


def refuse_unknown(where: str, rules: Rules) -> None:
    """Refuse an attribute that scimd does not serve, where the profile says so."""
    if rules.refuse_unknown:
        raise unknown(where)


def unknown(where: str) -> ScimError:
    return invalid_value(where[:200], "there is no such attribute; see /Schemas")


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
