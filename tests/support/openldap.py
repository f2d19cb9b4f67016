"""A real OpenLDAP of the test run's own, full of people: see ``tests/directories/README.md``."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.guard import Guard, free_port
from tests.support.requirement import program, require

SCRIPT = Path(__file__).parent.parent / "directories" / "openldap.sh"

# The script's own exit code for "slapd did not come up", which a taken port brings about.
_DID_NOT_START = 4

_RUN = """
read -r _
"$1" stop --dir "$2"
rm -rf "$2"
"""


class OpenLdap:
    """A running slapd with ``users`` people; its addresses and accounts are attributes.

    ``bind_dn`` may read everything; ``limited_dn`` gets 500 entries a search and more only with
    paging; ``admin_dn`` may write. ``wrong_ca`` is a certificate that did not sign the server's.
    """

    def __init__(self, users: int, *, accesslog: bool = False) -> None:
        self.users = users
        self.changed = False
        self._accesslog = accesslog
        self.folder = Path(tempfile.mkdtemp(prefix="scimd-ldap-"))
        self._guard = Guard(_RUN, str(SCRIPT), str(self.folder))
        self._ports: tuple[int, int] | None = None
        try:
            self._start_on_free_ports()
            self._read_env()
        except BaseException:
            self.close()
            raise

    def _start_on_free_ports(self, attempts: int = 3) -> None:
        for left in reversed(range(attempts)):
            self._ports = (free_port(), free_port())
            try:
                self._script("start")
                break
            except subprocess.CalledProcessError as error:
                if error.returncode != _DID_NOT_START or not left:
                    raise RuntimeError(f"OpenLDAP did not start:\n{error.stderr}") from error

    def _script(self, command: str) -> None:
        assert self._ports is not None
        options = ["--users", str(self.users), "--dir", str(self.folder)]
        options += ["--port", str(self._ports[0]), "--tls-port", str(self._ports[1])]
        options += ["--accesslog"] if self._accesslog else []
        # The loaded database of each number of users is kept for the next run on this machine.
        cache = Path(tempfile.gettempdir()) / f"scimd-openldap-cache-{os.getuid()}"
        subprocess.run(
            [str(SCRIPT), command, *options],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=os.environ | {"SCIMD_OPENLDAP_CACHE": str(cache)},
        )

    def _read_env(self) -> None:
        out = subprocess.run(
            [str(SCRIPT), "env", "--dir", str(self.folder)], check=True, capture_output=True, text=True
        ).stdout
        env = dict(line.split("=", 1) for line in out.splitlines())
        self.url, self.ldaps_url, self.ldapi_url = env["LDAP_URL"], env["LDAPS_URL"], env["LDAPI_URL"]
        self.base = env["LDAP_BASE"]
        self.bind_dn, self.bind_password = env["LDAP_BIND_DN"], env["LDAP_BIND_PW"]
        self.limited_dn, self.limited_password = env["LDAP_LIMITED_DN"], env["LDAP_LIMITED_PW"]
        self.admin_dn, self.admin_password = env["LDAP_ADMIN_DN"], env["LDAP_ADMIN_PW"]
        self.ca, self.wrong_ca = Path(env["LDAP_CA"]), Path(env["LDAP_WRONG_CA"])
        self.client_cert, self.client_key = Path(env["LDAP_CLIENT_CERT"]), Path(env["LDAP_CLIENT_KEY"])

    def people(self) -> list[tuple[str, dict[str, Any]]]:
        """The DN and the generator's record of each person that was loaded, in the generator's order."""
        spec = importlib.util.spec_from_file_location("gen_people", SCRIPT.with_name("gen_people.py"))
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
        """Change the directory by ``ldif`` (RFC 2849 change records) as the administrator."""
        self.changed = True
        credentials = ["-H", self.url, "-D", self.admin_dn, "-w", self.admin_password]
        done = subprocess.run(
            ["ldapmodify", "-x", *credentials], input=ldif, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"ldapmodify ended with {done.returncode}: {done.stderr}")

    def stop(self) -> None:
        """Take the server down; its data and ports stay."""
        self.changed = True
        self._script("stop")

    def start(self) -> None:
        """Bring the server up again, on the same ports and data."""
        self._script("start")

    def reset(self) -> None:
        """Bring back the pristine data, and the server if it is down."""
        self._script("reset")
        self.changed = False

    def close(self) -> None:
        """Stop and remove everything."""
        self._guard.release()
        shutil.rmtree(self.folder, ignore_errors=True)


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
