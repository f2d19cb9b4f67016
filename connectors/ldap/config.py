"""The settings of an LDAP source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from connectors.dn import normal_dn
from connectors.entries import SECRETS, base_name
from scimd.connector_api import BadSetting, Secret, read_secret

_SCOPES = ("subtree", "one")
#: Attributes that people change with a name or an address: never an identity.
_CHANGES = {
    "cn",
    "displayname",
    "dn",
    "entrydn",
    "givenname",
    "mail",
    "samaccountname",
    "sn",
    "uid",
    "userprincipalname",
}
_GROUP_FILTER = "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=posixGroup))"


@dataclass(frozen=True, slots=True)
class LdapConfig:
    """One directory: how it is reached, as whom, and where its people and groups are.

    ``start_tls`` is what will be done: True for ``ldap://`` unless switched off together with
    ``allow_clear_text``. ``group_base`` None reads no groups.
    """

    url: str
    user_base: str
    start_tls: bool = False
    allow_clear_text: bool = False
    ca_file: str | None = None
    bind_dn: str | None = None
    bind_password: Secret | None = None
    user_filter: str = "(objectClass=inetOrgPerson)"
    user_attributes: tuple[str, ...] = ("*",)
    id_attribute: str = "entryUUID"
    group_base: str | None = None
    group_filter: str = _GROUP_FILTER
    group_name_attribute: str = "cn"
    member_attributes: tuple[str, ...] = ("member", "uniqueMember", "memberUid")
    scope: str = "subtree"
    ignored_referrals: tuple[str, ...] = ()
    page_size: int = 500
    connect_timeout_s: float = 10.0
    page_timeout_s: float = 60.0

    @property
    def is_encrypted(self) -> bool:
        """Whether nobody on the way can read along; a socket of this machine counts."""
        return self.start_tls or not self.url.startswith("ldap:")


_KEYS = LdapConfig.__slots__


def parse(settings: Mapping[str, Any]) -> LdapConfig:
    """Check every key; raises BadSetting for the first that is wrong."""
    for key in settings:
        if key not in _KEYS:
            raise BadSetting(key, f"an ldap source knows {', '.join(_KEYS)}")
    for needed in ("url", "user_base"):
        if needed not in settings:
            raise BadSetting(needed, "is missing")
    given: dict[str, Any] = {key: _READ[key](value, key) for key, value in settings.items()}
    given["start_tls"] = _start_tls(given)
    if ("bind_dn" in given) != ("bind_password" in given):
        # RFC 4513 §5.1.2: a name without a password is let in, as nobody.
        raise BadSetting("bind_password", "belongs with bind_dn; give both, or neither to bind as nobody")
    return LdapConfig(**given)


def _start_tls(given: Mapping[str, Any]) -> bool:
    is_plain = given["url"].startswith("ldap:")
    start_tls = given.get("start_tls", is_plain)
    if start_tls and not is_plain:
        raise BadSetting("start_tls", "is for ldap:// only; ldaps:// is encrypted from its first byte")
    if is_plain and not start_tls and not given.get("allow_clear_text", False):
        raise BadSetting(
            "start_tls",
            "without it the password and every entry cross the network in clear, and anybody on the way"
            " can change them; where that is really wanted, set allow_clear_text = true as well",
        )
    return bool(start_tls)


# ---------------------------------------------------------------------------------------- one key each


def _text(value: object, key: str) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise BadSetting(key, "must be a text that is not empty")
    return value


def _flag(value: object, key: str) -> bool:
    if not isinstance(value, bool):
        raise BadSetting(key, "must be true or false")
    return value


def _url(value: object, key: str) -> str:
    text = _text(value, key)
    try:
        url = urlsplit(text)
        port_is_right = url.port is None or url.port > 0
    except ValueError as exc:
        raise BadSetting(key, f"is no address: {exc}") from exc
    if url.scheme not in ("ldap", "ldaps", "ldapi"):
        raise BadSetting(key, "must begin with ldaps://, ldap:// or ldapi://")
    if any(character.isspace() for character in text) or url.query or url.fragment or "@" in url.netloc:
        raise BadSetting(key, "must be scheme, host and port only; base and filter have keys of their own")
    if url.path not in ("", "/") or not url.netloc or not port_is_right:
        raise BadSetting(key, "must be scheme, host and port only, such as ldaps://ldap.example.org")
    return f"{url.scheme}://{url.netloc}"


def _dn(value: object, key: str) -> str:
    text = _text(value, key)
    try:
        normal_dn(text)
    except ValueError as exc:
        raise BadSetting(key, f"is no distinguished name: {exc}") from exc
    return text


def _filter(value: object, key: str) -> str:
    text = _text(value, key).strip()
    depth, closed = 0, 0
    for character in text:
        depth += (character == "(") - (character == ")")
        closed += character == ")" and depth == 0
        if depth < 0 or closed > 1:
            break
    if depth or closed != 1 or not text.startswith("(") or not text.endswith(")"):
        raise BadSetting(
            key, "is not one filter in parentheses that match (RFC 4515; escape them: \\28, \\29)"
        )
    return text


def _attribute(value: object, key: str) -> str:
    text = _text(value, key)
    if not text.isascii() or not text.replace("-", "").replace(";", "").replace(".", "").isalnum():
        raise BadSetting(key, f"{text!r} is no name of an attribute")
    return text


def _attributes(value: object, key: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise BadSetting(key, "must be a list of attributes that is not empty")
    names = tuple(name if name in ("*", "+") else _attribute(name, key) for name in value)
    for name in names:
        if base_name(name) in SECRETS:
            raise BadSetting(key, f"{name} holds passwords, which scimd never reads")
    return names


def _dns(value: object, key: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise BadSetting(key, "must be a list of distinguished names")
    return tuple(_dn(dn, key) for dn in value)


def _id_attribute(value: object, key: str) -> str:
    name = _attribute(value, key)
    if name.lower() in _CHANGES or name.lower() in SECRETS:
        raise BadSetting(key, f"{name} can change; take entryUUID, objectGUID or nsUniqueId")
    return name


def _scope(value: object, key: str) -> str:
    if value not in _SCOPES:
        raise BadSetting(key, f"must be one of {', '.join(_SCOPES)}")
    return str(value)


def _page_size(value: object, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 500:
        raise BadSetting(key, "must be a whole number from 1 to 500")
    return value


def _seconds(value: object, key: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 3600:
        raise BadSetting(key, "must be a number of seconds from above 0 to 3600")
    return float(value)


_READ: Mapping[str, Any] = {
    "url": _url,
    "start_tls": _flag,
    "allow_clear_text": _flag,
    "ca_file": _text,
    "bind_dn": _dn,
    "bind_password": read_secret,
    "user_base": _dn,
    "user_filter": _filter,
    "user_attributes": _attributes,
    "id_attribute": _id_attribute,
    "group_base": _dn,
    "group_filter": _filter,
    "group_name_attribute": _attribute,
    "member_attributes": _attributes,
    "scope": _scope,
    "ignored_referrals": _dns,
    "page_size": _page_size,
    "connect_timeout_s": _seconds,
    "page_timeout_s": _seconds,
}
