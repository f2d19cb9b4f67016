"""A package that scimd has never seen is installed beside it, found by its entry point, and conforms."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import closing
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from scimd.connector_api import Deadline, Secret
from scimd.connector_testing import ConnectorConformance, RecordingLog, Whole, read_whole
from tests.support.interpreter import run_python
from tests.support.patience import AT_MOST_S

STRANGER = Path(__file__).parent / "stranger"
_PEOPLE = 250


def install(project: Path, target: Path) -> None:
    """Put a pure package of single modules where an installer would, metadata included.

    What an installer does with a wheel (PEP 427, PEP 376), by hand: it needs no network, no index and
    no build tool, so the test runs on a bare machine.
    """
    declared = tomllib.loads((project / "pyproject.toml").read_text())
    about = declared["project"]
    info = target / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    info.mkdir(parents=True)
    files = [*declared["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]]
    for file in files:
        shutil.copy(project / file, target / file)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n"
    )
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {where}\n" for name, where in points.items())
        for group, points in about["entry-points"].items()
    )
    (info / "entry_points.txt").write_text("\n".join(groups))
    names = [*files, *(f"{info.name}/{name}" for name in ("METADATA", "entry_points.txt", "RECORD"))]
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in names))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    install(STRANGER, target)
    return target


@pytest.fixture
def badges(tmp_path: Path) -> Path:
    path = tmp_path / "badges.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(
            "CREATE TABLE system (pin); INSERT INTO system VALUES ('pin-4711');"
            "CREATE TABLE badges (number TEXT PRIMARY KEY, name, mail, change INTEGER);"
            "CREATE TABLE doors (door, number); CREATE TABLE returned (number, change INTEGER);"
            "CREATE VIEW changes AS SELECT change FROM badges UNION ALL SELECT change FROM returned;"
        )
        database.executemany(
            "INSERT INTO badges VALUES (?, ?, ?, ?)",
            [
                (f"b{n:04}", f"Náme {n}", None if n % 7 else f"n{n}@acme.example", n)
                for n in range(1, _PEOPLE + 1)
            ],
        )
        database.executemany("INSERT INTO doors VALUES ('lab', ?)", [("b0001",), ("b0002",), ("b9999",)])
    return path


class TestConformance(ConnectorConformance):
    timeout_s = AT_MOST_S
    badges: Path

    @pytest.fixture(autouse=True)
    def _installed(self, site: Path, badges: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.syspath_prepend(str(site))
        (found,) = entry_points(group="scimd.connectors", name="badges")
        self.connector = found.load()
        self.badges = badges
        yield
        sys.modules.pop("acme_badges", None)

    def settings(self) -> Mapping[str, Any]:
        return {"file": str(self.badges), "pin": Secret("pin-4711")}

    def expected_people(self) -> set[str]:
        return {f"b{n:04}" for n in range(1, _PEOPLE + 1)}

    def expected_groups(self) -> set[str]:
        return {"door:lab"}

    def secrets(self) -> tuple[str, ...]:
        return "pin-4711", "pin-0000"

    def faults(self) -> Mapping[str, Mapping[str, Any]]:
        return {
            "wrong pin": {**self.settings(), "pin": Secret("pin-0000")},
            "no such file": {**self.settings(), "file": str(self.badges.with_name("none"))},
            "no database": {**self.settings(), "file": __file__},
        }

    def test_the_cursor_leads_to_what_changed_and_what_is_gone(self) -> None:
        async def both(source: Any) -> tuple[Whole, Whole]:
            first = await read_whole(source)
            with closing(sqlite3.connect(self.badges)) as database, database:
                database.execute("UPDATE badges SET name = 'New', change = 9001 WHERE number = 'b0001'")
                database.execute("DELETE FROM badges WHERE number = 'b0002'")
                database.execute("INSERT INTO returned VALUES ('b0002', 9002)")
            end = first.pages[-1].end
            assert end is not None
            return first, await read_whole(source, end.cursor)

        _, changes = self._run(both)
        assert [user.external_id for user in changes.users] == ["b0001"]
        assert changes.pages[-1].gone == ("b0002",)
        assert changes.pages[-1].end is not None
        assert not changes.pages[-1].end.full


_FIND_AND_READ = """
import asyncio, json, os, sys
from importlib.metadata import entry_points
from scimd.connector_api import Deadline

class Log:
    def debug(self, event, **fields): pass
    info = warning = debug

async def main():
    (found,) = entry_points(group="scimd.connectors", name="badges")
    connector = found.load()
    config = connector.parse({"file": sys.argv[1], "pin": "env:BADGE_PIN"})
    source = connector.open(config, Log(), Deadline.after(30))
    people = [user async for page in source.read(None) for user in page.users]
    await source.aclose()
    ours = sorted(name for name in sys.modules if name.partition(".")[0] in ("scimd", "connectors"))
    print(json.dumps({"dist": found.dist.name, "people": len(people), "modules": ours}))

asyncio.run(main())
"""


def test_a_fresh_interpreter_finds_it_and_it_needs_nothing_of_scimd_but_the_contract(
    site: Path, badges: Path
) -> None:
    env = os.environ | {"PYTHONPATH": str(site), "BADGE_PIN": "pin-4711"}
    done = run_python(_FIND_AND_READ, str(badges), env=env, cwd=site)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told == {"dist": "acme-badges", "people": _PEOPLE, "modules": ["scimd", "scimd.connector_api"]}


def test_the_shipped_connectors_are_found_in_the_same_way() -> None:
    found = {
        point.name: point.load() for point in entry_points(group="scimd.connectors") if point.name != "badges"
    }
    assert {"file", "ldap"} <= set(found)
    config = found["file"].parse({"path": "people.csv"})
    source = found["file"].open(config, RecordingLog(), Deadline.after(1))
    assert source.capabilities.groups
