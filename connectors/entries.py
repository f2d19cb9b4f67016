"""What the entries of an LDAP directory become, whether they come by wire or as LDIF."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from uuid import UUID

from connectors.dn import reference

#: Attributes that hold passwords in some form: never asked for, never taken.
SECRETS = frozenset(
    {
        "authpassword",
        "krbextradata",
        "krbprincipalkey",
        "ntpwdhistory",
        "olcrootpw",
        "pwdhistory",
        "sambalmpassword",
        "sambantpassword",
        "sambapasswordhistory",
        "unicodepwd",
        "userpassword",
        "userpkcs12",
    }
)
#: Large and binary, and of no use to scimd; taken only where they are asked for by name.
BINARY = frozenset(
    {
        "audio",
        "jpegphoto",
        "photo",
        "thumbnaillogo",
        "thumbnailphoto",
        "usercertificate",
        "usersmimecertificate",
    }
)
#: Ids that are sixteen bytes.
GUIDS = frozenset({"objectguid"})
MEMBER_BY_UID = "memberuid"
#: By which a directory locks an account; read whatever else is wanted, for the mapping of ``active``.
LOCKS = ("pwdAccountLockedTime", "nsAccountLock", "shadowExpire", "userAccountControl", "accountExpires")
_DAY_S = 86400
_LONGEST = 18  # digits: what is longer is no time that comes, and Python turns only so many into a number
_1601_S = 11_644_473_600  # from where Active Directory counts until 1970-01-01
_PER_S = 10_000_000

_OPTIONAL_UID = re.compile(r"#'[01]*'B$")  # RFC 4517 §3.3.21: what may follow the DN of a uniqueMember


def now() -> int:
    """Give the time that an entry's end is compared with: whole seconds since 1970-01-01."""
    return int(time.time())


def expiry(texts: Callable[[str], Sequence[str]], now_s: int) -> dict[str, str]:
    """Give what marks an entry whose time is past, since mappings have no clock.

    shadowExpire is a day (shadow(5)); a negative number, and what is none, never comes. accountExpires is in
    steps of 100 ns since 1601 (its page in [MS-ADA1]); 0 and 2^63 - 1 never come. ``texts``: of an attribute.
    """
    marks: dict[str, str] = {}
    if any(day <= now_s // _DAY_S for day in _numbers(texts("shadowExpire"))):
        marks["shadowExpired"] = "TRUE"
    if any(0 < end // _PER_S <= now_s + _1601_S for end in _numbers(texts("accountExpires"))):
        marks["accountExpired"] = "TRUE"
    return marks


def _numbers(texts: Sequence[str]) -> Iterator[int]:
    return (int(text) for text in texts if text.isascii() and text.isdigit() and len(text) <= _LONGEST)


def guid(raw: bytes) -> str | None:
    """Give a GUID's text; of its 16 bytes Active Directory writes the first three parts little-endian."""
    return str(UUID(bytes_le=raw)) if len(raw) == 16 else None


def base_name(description: str) -> str:
    """Give the attribute of a description without its options, lower-cased: ``cn;lang-en`` → ``cn``."""
    return description.partition(";")[0].lower()


def member_piece(descriptions: Iterable[str], kinds: Collection[str]) -> str | None:
    """Give the description by which a group's members come in pieces: ``member;range=0-1499``; None for none.

    The rest of them stands elsewhere, so the group cannot be read. ``kinds``: in lower case.
    """
    return next((each for each in descriptions if ";" in each and base_name(each) in kinds), None)


def text_or_bytes(raw: bytes) -> str | bytes:
    """Give text where the value is UTF-8 without NUL, which no database column of text takes."""
    try:
        text = str(raw, "utf-8")
    except UnicodeDecodeError:
        return raw
    return raw if "\0" in text else text


def user_references(dn: str, uids: list[str]) -> tuple[str, ...]:
    """Give the names by which groups may point to a person: the DN, and each uid."""
    return reference(dn), *(uid_reference(uid) for uid in uids)


def member_reference(attribute: str, value: str) -> str:
    """Give what a group's member value refers to; ``attribute`` says how to read it."""
    if attribute.lower() == MEMBER_BY_UID:
        return uid_reference(value)
    return reference(_OPTIONAL_UID.sub("", value))


def uid_reference(uid: str) -> str:
    """Give the reference by uid, whose matching rule ignores case."""
    return f"uid:{uid.strip().casefold()}"
