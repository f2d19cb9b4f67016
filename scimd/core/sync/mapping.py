"""From a directory's entry to a SCIM document, by the source's expressions.

A mapping is a table *SCIM path → expression*. It is compiled once; what a source does not map comes
from the defaults of its connector, so that a source needs no mapping to begin with. Paths are those
of RFC 7643: ``userName``, ``name.givenName``, ``emails``, ``urn:…:enterprise:2.0:User:department``.

What an expression gives is shaped by its path: of a list, a single-valued attribute takes the first
value; for ``emails`` and the like plain texts become ``{"value": …}``, the first of them primary;
nothing (null, an empty text, an empty list) leaves the attribute out. A number becomes text, or fails the
entry where digits of it may be lost. ``externalId`` is always the entry's own id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import orjson

from scimd.connector_api import DirectoryUser, Value
from scimd.core.people import Document
from scimd.core.sync.expressions import Expression, NoValue, WrongExpression, bind, compile_expression

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
_MULTI_VALUED = frozenset(
    {"emails", "phoneNumbers", "ims", "photos", "addresses", "entitlements", "roles", "x509Certificates"}
)
_TRUE = frozenset({"true", "yes", "1", "active", "enabled"})
_FALSE = frozenset({"false", "no", "0", "inactive", "disabled"})
#: The variable ``name``, and not an attribute or a text of that name.
_NAME = re.compile(r"(?<![\w.\"'?])name\b")
#: A float tells the number that was written where this has so many digits, or is whole and below.
_DIGITS, _SURE = 15, 2.0**53
_RESERVED = frozenset({"externalId", "id", "meta", "groups", "schemas", "password"})


def _any_of(*names: str, of: str = "[?0]") -> str:
    """An optional: the first of these attributes that the entry has."""
    head, *rest = (f'entry[?"{name.lower()}"]' for name in names)
    return head + "".join(f".or({name})" for name in rest) + of


#: Who is locked for good in a directory: the value 000001010000Z of ppolicy
#: (draft-behera-ldap-password-policy §5.3.3; other values are lockouts that pass), nsAccountLock of 389 DS,
#: ACCOUNTDISABLE of Active Directory's userAccountControl, and an account whose end (accountExpires,
#: shadowExpire) is past, which the connectors mark: an expression has no clock, and an entry that is as it
#: was is not looked at again.
_LOCKED = (
    'entry.?pwdaccountlockedtime[?0].orValue("") == "000001010000Z"'
    ' || string(entry.?nsaccountlock[?0].orValue("")).lowerAscii() == "true"'
    ' || entry.?shadowexpired[?0].orValue("") == "TRUE" || entry.?accountexpired[?0].orValue("") == "TRUE"'
    ' || (string(entry.?useraccountcontrol[?0].orValue("")) != ""'
    " && int(entry.?useraccountcontrol[?0].value()) / 2 % 2 == 1)"
)

#: Entries that name attributes as SCIM does (nested, dotted or flat), or as LDIF of a person does.
_FILE: MappingOf[str, str] = {
    "userName": _any_of("userName", "user_name", "uid", "login", "email", "mail"),
    "displayName": _any_of("displayName", "display_name", "cn"),
    "nickName": _any_of("nickName"),
    "title": _any_of("title"),
    "userType": _any_of("userType", "employeeType"),
    "preferredLanguage": _any_of("preferredLanguage"),
    "locale": _any_of("locale"),
    "timezone": _any_of("timezone"),
    "profileUrl": _any_of("profileUrl"),
    "active": f'entry[?"active"][?0].or({_LOCKED} ? optional.of(dyn(false)) : optional.none())',
    "name.givenName": _any_of("name.givenName", "givenName", "given_name", "firstName", "first_name"),
    "name.familyName": _any_of("name.familyName", "familyName", "family_name", "lastName", "last_name", "sn"),
    "name.middleName": _any_of("name.middleName", "middleName"),
    "name.formatted": _any_of("name.formatted"),
    "emails": _any_of("emails", "email", "emails.value", "mail", of=""),
    "phoneNumbers": _any_of("phoneNumbers", "phone", "phoneNumbers.value", "telephoneNumber", of=""),
    **{
        f"{ENTERPRISE}:{name}": _any_of(f"{ENTERPRISE}:{name}", f"{ENTERPRISE}.{name}", name, *also)
        for name, also in {
            "employeeNumber": ("employee_number",),
            "department": ("departmentNumber",),
            "division": (),
            "costCenter": ("cost_center",),
            "organization": (),
        }.items()
    },
}

#: inetOrgPerson (RFC 2798) and posixAccount.
_LDAP: MappingOf[str, str] = {
    "userName": _any_of("uid", "mail"),
    "displayName": _any_of("displayName", "cn"),
    "title": _any_of("title"),
    "userType": _any_of("employeeType"),
    "preferredLanguage": _any_of("preferredLanguage"),
    "active": f"!({_LOCKED})",
    "name.givenName": _any_of("givenName"),
    "name.familyName": _any_of("sn"),
    "emails": _any_of("mail", of=""),
    "phoneNumbers": _any_of("telephoneNumber", of=""),
    f"{ENTERPRISE}:employeeNumber": _any_of("employeeNumber"),
    f"{ENTERPRISE}:department": _any_of("departmentNumber", "department"),
    f"{ENTERPRISE}:organization": _any_of("o"),
}

DEFAULTS: MappingOf[str, MappingOf[str, str]] = {"file": _FILE, "ldap": _LDAP}


class WrongMapping(ValueError):
    """The mapping cannot be used. ``faults`` has one sentence each, with key, line and column."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class MappingFailed:
    """This entry could not be mapped: it fails alone, and is never taken for gone."""

    why: str


@dataclass(frozen=True, slots=True)
class OutOfScope:
    """The scope's expression says that this entry is nobody to bring in."""


@dataclass(frozen=True, slots=True)
class Path:
    """A SCIM path split into the keys under which its value stands in a document."""

    text: str
    keys: tuple[str, ...]

    @property
    def many(self) -> bool:
        return self.keys[-1] in _MULTI_VALUED and len(self.keys) == 1


@dataclass(frozen=True, slots=True)
class Mapping:
    """A compiled mapping."""

    rows: tuple[tuple[Path, Expression], ...]
    scope: Expression | None
    required: tuple[Path, ...]
    #: Whether an expression looks at the entry's name. Else its change is no change: the name of a
    #: line in a file is its number, and one line more would shift all that follow.
    uses_name: bool = False

    def digest(self, entry: DirectoryUser, config_version: int) -> bytes | None:
        """16 bytes that change when the raw entry or the mapping's version does.

        None for values that JSON cannot hold (half a surrogate pair): such an entry is looked at.
        """
        seen = (config_version, entry.name if self.uses_name else None, entry.attributes)
        try:
            raw = orjson.dumps(seen, default=_raw, option=orjson.OPT_SORT_KEYS)
        except TypeError:
            return None
        return blake2b(raw, digest_size=16).digest()

    def apply(self, entry: DirectoryUser) -> Document | OutOfScope | MappingFailed:
        """Map one entry. Costs some 5 µs per expression."""
        try:
            bound = bind(entry.attributes, entry.external_id, entry.name)
        except NoValue as exc:
            return MappingFailed(str(exc))
        try:
            if self.scope is not None and not _truth(self.scope.of(bound)):
                return OutOfScope()
        except NoValue as exc:
            return MappingFailed(f"scope: {exc}")
        document: Document = {"externalId": entry.external_id}
        for path, expression in self.rows:
            try:
                value = _shaped(path, expression.of(bound))
            except NoValue as exc:
                return MappingFailed(f"{path.text}: {exc}")
            if value is not None:
                _put(document, path.keys, value)
        missing = [path.text for path in self.required if _get(document, path.keys) is None]
        return MappingFailed(f"{missing[0]}: required, and the entry gives no value") if missing else document


def compile_mapping(
    user: MappingOf[str, str],
    *,
    connector: str,
    scope: str | None = None,
    required: Sequence[str] = ("userName",),
) -> Mapping:
    """Compile a source's expressions over the defaults of its connector.

    An empty expression drops a default. Raises WrongMapping with every fault at once.
    """
    faults: list[str] = []
    rows: list[tuple[Path, Expression]] = []
    table = {**DEFAULTS.get(connector, {}), **user}
    for text, source in table.items():
        try:
            path = path_of(text)
            if source.strip():
                rows.append((path, compile_expression(source)))
        except (WrongExpression, ValueError) as exc:
            faults.append(f"mapping.user.{text!r}: {exc}" if "." in text else f"mapping.user.{text}: {exc}")
    compiled_scope = None
    if scope is not None:
        try:
            compiled_scope = compile_expression(scope)
        except WrongExpression as exc:
            faults.append(f"mapping.scope: {exc}")
    mapped = {path.text for path, _ in rows}
    faults += [
        f"mapping.required: {text} is not mapped"
        for text in ("userName", *required)
        if not faults and text not in mapped
    ]
    if faults:
        raise WrongMapping(tuple(dict.fromkeys(faults)))
    sources = [expression.source for _, expression in rows] + ([scope] if scope else [])
    return Mapping(
        tuple(rows),
        compiled_scope,
        tuple(path_of(text) for text in dict.fromkeys(("userName", *required))),
        uses_name=any(_NAME.search(source) for source in sources),
    )


def path_of(text: str) -> Path:
    """Split a SCIM path (RFC 7644 §3.10). Raises ValueError for one that no mapping may write."""
    schema, _, rest = text.rpartition(":") if text.startswith("urn:") else ("", "", text)
    keys = tuple(rest.split("."))
    if (
        not all(key.replace("-", "").replace("_", "").replace("$", "").isalnum() for key in keys)
        or len(keys) > 2
    ):
        raise ValueError("no SCIM path; write userName, name.givenName or urn:…:User:department")
    if not schema and keys[0] in _RESERVED:
        raise ValueError(f"{keys[0]} is not for a mapping to write")
    return Path(text, (schema, *keys) if schema else keys)


def _raw(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return {"bytes": value.hex()}
    if isinstance(value, MappingOf):
        return dict(value)
    return str(value)


def failing_tests(
    mapping: Mapping, tests: Sequence[tuple[MappingOf[str, Value], MappingOf[str, Any]]]
) -> list[str]:
    """Run the mapping tests of a source: ``(entry, expected values by SCIM path)``; a sentence per fault.

    An expectation of None says that the attribute must be left out; ``in_scope`` stands for the scope.
    """
    faults = []
    for number, (attributes, expected) in enumerate(tests, start=1):
        got = mapping.apply(DirectoryUser(str(attributes.get("id", "test")), f"test {number}", attributes))
        if isinstance(got, MappingFailed):
            faults.append(f"mapping test {number}: the entry cannot be mapped: {got.why}")
            continue
        if isinstance(got, OutOfScope) or expected.get("in_scope") is False:
            if not (isinstance(got, OutOfScope) and expected.get("in_scope") is False):
                place = "out of" if isinstance(got, OutOfScope) else "in"
                faults.append(f"mapping test {number}: the entry is {place} scope")
            continue
        for text, value in expected.items():
            found = True if text == "in_scope" else _get(got, path_of(text).keys)
            if found != value:
                faults.append(f"mapping test {number}: {text} is {found!r}, and {value!r} was expected")
    return faults


# ------------------------------------------------------------------------------ shaping


def _shaped(path: Path, value: Any) -> Any:
    if path.many:
        return _rows(value)
    if isinstance(value, list):
        value = value[0] if value else None
    if path.keys[-1] == "active":
        return None if value is None or value == "" else _truth(value)
    if _is_number(value):
        value = _text(value)
    if isinstance(value, str):
        value = value.strip()
        return {"value": value} if value and path.keys[-1] == "manager" else value or None
    return value if isinstance(value, bool) else value or None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    """A number as it was written, a whole one without point or exponent: text is what is compared.

    Raises NoValue where a float does not tell what was written: then two of them may look alike.
    """
    if not isinstance(value, float):
        return str(value)
    whole = value.is_integer()
    if whole and abs(value) < _SURE:
        return str(int(value))
    exact = Decimal(repr(value))
    if whole or not exact.is_finite() or len(exact.as_tuple().digits) > _DIGITS:
        raise NoValue(f"the number {value!r} may have lost digits; have it written as text")
    return f"{exact:f}"


def _rows(value: Any) -> list[Any] | None:
    values = value if isinstance(value, list) else [value]
    rows: list[dict[str, Any]] = []
    for item in values:
        if isinstance(item, dict):
            rows.append({key: inner for key, inner in item.items() if inner not in (None, "")})
        elif item is not None and (text := _text(item).strip()):
            rows.append({"value": text, "type": "work"})
    if rows and not any(row.get("primary") is True for row in rows):
        rows[0]["primary"] = True
    return rows or None


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = _text(value).strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise NoValue(f"{value!r} is neither true nor false")


def _put(document: Document, keys: tuple[str, ...], value: Any) -> None:
    *outer, last = keys
    place = document
    for key in outer:
        place = place.setdefault(key, {})
    place[last] = value


def _get(document: MappingOf[str, Any], keys: tuple[str, ...]) -> Any:
    value: Any = document
    for key in keys:
        value = value.get(key) if isinstance(value, MappingOf) else None
    return value
