"""A real OpenLDAP of the test run's own, full of people: see ``tests/directories/README.md``."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.requirement import program, require
from tests.support.scripted import SCRIPTS, Scripted


class OpenLdap(Scripted):
    """A running slapd with ``users`` people.

    ``bind_dn`` may read everything; ``limited_dn`` gets 500 entries a search and more only with
    paging.
    """

    def __init__(self, users: int, *, accesslog: bool = False) -> None:
        super().__init__("openldap")
        self.users = users
        self.changed = False
        # The loaded database of each number of users is kept for the next run on this machine.
        cache = Path(tempfile.gettempdir()) / f"scimd-openldap-cache-{os.getuid()}"
        options = ["--users", str(users), *(["--accesslog"] if accesslog else [])]
        try:
            said = self._begin(*options, env={"SCIMD_OPENLDAP_CACHE": str(cache)})
        except BaseException:
            self.close()
            raise
        self.ldapi_url = said["LDAPI_URL"]
        self.bind_dn, self.bind_password = said["LDAP_BIND_DN"], said["LDAP_BIND_PW"]
        self.limited_dn, self.limited_password = said["LDAP_LIMITED_DN"], said["LDAP_LIMITED_PW"]
        self.client_cert, self.client_key = Path(said["LDAP_CLIENT_CERT"]), Path(said["LDAP_CLIENT_KEY"])

    def people(self) -> list[tuple[str, dict[str, Any]]]:
        """The DN and the generator's record of each person that was loaded, in the generator's order."""
        spec = importlib.util.spec_from_file_location("gen_people", SCRIPTS / "gen_people.py")
        assert spec is not None
        assert spec.loader is not None
        generator = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(generator)
        return [
            (f"uid={person['uid']},ou={person['city']},ou=people,{self.base}", person)
            for person in generator.people(self.users)
        ]

    def groups(self) -> dict[str, list[str]]:
        """Members of each group under ou=groups by its name, as the directory has them now."""
        command = ["ldapsearch", "-x", "-LLL", "-o", "ldif_wrap=no", "-H", self.url]
        command += ["-D", self.admin_dn, "-w", self.admin_password, "-b", f"ou=groups,{self.base}"]
        out = subprocess.run(
            [*command, "(cn=*)", "cn", "member", "uniqueMember"], check=True, capture_output=True, text=True
        ).stdout
        found: dict[str, list[str]] = {}
        for entry in out.strip().split("\n\n"):
            values = [line.split(": ", 1) for line in entry.splitlines() if ": " in line]
            name = next(value for key, value in values if key == "cn")
            found[name] = [value for key, value in values if key in ("member", "uniqueMember")]
        return found

    def modify(self, ldif: str) -> None:
        self.changed = True
        super().modify(ldif)

    def stop(self) -> None:
        self.changed = True
        super().stop()

    def reset(self) -> None:
        """Bring back the pristine data, and the server if it is down."""
        self._command("reset")
        self.changed = False


@pytest.fixture(scope="session")
def openldap_servers() -> Iterator[dict[tuple[int, bool], OpenLdap]]:
    """This worker's servers, by number of users and whether they keep an access log."""
    servers: dict[tuple[int, bool], OpenLdap] = {}
    yield servers
    for server in servers.values():
        server.close()


@pytest.fixture
def openldap(openldap_servers: dict[tuple[int, bool], OpenLdap]) -> Iterator[Callable[..., OpenLdap]]:
    """``openldap(users=200)`` gives a pristine server; what the test changed is taken back after it."""
    require(program("slapd"), "slapd is not installed")
    require(program("ldapmodify"), "ldap-utils is not installed")
    require(program("openssl"), "openssl is not installed")

    def server(users: int = 200, *, accesslog: bool = False) -> OpenLdap:
        key = (users, accesslog)
        if key not in openldap_servers:
            openldap_servers[key] = OpenLdap(users, accesslog=accesslog)
        return openldap_servers[key]

    yield server
    for used in openldap_servers.values():
        if used.changed:
            used.reset()
