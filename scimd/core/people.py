"""People as the core sees them: typed ids, the attribute document, comparison keys.

Words of the house:

- A *person* belongs to one organization and has one id for life, which SCIM shows as ``id``.
- An *assertion* is what one source says of a person. A person may have several, or none.
- A *document* is a SCIM-shaped JSON object (RFC 7643 names, as the source sent or as the mapping
  made it) without ``id``, ``meta`` and ``groups``, which scimd adds when it answers.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, Literal, NewType, TypeAlias

import idna

from scimd.core.composed import composed

OrgId = NewType("OrgId", str)
PersonId = NewType("PersonId", str)
SourceId = NewType("SourceId", str)
GroupId = NewType("GroupId", str)
ProjectId = NewType("ProjectId", str)
TeamId = NewType("TeamId", str)
LicenceId = NewType("LicenceId", str)
InvitationId = NewType("InvitationId", str)
RunId = NewType("RunId", str)
DecisionId = NewType("DecisionId", str)
TokenId = NewType("TokenId", str)
SessionId = NewType("SessionId", str)

#: The slug of an organization role (``user``, ``manager``, …) or a project role (``member``, …).
RoleName = NewType("RoleName", str)

Document: TypeAlias = dict[str, Any]
#: What a JSON object is an instance of. A dict is looked for first: asking an ABC costs more.
OBJECT: Final = (dict, Mapping)


class Unset:
    """The type of UNSET: a value that was not sent, which is neither null nor empty."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> Literal[False]:
        return False


UNSET = Unset()

_ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
_ADDRESS = re.compile(r"[^@\s,;<>()\[\]\\\"\x00-\x1f\x7f]{1,64}@[^@\s,;<>()\[\]\\\"\x00-\x1f\x7f]{1,253}")


def fold(text: str) -> str:
    """The comparison key of a case-insensitive value (RFC 7643 §2.2, caseExact false).

    NFC after casefold after NFC: databases' own lower() differ from each other and from Python's.
    """
    if text.isascii():  # nothing to compose, and casefold() is lower()
        return text.lower()
    # Marks in order stay so: casefold() sets a few between them at most.
    return unicodedata.normalize("NFC", composed(text).casefold())


def domain_key(domain: str) -> str:
    """The comparison key of a domain: in small letters of ASCII, as DNS has it, without a final dot.

    Names of other scripts as browsers write them (UTS 46): so arrives what people type into a field for an
    address. What is no such name is folded.
    """
    if domain.isascii():
        return domain.lower().rstrip(".")
    try:
        # Dots of other scripts are dots only from here on.
        return idna.encode(domain.rstrip("."), uts46=True).decode("ascii").rstrip(".")
    except UnicodeError:
        return fold(domain.rstrip("."))


def address_key(address: str) -> str:
    """The comparison key of a mail address: by it people are told apart, found and let in."""
    if address.isascii():
        return address.lower().rstrip(".")
    local, at, domain = address.rpartition("@")
    return f"{fold(local)}{at}{domain_key(domain)}"


def address(text: object) -> str | None:
    """The text as one scalar mail address, as sent but for white space around it; else None."""
    if not isinstance(text, str):
        return None
    text = text.strip()
    return text if _ADDRESS.fullmatch(text) and "." in text.rpartition("@")[2].strip(".") else None


@dataclass(frozen=True, slots=True)
class Keys:
    """What a document is found by. Texts as sent, ``*_key`` folded for comparison."""

    user_name: str
    user_name_key: str
    external_id: str | None
    display_name: str
    sign_in_address: str | None
    sign_in_key: str | None
    active: bool
    #: The Enterprise User extension's employeeNumber, by which sources may join.
    employee_number_key: str | None = None


def keys_of(document: Mapping[str, Any]) -> Keys:
    """Derive the keys of a document. ``userName`` must be there; ``active`` counts as true if not.

    Sign-in address: the primary, else the work, else the first e-mail, else a userName that is an
    address (docs/semantics.md).
    """
    user_name = str(document["userName"])
    sign_in = sign_in_address(document)
    return Keys(
        user_name=user_name,
        user_name_key=fold(user_name),
        external_id=document.get("externalId"),
        display_name=display_name(document),
        sign_in_address=sign_in,
        sign_in_key=address_key(sign_in) if sign_in else None,
        active=document.get("active", True) is not False,
        employee_number_key=_employee_number_key(document.get(_ENTERPRISE)),
    )


def _employee_number_key(extension: object) -> str | None:
    number = extension.get("employeeNumber") if isinstance(extension, OBJECT) else None
    return fold(number) if isinstance(number, str) and number.strip() else None


def sign_in_address(document: Mapping[str, Any]) -> str | None:
    """See keys_of."""
    emails: Sequence[Any] = document.get("emails") or ()
    rows = [
        (row, found)
        for row in emails
        if isinstance(row, OBJECT) and (found := address(row.get("value"))) is not None
    ]
    primary = (found for row, found in rows if row.get("primary") is True)
    work = (found for row, found in rows if fold(str(row.get("type", ""))) == "work")
    for found in chain(primary, work, (found for _, found in rows)):
        return found
    return address(document.get("userName"))


def display_name(document: Mapping[str, Any]) -> str:
    """displayName, else name.formatted, else given and family name, else userName."""
    name = document.get("name")
    name = name if isinstance(name, OBJECT) else {}
    parts = " ".join(str(part) for part in (name.get("givenName"), name.get("familyName")) if part)
    return str(document.get("displayName") or name.get("formatted") or parts or document["userName"])


# What NFKD leaves whole though a reader of Latin script would write it out.
_WRITTEN_OUT = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}
)


def local_user_name(user_name: str, taken: Mapping[str, object] | frozenset[str] | set[str]) -> str:
    """A local user name of letters, digits and dashes that is not in ``taken``.

    The part before ``@``, transliterated; ``-2``, ``-3``, … when taken; ``user`` where nothing is
    left (a name wholly in another script).
    """
    head = user_name.partition("@")[0].casefold().translate(_WRITTEN_OUT)
    latin = unicodedata.normalize("NFKD", head).encode("ascii", "ignore").decode()
    stem = re.sub(r"[^a-z0-9]+", "-", latin).strip("-")[:48] or "user"
    if stem not in taken:
        return stem
    n = 2
    while f"{stem}-{n}" in taken:
        n += 1
    return f"{stem}-{n}"
