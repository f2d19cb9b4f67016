"""A real OpenLDAP into both databases, by the command line: syncs, limits, and a directory that fails."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.connectors.proxy import SpoilingProxy
from tests.e2e.clients import standing_is_right
from tests.e2e.company import Company, changed, removed, renamed, swapped
from tests.e2e.stored import count
from tests.support.openldap import OpenLdap

pytestmark = pytest.mark.usefixtures("python_ldap")

_NEW_TITLE = "Chief of Everything"
_RENAMED = "team-0001"


def ids(people: list[tuple[str, dict[str, Any]]]) -> set[str]:
    return {person["uuid"] for _, person in people}


def dns(people: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [dn for dn, _ in people]


def groups_that_hold(directory: OpenLdap, gone: list[tuple[str, dict[str, Any]]]) -> dict[str, set[str]]:
    """Names of the groups with any of these people, and whom of them they hold, as the directory says."""
    uuid_of = {dn.lower(): person["uuid"] for dn, person in gone}
    found: dict[str, set[str]] = {}
    for name, members in directory.groups().items():
        lost = {uuid_of[member.lower()] for member in members if member.lower() in uuid_of}
        if lost:
            found[name] = lost
    return found


def the_story(company: Company, number: int) -> None:
    """First sync, none, exactly what changed, a swap; stored standing is right after each."""
    directory, cli = company.directory, company.cli
    people = directory.people()

    began = time.monotonic()
    first = company.sync()
    print(f"first sync of {number}: {time.monotonic() - began:.1f} s")
    assert first["state"] == "done"
    assert first["counts"]["created"] == number
    standing_is_right(cli)

    said = count(company.database, "events")
    began = time.monotonic()
    second = company.sync()
    print(f"second sync of {number}: {time.monotonic() - began:.1f} s")
    assert {name: count for name, count in second["counts"].items() if count} == {"unchanged": number}
    assert company.report(second) == []
    # A run that changes nothing writes no event.
    assert count(company.database, "events") == said
    assert company.cli.ok("plan", "ldap")["changes"] == []

    titled, gone, (one, other) = people[:100], people[100:150], people[200:202]
    losing = groups_that_hold(directory, gone)
    losing["team-renamed"] = losing.pop(_RENAMED, set())
    directory.modify(
        changed(dns(titled), "title", _NEW_TITLE)
        + removed(dns(gone))
        + renamed(f"cn={_RENAMED},ou=groups,{directory.base}", "cn=team-renamed")
    )
    inactive = company.people("inactive")
    planned = cli.ok("plan", "ldap", codes=(2,))
    third = company.sync()
    assert third["counts"] == planned["counts"]
    report = company.report(third)
    out = [each for each in gone if each[1]["uid"] in inactive]
    the_report_names_exactly(report, titled, gone, out, losing)
    the_table_says_the_same(cli.run("run", "report", third["id"], "--format", "csv").stdout, report)
    standing_is_right(cli)

    before = company.people()
    directory.modify(swapped(one, other))
    fourth = company.report(company.sync())
    assert {(row["external_id"], row["what"]) for row in fourth if row["kind"] == "user"} == {
        (one[1]["uuid"], "updated"),
        (other[1]["uuid"], "updated"),
    }
    by_id = {row["id"]: row for row in company.people().values()}
    first_row, second_row = before[one[1]["uid"]], before[other[1]["uid"]]
    assert by_id[first_row["id"]]["email"] == second_row["email"]
    assert by_id[second_row["id"]]["email"] == first_row["email"]
    standing_is_right(cli)


def the_report_names_exactly(
    report: list[dict[str, Any]],
    titled: list[tuple[str, dict[str, Any]]],
    gone: list[tuple[str, dict[str, Any]]],
    out: list[tuple[str, dict[str, Any]]],
    losing: dict[str, set[str]],
) -> None:
    """These people, the renamed group, and of the groups those that held removed people: whom they lost.

    ``out``: those of the removed who were Inactive before.
    """

    def of(kind: str, what: str) -> list[dict[str, Any]]:
        return [row for row in report if (row["kind"], row["what"]) == (kind, what)]

    assert {row["external_id"] for row in of("user", "updated")} == ids(titled)
    assert all(row["new"] == {"title": _NEW_TITLE} for row in of("user", "updated"))
    assert {row["external_id"] for row in of("user", "deactivated")} == ids(gone) - ids(out)
    assert {row["external_id"] for row in of("user", "dropped")} == ids(out)
    assert all(row["reason"] for row in report)
    (group,) = of("group", "renamed")
    assert group["old"]["displayName"] == _RENAMED
    assert group["new"] == {"displayName": "team-renamed"}
    # OpenLDAP's referential integrity takes the removed out of their groups: those lost members, no other.
    of_groups = {
        row["name"]: set((row["old"] or {}).get("members", ())) for row in report if row["kind"] == "group"
    }
    assert of_groups == losing
    assert len(report) == len(titled) + len(gone) + len(of_groups)


def the_table_says_the_same(text: str, report: list[dict[str, Any]]) -> None:
    rows = list(csv.DictReader(io.StringIO(text)))
    said = {(row["n"], row["kind"], row["what"], row["external_id"]) for row in rows}
    assert said == {(str(row["n"]), row["kind"], row["what"], row["external_id"]) for row in report}
    titles = [row for row in rows if row["attribute"] == "title"]
    assert {row["new"] for row in titles} == {_NEW_TITLE}
    assert all(row["old"] for row in titles)


def test_the_reports_name_exactly_what_changed_in_the_directory(
    openldap: Callable[..., OpenLdap], database_url: str, tmp_path: Path
) -> None:
    the_story(Company.at(tmp_path, openldap(users=1000), database_url), 1000)


@pytest.mark.long
def test_the_reports_name_exactly_what_changed_among_ten_thousand(
    openldap: Callable[..., OpenLdap], database_url: str, tmp_path: Path
) -> None:
    the_story(Company.at(tmp_path, openldap(users=10_000), database_url), 10_000)


def test_removals_over_the_limit_are_held_until_somebody_applies_them(
    openldap: Callable[..., OpenLdap], postgres_url: str, tmp_path: Path
) -> None:
    directory = openldap(users=1000)
    company = Company.at(tmp_path, directory, postgres_url)
    company.sync()
    inactive, linked = set(company.people("inactive")), len(company.people())
    gone, titled = directory.people()[100:400], directory.people()[:1]
    active, going = linked - len(inactive), {each["uid"] for _, each in gone} - inactive
    directory.modify(removed(dns(gone)) + changed(dns(titled), "title", _NEW_TITLE))

    planned = company.cli.ok("plan", "ldap", codes=(3,))
    said = f"{len(going)} of {active} people would be removed"
    assert any(said in trip for trip in planned["trips"])
    held = company.sync(3)
    assert held["state"] == "held"
    assert held["counts"]["held"] >= 300
    assert held["counts"]["updated"] == 1  # additions and updates go on
    assert set(company.people("inactive")) == inactive

    applied = company.cli.ok("apply", held["id"])
    assert applied["state"] == "done"
    assert applied["counts"]["deactivated"] == len(going)
    assert set(company.people("inactive")) == inactive | {person["uid"] for _, person in gone}
    standing_is_right(company.cli)
    assert company.cli.ok("plan", "ldap")["changes"] == []


class Line(SpoilingProxy):
    """A network between scimd and the directory, that can be cut in the middle of an answer."""

    def __init__(self, target: str) -> None:
        super().__init__(target, "cut", 0)
        self.mend()

    def _pass(self, client: socket.socket) -> None:
        with contextlib.suppress(ConnectionRefusedError):  # the directory is down, which the client sees
            super()._pass(client)

    def cut_after(self, size: int) -> None:
        self._left = size

    def mend(self) -> None:
        self._left = 1 << 40


def test_a_directory_that_fails_fails_the_run_with_the_reason_and_removes_nobody(
    openldap: Callable[..., OpenLdap], tmp_path: Path
) -> None:
    directory = openldap(users=200)
    with Line(directory.url) as line:
        company = Company.at(tmp_path, directory, f"sqlite:///{tmp_path / 'scimd.db'}")
        ca = tmp_path / "ca.pem"
        ca.write_bytes(directory.ca.read_bytes())
        company.configure(url=f"ldap://{line.address}", ca_file=str(ca), page_size=50)
        company.sync()
        everybody = company.people()
        password = directory.folder / "bind-password"

        def fails(reason: str) -> None:
            done = company.cli.run("sync", "ldap", "--json")
            assert done.returncode == 1, done.stdout + done.stderr
            assert directory.bind_password not in done.stdout + done.stderr
            assert reason in done.stderr.splitlines()[-1]
            run = json.loads(done.stdout)
            assert run["state"] == "failed"
            assert reason in run["error"]
            assert not any(run["counts"].values())

        def works_again() -> None:
            assert company.sync()["counts"]["unchanged"] == 200

        password.write_text("not the password", encoding="utf-8")
        fails("does not accept the password")
        password.write_text(directory.bind_password, encoding="utf-8")
        works_again()

        ca.write_bytes(directory.wrong_ca.read_bytes())
        fails("certificate")
        ca.write_bytes(directory.ca.read_bytes())
        works_again()

        line.cut_after(40_000)
        fails("connection")
        line.mend()
        works_again()

        directory.stop()
        fails("cannot be reached")
        directory.start()
        works_again()

        directory.modify(
            f"dn: ou=people,{directory.base}\nchangetype: modrdn\nnewrdn: ou=moved\ndeleteoldrdn: 1\n\n"
            f"dn: ou=people,{directory.base}\nchangetype: add\nobjectClass: organizationalUnit\n\n"
        )
        fails("the directory gave nobody")
        assert company.people() == everybody
        standing_is_right(company.cli)
