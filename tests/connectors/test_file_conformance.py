"""The file connector holds the contract, in every format that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors.file.connector import FileConnector
from scimd.connector_testing import ConnectorConformance
from tests.support.patience import AT_MOST_S

_CSV_USERS = (
    "\ufeffid,userName,displayName,mail\r\n"
    '1,ann,"Ann ""A"" Ünal, PhD",ann@example.org\r\n'
    "2,bob,ボブ,\r\n"
    "3,eve,حواء,eve@example.org\r\n"
)
_CSV_GROUPS = "id,name,members\ng1,Staff,1;2;g2\ng2,Crew,3;99\ng3,Nobody,\n"
_JSON = (
    '{"id": "1", "userName": "ann", "emails": [{"value": "a@example.org", "primary": true}], "title": null}\n'
    '{"id": 2, "userName": "bob", "active": false}\n'
    '{"id": "3", "userName": "eve"}\n'
    '{"id": "g1", "displayName": "Staff", "members": ["1", 2, {"value": "g2"}]}\n'
    '{"id": "g2", "displayName": "Crew", "members": []}\n'
    '{"id": "g3", "displayName": "Nobody", "members": null}\n'
)

_LDIF = """version: 1

# people
dn: uid=ann,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: ann
cn:: w4RubiDDnG5hbA==
description: a text that goes
  on in the next line
userPassword: {SSHA}never-shown
entryUUID: 1

dn: UID=bob , ou=People,dc=example,dc=org
objectClass: person
cn: Bob
entryUUID: 2

dn: uid=eve,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: eve
cn: Eve
entryUUID: 3

dn: cn=staff,dc=example,dc=org
objectClass: groupOfNames
cn: staff
member: uid=Ann,ou=People,dc=example,dc=org
member: uid=bob,ou=people,dc=example,dc=org
member: cn=crew,dc=example,dc=org
entryUUID: g1

dn: cn=crew,dc=example,dc=org
objectClass: posixGroup
cn: crew
memberUid: eve
entryUUID: g2

dn: cn=nobody,dc=example,dc=org
objectClass: groupOfUniqueNames
cn: nobody
uniqueMember: cn=gone
entryUUID: g3
"""


class FileConformance(ConnectorConformance):
    """What all three formats share: three people, three groups, and the ways in which files go wrong."""

    connector = FileConnector
    timeout_s = AT_MOST_S
    folder: Path

    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        self.write()

    def write(self) -> None:
        raise AssertionError

    def cut(self) -> str:
        raise AssertionError

    def expected_people(self) -> set[str]:
        return {"1", "2", "3"}

    def expected_groups(self) -> set[str]:
        return {"g1", "g2", "g3"}

    def secrets(self) -> tuple[str, ...]:
        return ("{SSHA}never-shown",)

    def faults(self) -> Mapping[str, Mapping[str, Any]]:
        settings = dict(self.settings())
        (self.folder / "faults").mkdir(exist_ok=True)
        path = Path(settings["path"])
        ending = next(p.suffix for p in (path, *sorted(path.glob("users.*"))) if p.suffix)
        cut = self.folder / "faults" / f"cut{ending}"
        cut.write_text(self.cut(), encoding="utf-8")
        empty = cut.with_name(f"empty{ending}")
        empty.write_bytes(b"")
        return {
            "missing": {**settings, "path": str(self.folder / f"nothing{ending}")},
            "cut off": {**settings, "path": str(cut)},
            "empty": {**settings, "path": str(empty)},
            "no file": {**settings, "path": "/dev/null", "format": "csv"},
        }


class TestCsv(FileConformance):
    def write(self) -> None:
        (self.folder / "users.csv").write_text(_CSV_USERS, encoding="utf-8", newline="")
        (self.folder / "groups.csv").write_text(_CSV_GROUPS, encoding="utf-8")

    def settings(self) -> Mapping[str, Any]:
        return {"path": str(self.folder)}

    def cut(self) -> str:
        return _CSV_USERS[: _CSV_USERS.index("PhD")]


class TestJsonLines(FileConformance):
    def write(self) -> None:
        (self.folder / "people.jsonl").write_text(_JSON, encoding="utf-8")

    def settings(self) -> Mapping[str, Any]:
        return {"path": str(self.folder / "people.jsonl")}

    def cut(self) -> str:
        return _JSON[:300]


class TestLdif(FileConformance):
    def write(self) -> None:
        (self.folder / "people.ldif").write_text(_LDIF, encoding="utf-8")

    def settings(self) -> Mapping[str, Any]:
        return {"path": str(self.folder / "people.ldif")}

    def cut(self) -> str:
        return _LDIF[: _LDIF.index("entryUUID: g2") + 8]
