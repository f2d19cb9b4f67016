"""A company whose people are in a real OpenLDAP: its config, and changes to its directory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.daemon import Cli, Here
from tests.support.openldap import OpenLdap

_CONFIG = """
[server]
port = PORT
public_url = "http://127.0.0.1:PORT"
[database]
url = "{database}"
timeout = "60s"
[secrets]
key = ["env:SCIMD_TEST_KEY"]
[mail]
to = "folder"
folder = "mails"
[log]
level = "warning"
format = "json"
[[organization]]
name = "acme"
[[organization.source]]
name = "ldap"
connector = "ldap"
state = "staged"
{source}
[[organization.source.rule]]
number = 10
pattern = "team-*"
project = "{{name}}"
[organization.source.settings]
{settings}
"""


def settings_of(directory: OpenLdap, **changed: Any) -> dict[str, Any]:
    """Settings that read all people, without the awkward ones, and all groups."""
    whole = {
        "url": directory.url,
        "ca_file": str(directory.ca),
        "bind_dn": directory.bind_dn,
        "bind_password": f"file:{directory.folder / 'bind-password'}",
        "user_base": f"ou=people,{directory.base}",
        "user_filter": "(employeeNumber=E*)",
        "group_base": f"ou=groups,{directory.base}",
        "page_size": 100,
    }
    (directory.folder / "bind-password").write_text(directory.bind_password, encoding="utf-8")
    return {key: value for key, value in (whole | changed).items() if value is not None}


def config_of(database: str, settings: Mapping[str, Any], source: str = "") -> str:
    lines = (
        f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}"
        for key, value in settings.items()
    )
    return _CONFIG.format(database=database, settings="\n".join(lines), source=source)


@dataclass
class Company:
    """The command line, the directory, and what is between them."""

    cli: Cli
    directory: OpenLdap
    database: str

    @classmethod
    def at(cls, folder: Path, directory: OpenLdap, database: str, source: str = "") -> Company:
        text = config_of(database, settings_of(directory), source)
        return cls(Here(folder, text.replace("PORT", "1")), directory, database)

    def configure(self, source: str = "", **changed: Any) -> None:
        """Write the config again with other settings; None takes a key out."""
        text = config_of(self.database, settings_of(self.directory, **changed), source)
        self.cli.file.write_text(text.replace("PORT", "1"), encoding="utf-8")

    def sync(self, *codes: int) -> Any:
        return self.cli.ok("sync", "ldap", codes=codes or (0,))

    def report(self, run: Mapping[str, Any]) -> list[dict[str, Any]]:
        changes: list[dict[str, Any]] = self.cli.ok("run", "report", run["id"])["changes"]
        return changes

    def people(self, status: str | None = None) -> dict[str, dict[str, Any]]:
        """People by user name; those of a status only."""
        more = ("--status", status) if status else ()
        rows = self.cli.ok("user", "list", "--limit", "10000", *more)
        return {row["user_name"]: row for row in rows}


def changed(dns: Iterable[str], attribute: str, value: str) -> str:
    """LDIF: another value of an attribute for each entry."""
    return "".join(
        f"dn: {dn}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n\n" for dn in dns
    )


def removed(dns: Iterable[str]) -> str:
    return "".join(f"dn: {dn}\nchangetype: delete\n\n" for dn in dns)


def renamed(dn: str, name: str) -> str:
    """LDIF: a new first part of the name, in the same place."""
    return f"dn: {dn}\nchangetype: modrdn\nnewrdn: {name}\ndeleteoldrdn: 1\n\n"


def swapped(first: tuple[str, Mapping[str, Any]], second: tuple[str, Mapping[str, Any]]) -> str:
    """LDIF: two people, as DN and the generator's record, take each other's user name and address."""
    (a, one), (b, other) = first, second
    a_parent, b_parent = a.partition(",")[2], b.partition(",")[2]
    return (
        renamed(a, "uid=parked")
        + renamed(b, f"uid={one['uid']}")
        + renamed(f"uid=parked,{a_parent}", f"uid={other['uid']}")
        + changed([f"uid={other['uid']},{a_parent}"], "mail", other["mail"])
        + changed([f"uid={one['uid']},{b_parent}"], "mail", one["mail"])
    )
