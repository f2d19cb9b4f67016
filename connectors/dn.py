"""The normal form of distinguished names (RFC 4514), by which references in a directory meet.

Two spellings of one name give one text: types lower-cased and by their short name, values prepared
as caseIgnoreMatch prepares them (RFC 4518), the parts of a multi-valued RDN in order, every escape
in one spelling. The rules of a directory's schema are not known here; nearly every naming attribute
ignores case.
"""

from __future__ import annotations

import re
import unicodedata

#: Long names and OIDs of the naming attributes of RFC 4514 §3 and RFC 4519.
_SHORT = {
    "commonname": "cn",
    "2.5.4.3": "cn",
    "surname": "sn",
    "2.5.4.4": "sn",
    "countryname": "c",
    "2.5.4.6": "c",
    "localityname": "l",
    "2.5.4.7": "l",
    "stateorprovincename": "st",
    "2.5.4.8": "st",
    "streetaddress": "street",
    "2.5.4.9": "street",
    "organizationname": "o",
    "2.5.4.10": "o",
    "organizationalunitname": "ou",
    "2.5.4.11": "ou",
    "userid": "uid",
    "0.9.2342.19200300.100.1.1": "uid",
    "rfc822mailbox": "mail",
    "0.9.2342.19200300.100.1.3": "mail",
    "domaincomponent": "dc",
    "0.9.2342.19200300.100.1.25": "dc",
}

# Most names of a directory need lower-casing and nothing else; this keeps 100,000 of them cheap.
_PLAIN_AVA = r"(?:uid|cn|sn|ou|o|c|l|st|dc|mail)=[a-z0-9._@/:-]+(?: [a-z0-9._@/:-]+)*"
_PLAIN = re.compile(f"{_PLAIN_AVA}(?:,{_PLAIN_AVA})*", re.IGNORECASE | re.ASCII)

_TYPE = re.compile(r"\s*(?:oid\.)?([a-z][a-z0-9-]*|\d+(?:\.\d+)*)\s*=\s*", re.IGNORECASE | re.ASCII)
_BER = re.compile(r"#((?:[0-9a-f]{2})+)\s*(?=[,;+]|\Z)", re.IGNORECASE | re.ASCII)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"\s*', re.DOTALL)
_BARE = re.compile(r'(?:[^\\",;+]|\\.)*', re.DOTALL)
_ESCAPE = re.compile(rb"\\([0-9A-Fa-f]{2}|.)", re.DOTALL)
_SPECIAL = re.compile(r'([,+"\\<>;=])')
_STRING_TAGS = {0x04, 0x0C, 0x13, 0x14, 0x16}  # OCTET, UTF8, Printable, Teletex, IA5 STRING


def normal_dn(text: str) -> str:
    """Give the normal form; raises ValueError where the text is no DN. The empty DN stays empty."""
    if _PLAIN.fullmatch(text):
        return text.lower()
    if not text.strip():
        return ""
    rdns: list[list[str]] = [[]]
    at = 0
    while True:
        ava, at = _ava(text, at)
        rdns[-1].append(ava)
        if at == len(text):
            return ",".join("+".join(sorted(rdn)) for rdn in rdns)
        if text[at] in ",;":
            rdns.append([])
        elif text[at] != "+":
            raise ValueError(f"a distinguished name cannot go on at character {at + 1}")
        at += 1


def reference(text: str) -> str:
    """Give what members of a group are compared by: the normal form, or the text where it has none."""
    try:
        return normal_dn(text)
    except ValueError:
        return text


def _ava(text: str, at: int) -> tuple[str, int]:
    """Read one ``type=value``; also says where it ended."""
    found = _TYPE.match(text, at)
    if found is None:
        raise ValueError(f"a distinguished name needs type=value at character {at + 1}")
    kind = found[1].lower()
    value, at = _value(text, found.end())
    return f"{_SHORT.get(kind, kind)}={value}", at


def _value(text: str, at: int) -> tuple[str, int]:
    if ber := _BER.match(text, at):
        return _from_ber(bytes.fromhex(ber[1])), ber.end()
    if text[at : at + 1] == '"':
        quoted = _QUOTED.match(text, at)
        if quoted is None:
            raise ValueError("a quotation mark in a distinguished name is not closed")
        return _normal_value(_unescaped(quoted[1])), quoted.end()
    bare = _BARE.match(text, at)
    assert bare is not None  # noqa: S101 - the pattern also matches nothing
    return _normal_value(_unescaped(bare[0])), bare.end()


def _unescaped(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    return _ESCAPE.sub(lambda m: bytes.fromhex(m[1].decode()) if len(m[1]) == 2 else m[1], raw)


def _from_ber(raw: bytes) -> str:
    """Read ``#hex``: a string type in short or long form becomes its text, all else stays hex."""
    if len(raw) >= 2 and raw[0] in _STRING_TAGS:
        length, head = raw[1], 2
        if length > 0x80:
            head += length - 0x80
            length = int.from_bytes(raw[2:head], "big")
        if raw[1] != 0x80 and head + length == len(raw):
            return _normal_value(raw[head:])
    return "#" + raw.hex()


def _normal_value(raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return "".join(f"\\{byte:02x}" for byte in raw)
    text = _SPECIAL.sub(r"\\\1", _prepared(text)).replace("\0", "\\00")
    return "\\" + text if text.startswith("#") else text


def _prepared(text: str) -> str:
    """Fold case and compatibility forms, and drop spaces that do not count (RFC 4518 §2)."""
    while True:
        once = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
        if once == text:
            return once
        text = once
