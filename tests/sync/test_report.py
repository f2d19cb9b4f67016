from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator

import orjson
import pytest

from scimd import log
from scimd.connector_api import Unreachable
from scimd.db.tables import events
from scimd.sync import report
from tests.sync.world import Person, World, world


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[World]:
    async with world(database_url) as found:
        found.script.fill(4)
        await found.sync()
        yield found


async def test_csv_has_a_line_per_changed_attribute_with_old_and_new(acme: World) -> None:
    acme.script.people["x0001"].more |= {"title": "Dr", "displayName": "One"}
    del acme.script.people["x0002"]
    run = await acme.sync()
    text = "".join([piece async for piece in report.csv_of(acme.door, run)])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["what"], row["name"], row["attribute"], row["old"], row["new"]) for row in rows] == [
        ("deactivated", "user0002", "active", "true", "false"),
        ("updated", "user0001", "displayName", "", "One"),
        ("updated", "user0001", "title", "", "Dr"),
    ]
    assert rows[0]["reason"] == "no longer in the directory"


async def test_json_is_one_document_with_the_run_and_its_changes(acme: World) -> None:
    acme.script.people["x0009"] = Person("nine")
    acme.script.people["x0001"].more["active"] = "perhaps"
    run = await acme.sync()
    found = orjson.loads("".join([piece async for piece in report.json_of(acme.door, run)]))
    assert (found["state"], found["counts"]["created"], found["source_name"]) == ("partial", 1, "hr")
    assert [(change["what"], change["name"]) for change in found["changes"]] == [
        ("created", "nine"),
        ("failed", "cn=user0001"),
    ]
    assert found["changes"][0]["new"]["userName"] == "nine"
    assert found["changes"][1]["reason"] == "active: 'perhaps' is neither true nor false"


async def test_report_of_nothing_is_a_document_too(acme: World) -> None:
    run = await acme.sync()
    assert orjson.loads("".join([piece async for piece in report.json_of(acme.door, run)]))["changes"] == []
    assert "".join([piece async for piece in report.csv_of(acme.door, run)]).count("\n") == 1


async def test_what_a_run_does_stands_in_the_audit_and_the_log_under_its_id(acme: World) -> None:
    logged: list[str] = []

    async def note() -> None:
        logged.append(log.CORRELATION.get("none"))

    acme.script.closing = note
    acme.script.fill(20)
    done = await acme.sync()
    acme.script.fault = Unreachable("down")
    failed = await acme.sync()
    acme.script.fault = None
    for key in list(acme.script.people)[:15]:
        del acme.script.people[key]
    held = await acme.sync()
    assert (held.state, (await acme.approve(held)).state) == ("held", "done")
    assert logged == [done.id, failed.id, held.id]
    rows = await acme.rows(events)
    of_runs = [row for row in rows if row.target_kind == "run"]
    assert {row.kind for row in of_runs} == {"run.finished", "run.failed", "run.held", "plan.approved"}
    assert [row.correlation_id for row in of_runs] == [row.target_id for row in of_runs]
    (quarantined,) = (row for row in rows if row.kind == "source.quarantined")
    assert quarantined.correlation_id == held.id


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
async def test_cell_that_a_spreadsheet_would_calculate_is_text(acme: World, start: str) -> None:
    formula = f'{start}HYPERLINK("http://127.0.0.1","x")'
    acme.script.people["x0001"].more["title"] = f"x{formula}"
    acme.script.groups["g1"] = (formula.strip() or "g", [])
    run = await acme.sync()
    text = "".join([piece async for piece in report.csv_of(acme.door, run)])
    for row in csv.reader(io.StringIO(text)):
        for cell in row:
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")), cell


async def test_plan_says_what_would_be(acme: World) -> None:
    acme.script.people["x0009"] = Person("nine")
    run = await acme.plan()
    found = orjson.loads("".join([piece async for piece in report.json_of(acme.door, run)]))
    assert [change["what"] for change in found["changes"]] == ["to be created"]
