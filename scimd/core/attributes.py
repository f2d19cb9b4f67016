"""THE attribute table: every SCIM attribute that scimd serves, said once.

The Schemas document, validation, filters, sorting, PATCH and projection derive from it. A new
attribute is one row here. Sources: RFC 7643 §3.1 (common), §4.1 (User), §4.2 (Group), §4.3
(Enterprise User), §7 (characteristics); scimd's own extension is read-only.

``column`` names the column of ``assertions`` (users) or ``groups`` in which the value, folded where
it is case-insensitive, is kept for comparison; an attribute without one is looked up in ``folded``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal

from scimd.core.people import Document, fold

Type = Literal["string", "boolean", "decimal", "integer", "dateTime", "binary", "reference", "complex"]
Mutability = Literal["readOnly", "readWrite", "immutable", "writeOnly"]
Returned = Literal["always", "never", "default", "request"]
Uniqueness = Literal["none", "server", "global"]

USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_URN = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE_URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
SCIMD_URN = "urn:ietf:params:scim:schemas:extension:scimd:2.0:User"


@dataclass(frozen=True, slots=True)
class Attribute:
    """One row. ``sub`` is filled for complex attributes only, ``references`` for references only."""

    name: str
    description: str
    type: Type = "string"
    multi: bool = False
    required: bool = False
    case_exact: bool = False
    mutability: Mutability = "readWrite"
    returned: Returned = "default"
    uniqueness: Uniqueness = "none"
    canonical: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    sub: tuple[Attribute, ...] = ()
    column: str | None = None
    #: May stand in a filter. ``password`` may not (it is not kept).
    filterable: bool = True
    #: A longer value is refused. Set where the value is in an index, whose rows are bounded.
    max_chars: int | None = None
    #: Must be one scalar mail address or something harmless: no list, no control character.
    address: bool = False
    #: Strings of it are compared by ``people.fold``.
    folds: bool = field(init=False, repr=False, compare=False)
    _by_name: Mapping[str, Attribute] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folds", self.type in ("string", "reference") and not self.case_exact)
        object.__setattr__(self, "_by_name", _by_name(self.sub))

    def find(self, name: str) -> Attribute | None:
        """The sub-attribute of that name, whatever its case (RFC 7643 §2.1)."""
        return self._by_name.get(name) or self._by_name.get(name.lower())


@dataclass(frozen=True, slots=True)
class Schema:
    id: str
    name: str
    description: str
    attributes: tuple[Attribute, ...]
    required: tuple[Attribute, ...] = field(init=False, repr=False, compare=False)
    _by_name: Mapping[str, Attribute] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", _by_name(self.attributes))
        object.__setattr__(self, "required", tuple(row for row in self.attributes if row.required))

    def find(self, name: str) -> Attribute | None:
        return self._by_name.get(name) or self._by_name.get(name.lower())


def _by_name(rows: tuple[Attribute, ...]) -> Mapping[str, Attribute]:
    """As most clients write the names, and for the others in lower case."""
    exact = {row.name: row for row in rows}
    return MappingProxyType({row.name.lower(): row for row in rows} | exact)


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a path names: an attribute, perhaps a sub-attribute, perhaps in an extension."""

    extension: str | None
    attribute: Attribute
    sub: Attribute | None = None

    @property
    def target(self) -> Attribute:
        return self.sub or self.attribute

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys from a document's top to the attribute, without the sub-attribute."""
        return (self.extension, self.attribute.name) if self.extension else (self.attribute.name,)

    def __str__(self) -> str:
        head = f"{self.extension}:" if self.extension else ""
        return f"{head}{self.attribute.name}{f'.{self.sub.name}' if self.sub else ''}"


@dataclass(frozen=True, slots=True)
class ResourceKind:
    """A resource type: its endpoint, its schema, its extensions."""

    name: Literal["User", "Group", "Role", "Entitlement"]
    endpoint: str
    schema: Schema
    extensions: tuple[Schema, ...] = ()
    #: Something that is stored with the document is shown on request only: no read is a mere splice.
    hides: bool = field(init=False, repr=False, compare=False)
    _by_urn: Mapping[str, Schema] = field(init=False, repr=False, compare=False)
    #: The rows of a document's own keys, under the names that are stored.
    rows: Mapping[str, Attribute] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        known = {each.id.lower(): each for each in reversed((self.schema, *self.extensions))}
        object.__setattr__(self, "_by_urn", known | {each.id: each for each in known.values()})
        own = (*COMMON.attributes, *self.schema.attributes)
        object.__setattr__(self, "rows", {row.name: row for row in own})
        rows = (row for schema in (self.schema, *self.extensions) for row in schema.attributes)
        hidden = any(row.returned == "request" and row.mutability != "readOnly" for row in rows)
        object.__setattr__(self, "hides", hidden)

    def schema_of(self, urn: str) -> Schema | None:
        """The schema with that URN, whatever its case; the core schema or an extension."""
        return self._by_urn.get(urn) or self._by_urn.get(urn.lower())

    def resolve(self, uri: str | None, name: str, sub: str | None = None) -> Resolved | None:
        """Find what a path names, or None. ``uri`` as in ``urn:…:User:employeeNumber``."""
        schema = self.schema if uri is None else self.schema_of(uri)
        if schema is None:
            return None
        attribute = schema.find(name) or (COMMON.find(name) if schema is self.schema else None)
        if attribute is None:
            return None
        part = attribute.find(sub) if sub is not None else None
        if sub is not None and part is None:
            return None
        return Resolved(None if schema is self.schema else schema.id, attribute, part)

    def attributes(self) -> Iterator[Resolved]:
        """Every attribute with its extension, common ones first."""
        for each in (*COMMON.attributes, *self.schema.attributes):
            yield Resolved(None, each)
        for extension in self.extensions:
            for each in extension.attributes:
                yield Resolved(extension.id, each)


# ------------------------------------------------------------------------------ rows

#: PostgreSQL's index rows hold 2,704 bytes; three ids and a key of 4 bytes a character must fit.
_INDEXED = 500


def _text(name: str, description: str, **more: Any) -> Attribute:
    return Attribute(name, description, **more)


def _flag(name: str, description: str, **more: Any) -> Attribute:
    return Attribute(name, description, "boolean", **more)


def _complex(name: str, description: str, *sub: Attribute, **more: Any) -> Attribute:
    return Attribute(name, description, "complex", sub=sub, **more)


def _plural(name: str, description: str, value: Attribute, *types: str) -> Attribute:
    """A multi-valued attribute with the sub-attributes of RFC 7643 §2.4."""
    return _complex(
        name,
        description,
        value,
        _text("display", "A name for the value, for people to read."),
        _text("type", "What the value is for.", canonical=types),
        _flag("primary", "Whether this is the preferred value; true at most once."),
        multi=True,
    )


COMMON = Schema(
    "",
    "Common",
    "Attributes of every resource (RFC 7643 §3.1).",
    (
        Attribute(
            "schemas",
            "The URIs of the schemas that the resource uses.",
            "reference",
            multi=True,
            required=True,
            case_exact=True,
            returned="always",
            references=("uri",),
        ),
        _text(
            "id",
            "The id that scimd gave; it never changes and is never used again.",
            case_exact=True,
            mutability="readOnly",
            returned="always",
            uniqueness="server",
            column="id",
        ),
        _text(
            "externalId",
            "The id that the provisioning client gave; scimd matches by it.",
            case_exact=True,
            column="external_id",
            max_chars=_INDEXED,
        ),
        _complex(
            "meta",
            "What scimd knows of the resource itself.",
            _text("resourceType", "The resource type.", case_exact=True, mutability="readOnly"),
            Attribute(
                "created", "When it was created.", "dateTime", mutability="readOnly", column="created_at"
            ),
            Attribute(
                "lastModified",
                "When it last changed.",
                "dateTime",
                mutability="readOnly",
                column="changed_at",
            ),
            Attribute(
                "location",
                "Its address.",
                "reference",
                case_exact=True,
                mutability="readOnly",
                references=("uri",),
            ),
            _text("version", "Its entity tag.", case_exact=True, mutability="readOnly"),
            mutability="readOnly",
        ),
    ),
)

_NAME = _complex(
    "name",
    "The parts of the person's name.",
    _text("formatted", "The whole name, as it is to be shown."),
    _text("familyName", "The family name.", column="family_name_key"),
    _text("givenName", "The given name.", column="given_name_key"),
    _text("middleName", "Names between the given and the family name."),
    _text("honorificPrefix", "What stands before the name, such as Dr."),
    _text("honorificSuffix", "What stands after the name, such as III."),
)

_ADDRESSES = _complex(
    "addresses",
    "Postal addresses.",
    _text("formatted", "The whole address, as it is to be shown."),
    _text("streetAddress", "Street, house number, apartment; may have several lines."),
    _text("locality", "City or place."),
    _text("region", "State or region."),
    _text("postalCode", "Postal code."),
    _text("country", "Country, as ISO 3166-1 alpha-2."),
    _text("type", "What the address is for.", canonical=("work", "home", "other")),
    _flag("primary", "Whether this is the preferred value; true at most once."),
    multi=True,
)

_GROUPS = _complex(
    "groups",
    "The groups of this source to which the person belongs, directly or through other groups.",
    _text("value", "The id of the group.", case_exact=True, mutability="readOnly"),
    Attribute(
        "$ref",
        "The address of the group.",
        "reference",
        case_exact=True,
        mutability="readOnly",
        references=("Group",),
    ),
    _text("display", "The name of the group.", mutability="readOnly"),
    _text(
        "type",
        "Whether the membership is direct.",
        mutability="readOnly",
        canonical=("direct", "indirect"),
    ),
    multi=True,
    mutability="readOnly",
)

USER_SCHEMA = Schema(
    USER_URN,
    "User",
    "User Account",
    (
        _text(
            "userName",
            "The name by which the provisioning client knows the person; unique in its source.",
            required=True,
            uniqueness="server",
            column="user_name_key",
            max_chars=_INDEXED,
        ),
        _NAME,
        _text("displayName", "The name to show.", column="display_name_key", max_chars=_INDEXED),
        _text("nickName", "What the person is called in daily life."),
        Attribute("profileUrl", "A page about the person.", "reference", references=("external",)),
        _text("title", "The person's title, such as Vice President."),
        _text("userType", "How the person relates to the organization, such as Employee."),
        _text("preferredLanguage", "The language that the person prefers, as in Accept-Language."),
        _text("locale", "Locale for dates, numbers and currency."),
        _text("timezone", "Time zone, by its name in the IANA database."),
        _flag("active", "What the provisioning client says of the account; scimd may yet hold it back."),
        _text(
            "password",
            "Accepted and dropped: scimd takes no credential from a provisioning client.",
            mutability="writeOnly",
            returned="never",
            filterable=False,
        ),
        _plural(
            "emails", "E-mail addresses.", _text("value", "The address.", max_chars=_INDEXED, address=True),
            "work", "home", "other",
        ),
        _plural(
            "phoneNumbers", "Telephone numbers.", _text("value", "The number."),
            "work", "home", "mobile", "fax", "pager", "other",
        ),
        _plural(
            "ims", "Addresses for instant messages.", _text("value", "The address."),
            "aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo",
        ),
        _plural(
            "photos",
            "Addresses of photos.",
            Attribute("value", "The address.", "reference", references=("external",)),
            "photo", "thumbnail",
        ),
        _ADDRESSES,
        _GROUPS,
        _plural("entitlements", "Entitlements.", _text("value", "The entitlement.")),
        _plural("roles", "Roles, as the provisioning client calls them.", _text("value", "The role.")),
        _plural(
            "x509Certificates",
            "X.509 certificates.",
            Attribute("value", "The certificate: DER, in base64.", "binary", case_exact=True),
        ),
    ),
)  # fmt: skip

ENTERPRISE_SCHEMA = Schema(
    ENTERPRISE_URN,
    "EnterpriseUser",
    "Enterprise User",
    (
        _text("employeeNumber", "The number that the employer gave."),
        _text("costCenter", "Cost center."),
        _text("organization", "Organization."),
        _text("division", "Division."),
        _text("department", "Department."),
        _complex(
            "manager",
            "The person's manager.",
            _text("value", "The id of the manager, as the provisioning client sends it.", case_exact=True),
            Attribute(
                "$ref", "The address of the manager.", "reference", case_exact=True, references=("User",)
            ),
            _text("displayName", "The manager's name.", mutability="readOnly"),
        ),
    ),
)


def _told(name: str, description: str, of: Type = "string", **more: Any) -> Attribute:
    """A row of scimd's extension: decided here, so read-only, and compared exactly.

    Shown on request (``attributes=urn:…:scimd:2.0:User``): an answer otherwise holds what the client
    sent, and nothing that it could not send back.
    """
    return Attribute(
        name, description, of, mutability="readOnly", case_exact=of == "string", returned="request", **more
    )


SCIMD_SCHEMA = Schema(
    SCIMD_URN,
    "ScimdUser",
    "What scimd makes of the person",
    (
        _told("status", "The person's status.", canonical=("active", "pending", "inactive")),
        _told("causes", "Why the status is what it is, the strongest first.", multi=True),
        _told("team", "The person's team."),
        _told("licences", "The person's licences.", multi=True),
        _told(
            "projects",
            "The projects in which the person takes part.",
            "complex",
            multi=True,
            sub=(
                _told("value", "The id of the project."),
                _told("role", "The person's role in it."),
            ),
        ),
        _told("seat", "Whether the person takes a seat.", "boolean"),
        _text("employmentStart", "The first day of employment, as the provisioning client gives it."),
    ),
)

_MEMBERS = _complex(
    "members",
    "The members of the group.",
    _text("value", "The id of the member.", case_exact=True, mutability="immutable", max_chars=_INDEXED),
    Attribute(
        "$ref",
        "The address of the member.",
        "reference",
        case_exact=True,
        mutability="immutable",
        references=("User", "Group"),
    ),
    _text("type", "What the member is.", mutability="immutable", canonical=("User", "Group")),
    # Compared exactly: it is the owner's word for the person, of which no folded key is kept.
    _text("display", "The member's name.", mutability="readOnly", case_exact=True),
    multi=True,
)

GROUP_SCHEMA = Schema(
    GROUP_URN,
    "Group",
    "A group of people and of other groups",
    (
        _text(
            "displayName",
            "The name of the group; unique in its source.",
            required=True,
            uniqueness="server",
            column="display_name_key",
            max_chars=_INDEXED,
        ),
        _MEMBERS,
    ),
)

USER = ResourceKind("User", "/Users", USER_SCHEMA, (ENTERPRISE_SCHEMA, SCIMD_SCHEMA))
GROUP = ResourceKind("Group", "/Groups", GROUP_SCHEMA)
KINDS = (USER, GROUP)


# ------------------------------------------------------------------------------ derived values

_DATE_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,12})?(?:Z|[+-]\d\d:\d\d)?", re.ASCII | re.IGNORECASE
)


def date_time(value: str) -> datetime | None:
    """A SCIM dateTime (RFC 7643 §2.3.5), in UTC where it names no zone; None for what is none."""
    if not _DATE_TIME.fullmatch(value):
        return None
    try:
        at = datetime.fromisoformat(value.upper())
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def moment(at: datetime) -> str:
    """A SCIM dateTime, in UTC: of one length, so that their order as text is their order in time."""
    utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    return utc.isoformat(timespec="microseconds")[:26] + "Z"


def fold_document(document: Mapping[str, Any], kind: ResourceKind = USER) -> Document:
    """The document with every case-insensitive string as its comparison key.

    Strings that no row describes (an extension that nobody declared) count as case-insensitive, as
    RFC 7643 §2.2 has it for attributes that say nothing.
    """
    known = kind.rows
    return {
        key: _fold_value(row, value) if (row := known.get(key)) is not None else _fold_top(kind, key, value)
        for key, value in document.items()
    }


def _fold_top(kind: ResourceKind, key: str, value: Any) -> Any:
    schema = kind.schema_of(key) if ":" in key else None
    if schema is not None and isinstance(value, Mapping):
        return {name: _fold_value(schema.find(name), each) for name, each in value.items()}
    return _fold_value(kind.schema.find(key) or COMMON.find(key), value)


def _fold_value(row: Attribute | None, value: Any) -> Any:
    if isinstance(value, str):
        if row is None or row.folds:
            return value.lower() if value.isascii() else fold(value)  # fold, without a call for most
        if row.type == "dateTime":
            at = date_time(value)
            return value if at is None else moment(at)
        return value
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list):
        return [_fold_value(row, each) for each in value]
    if isinstance(value, dict | Mapping):  # a dict is looked for first: asking an ABC costs more
        find = row.find if row is not None else _no_row
        return {name: _fold_value(find(name), each) for name, each in value.items()}
    return value


def _no_row(name: str) -> None:
    return None


def columns_of(document: Mapping[str, Any]) -> dict[str, str | None]:
    """The comparison keys that ``assertions`` keeps beside the folded document.

    ``email_key`` is the primary address, else the first: what sorting by e-mail goes by
    (RFC 7644 §3.4.2.3).
    """
    name = document.get("name")
    name = name if isinstance(name, Mapping) else {}
    return {
        "display_name_key": _key(document.get("displayName")),
        "family_name_key": _key(name.get("familyName")),
        "given_name_key": _key(name.get("givenName")),
        "email_key": _key(_preferred(document.get("emails"))),
    }


def _key(value: Any) -> str | None:
    return fold(value) if isinstance(value, str) else None


def _preferred(rows: Any) -> Any:
    rows = [row for row in rows or () if isinstance(row, Mapping)]
    chosen = next((row for row in rows if row.get("primary") is True), rows[0] if rows else {})
    return chosen.get("value")
