"""A directory that a script of ``tests/directories`` runs for tests: see the README there."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.support.guard import Guard, free_port

SCRIPTS = Path(__file__).parent.parent / "directories"

# The scripts' own exit code for "it did not come up", which a taken port brings about.
_DID_NOT_START = 4

_RUN = """
read -r _
"$1" stop --dir "$2"
rm -rf "$2"
"""


class Scripted:
    """A server in a folder of its own, which goes with whoever made it; its addresses are attributes.

    ``admin_dn`` may write. ``wrong_ca`` is a certificate that did not sign the server's.
    """

    def __init__(self, name: str) -> None:
        self.script = SCRIPTS / f"{name}.sh"
        self.folder = Path(tempfile.mkdtemp(prefix=f"scimd-{name}-"))
        self._guard = Guard(_RUN, str(self.script), str(self.folder))
        self._options: list[str] = []

    def _begin(
        self, *options: str, env: Mapping[str, str] | None = None, attempts: int = 3
    ) -> Mapping[str, str]:
        """Start it on free ports, and give what the script says of it. ``options`` are for each command."""
        self._env = os.environ | dict(env or {})
        for left in reversed(range(attempts)):
            ports = ["--port", str(free_port()), "--tls-port", str(free_port())]
            self._options = ["--dir", str(self.folder), *ports, *options]
            try:
                self.start()
                break
            except subprocess.CalledProcessError as error:
                if error.returncode != _DID_NOT_START or not left:
                    raise RuntimeError(f"{self.script.stem} did not start:\n{error.stderr}") from error
        said = dict(line.split("=", 1) for line in self._command("env").splitlines())
        self.url, self.ldaps_url, self.base = said["LDAP_URL"], said["LDAPS_URL"], said["LDAP_BASE"]
        self.admin_dn, self.admin_password = said["LDAP_ADMIN_DN"], said["LDAP_ADMIN_PW"]
        self.ca, self.wrong_ca = Path(said["LDAP_CA"]), Path(said["LDAP_WRONG_CA"])
        return said

    def _command(self, command: str) -> str:
        done = subprocess.run(
            [str(self.script), command, *self._options],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self._env,
        )
        return done.stdout

    def modify(self, ldif: str) -> None:
        """Change the directory by ``ldif`` (RFC 2849 change records) as the administrator."""
        command = ["ldapmodify", "-x", "-H", self.url, "-D", self.admin_dn, "-w", self.admin_password]
        done = subprocess.run(command, input=ldif, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"ldapmodify ended with {done.returncode}: {done.stderr}")

    def start(self) -> None:
        """Bring the server up, again on the same ports and data."""
        self._command("start")

    def stop(self) -> None:
        """Take the server down; its data and ports stay."""
        self._command("stop")

    def close(self) -> None:
        """Stop and remove everything."""
        self._guard.release()
        shutil.rmtree(self.folder, ignore_errors=True)
