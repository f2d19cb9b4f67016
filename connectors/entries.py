"""What the entries of an LDAP directory become, whether they come by wire or as LDIF."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from uuid import UUID

from connectors.dn import reference
from scimd.connector_api import Scalar

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
LOCKS = ("pwdAccountLockedTime", "nsAccountLock", "shadowExpire", "userAccountControl")
_DAY_S = 86400
_LONGEST_DAY = 18  # digits: what is longer is no day that comes, and Python turns only so many into a number

_OPTIONAL_UID = re.compile(r"#'[01]*'B$")  # RFC 4517 §3.3.21: what may follow the DN of a uniqueMember


def today() -> int:
    """Give the day as shadowExpire counts it: whole days since 1970-01-01."""
    return int(time.time()) // _DAY_S


def expiry(shadow_expire: Sequence[str], day: int) -> dict[str, str]:
    """Give what marks the entry of a shadow account whose day is past (shadow(5)): mappings have no clock.

    A negative number, and what is none, never expires.
    """
    numbers = (
        text for text in shadow_expire if text.isascii() and text.isdigit() and len(text) <= _LONGEST_DAY
    )
    return {"shadowExpired": "TRUE"} if any(int(text) <= day for text in numbers) else {}


def guid(raw: bytes) -> str | None:
    """Give a GUID's text; of its 16 bytes Active Directory writes the first three parts little-endian."""
    return str(UUID(bytes_le=raw)) if len(raw) == 16 else None


def base_name(description: str) -> str:
    """Give the attribute of a description without its options, lower-cased: ``cn;lang-en`` → ``cn``."""
    return description.partition(";")[0].lower()


def text_or_bytes(raw: bytes) -> Scalar:
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
