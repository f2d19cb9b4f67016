"""A real 389 Directory Server of one test's own: see ``tests/directories/README.md``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.requirement import program, require
from tests.support.scripted import Scripted

BASE = "dc=example,dc=org"
READER = f"uid=scimd,ou=services,{BASE}"
READER_PASSWORD = "reader-secret"


class Ds389(Scripted):
    """A running server that holds what ``ldif`` says; ``READER`` may read what its ACIs let it."""

    def __init__(self, ldif: str) -> None:
        super().__init__("ds389")
        try:
            data = self.folder / "data.ldif"
            data.write_text(ldif)
            self._begin("--ldif", str(data))
        except BaseException:
            self.close()
            raise

    def set(self, dn: str, **values: str | int | None) -> None:
        """Replace attributes of an entry; ``_`` stands for ``-``, None takes one away."""
        lines = [f"dn: {dn}", "changetype: modify"]
        for name, value in values.items():
            key = name.replace("_", "-")
            lines += [f"replace: {key}", *([f"{key}: {value}"] if value is not None else []), "-"]
        self.modify("\n".join([*lines, ""]))


@pytest.fixture
def ds389() -> Iterator[Callable[[str], Ds389]]:
    """``ds389(ldif)`` gives a server that holds it; it ends with the test."""
    require(program("ns-slapd"), "389-ds-base is not installed")
    require(program("certutil"), "libnss3-tools is not installed")
    require(program("ldapmodify"), "ldap-utils is not installed")
    require(program("openssl"), "openssl is not installed")
    servers: list[Ds389] = []

    def server(ldif: str) -> Ds389:
        servers.append(Ds389(ldif))
        return servers[-1]

    yield server
    for each in servers:
        each.close()


def entry(dn: str, *lines: str) -> str:
    """One entry as LDIF."""
    return "\n".join((f"dn: {dn}", *lines, "", ""))


def person(dn: str, uid: str, *lines: str, cn: str | None = None) -> str:
    """Somebody as LDIF; ``cn`` where the name says another than the uid."""
    return entry(dn, "objectClass: inetOrgPerson", f"uid: {uid}", f"cn: {cn or uid}", "sn: x", *lines)


def tree(*entries: str, rights: str = '(targetattr="*")') -> str:
    """The base, what is directly below it, who reads, and ``entries``, as LDIF."""
    aci = f'{rights}(version 3.0; acl "sync"; allow (read,search,compare) userdn="ldap:///{READER}";)'
    head = [entry(BASE, "objectClass: domain", "dc: example", f"aci: {aci}")]
    head += [
        entry(f"ou={name},{BASE}", "objectClass: organizationalUnit", f"ou: {name}")
        for name in ("people", "groups", "services")
    ]
    account = ("objectClass: account", "objectClass: simpleSecurityObject", "uid: scimd")
    head.append(entry(READER, *account, f"userPassword: {READER_PASSWORD}"))
    return "".join([*head, *entries])
