"""What must not grow with the organization: look-ups, deep pages, changes of large groups, memory."""

from __future__ import annotations

import itertools
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.client import Client, Load, Unexpected, pss_mb
from benchmarks.measure import say, verdict
from benchmarks.servers import start_scimd
from benchmarks.work import (
    CONCURRENCY,
    Subject,
    adding,
    by_name,
    group,
    group_of,
    ids_of,
    name_of,
    page,
    patch,
    removing,
    user,
)

_ROUNDS = 5
_SECONDS = 1.0
_AT_ONCE = 1000  # members in one PATCH


def report(people: int) -> str:
    """G6, G7, G9 and G13 in an organization of ``people``, beside one of 1,000 in the same database."""
    with (
        tempfile.TemporaryDirectory(prefix="scimd-bench-", ignore_cleanup_errors=True) as name,
        ExitStack() as stack,
    ):
        database = Path(name) / "scimd.db"
        scimd = start_scimd(stack, Path(name), f"sqlite:///{database}")
        small, big = scimd.subject("small"), scimd.subject("big")
        lines = [f"## An organization of {people:,} people", ""]
        lines.append(
            f"Loaded by POST, {_load(small, 1000) and 16} at a time: {_load(big, people):,.0f} people/s."
        )
        lines.append("")
        groups = {size: _group(big, f"Of {size}", size) for size in (10, people // 10, people)}
        # Both show as much of each person, and nobody is still to be settled: only the number differs.
        _group(small, "Of all", len(small.ids))
        _wait_until_settled(database)
        rows = _flat(small, big, groups, people)
        memory = pss_mb((scimd.pid,))
        rows.append(
            (
                "G9",
                f"memory with {people:,} people, worker included (PSS)",
                f"{memory:.0f} MB",
                memory,
                250,
                120,
            )
        )
        rows += _large_group(big, groups[people], people, database)
        lines += ["| goal | what | measured | bar | aim | |", "|---|---|---|---|---|---|"]
        lines += [
            f"| {goal} | {what} | {shown} | {bar} | {aim} | {verdict(value, bar, aim, at_most=True)} |"
            for goal, what, shown, value, bar, aim in rows
        ]
    return "\n".join(lines)


Row = tuple[str, str, str, float, float, float]


def _load(subject: Subject, people: int) -> float:
    """Create people; gives the rate."""
    subject.keys = [f"p{i}" for i in range(people)]
    ask = subject.endpoint.request
    with Client(subject.endpoint, concurrency=CONCURRENCY) as client:
        made = client.load(
            (ask("POST", "/Users", user(key)) for key in subject.keys), seconds=3600, keep=True
        )
    subject.ids = ids_of(made.bodies)
    say(f"{people} people at {made.rate:.0f}/s")
    return made.rate


def _group(subject: Subject, name: str, size: int) -> str:
    """A group of the first ``size`` people, filled by PATCHes of 1,000."""
    ask = subject.endpoint.request
    with Client(subject.endpoint, concurrency=1) as client:
        one = ids_of(client.load([ask("POST", "/Groups", group(name))], keep=True).bodies)[0]
        chunks = [subject.ids[i : min(i + _AT_ONCE, size)] for i in range(0, size, _AT_ONCE)]
        filled = client.load(
            (ask("PATCH", f"/Groups/{one}", adding(chunk)) for chunk in chunks), seconds=3600
        )
    say(f"a group of {size} in {filled.seconds:.1f} s")
    return one


def _flat(small: Subject, big: Subject, groups: dict[int, str], people: int) -> list[Row]:
    """G6 and G7: pairs of loads, in turn; the value is how many times slower the larger is."""
    ask = big.endpoint.request
    large = people // 10
    names = big.keys[:: max(1, people // 1000)]
    pairs = {
        ("G6", f"look-up at {people:,} vs 1,000 people"): (
            lambda: [ask("GET", by_name(name_of(key))) for key in names],
            lambda: [small.endpoint.request("GET", by_name(name_of(key))) for key in small.keys],
        ),
        ("G6", f"deep page at {people:,} vs 1,000 people"): (
            lambda: [ask("GET", page(people - 99 - 7 * i)) for i in range(10)],
            lambda: [small.endpoint.request("GET", page(901 - 7 * i)) for i in range(10)],
        ),
        ("G6", f"group PATCH at {large:,} vs 10 members"): (
            lambda: _in_and_out(big, groups[large], big.ids[large : large + 100]),
            lambda: _in_and_out(big, groups[10], big.ids[large : large + 100]),
        ),
        ("G7", f"GET of a group of {large:,} without members vs GET of a user"): (
            lambda: [ask("GET", f"/Groups/{groups[large]}?excludedAttributes=members")],
            lambda: [ask("GET", f"/Users/{one}") for one in big.ids[:1000]],
        ),
    }
    rows = []
    for (goal, what), (larger, smaller) in pairs.items():
        say(what)
        goals = (1.5, 1.1) if goal == "G7" else (1.5, 1.2)
        times = [
            (_time(big, larger), _time(small if "people" in what else big, smaller)) for _ in range(_ROUNDS)
        ]
        ratio = statistics.median(more / less for more, less in times)
        mine, other = (statistics.median(pair[i] for pair in times) * 1e6 for i in (0, 1))
        rows.append((goal, what, f"{ratio:.2f} × ({mine:.0f} vs {other:.0f} µs a request)", ratio, *goals))
    return rows


def _in_and_out(subject: Subject, one: str, members: list[str]) -> list[bytes]:
    """Everybody in, then everybody out, so that each request changes something and nothing stays."""
    ask = subject.endpoint.request
    return [ask("PATCH", f"/Groups/{one}", body(member)) for body in (_one, removing) for member in members]


def _one(member: str) -> bytes:
    return adding([member])


def _time(subject: Subject, requests: Callable[[], list[bytes]]) -> float:
    """Seconds per request, at concurrency 16. Writes run to their end; reads are repeated for a second."""
    work = requests()
    reads = work[0].startswith(b"GET")
    with Client(subject.endpoint, concurrency=CONCURRENCY) as client:
        load = client.load(itertools.cycle(work) if reads else work, seconds=_SECONDS if reads else 60)
    return load.seconds / load.count


@dataclass(frozen=True, slots=True)
class _Change:
    what: str
    answered_s: float
    others: Load
    settled_s: float


def _large_group(big: Subject, one: str, people: int, database: Path) -> list[Row]:
    """G13: change a group of everybody while others write."""
    ask = big.endpoint.request
    members, name = big.ids[:people], "Everybody else"
    steps = {
        "rename": ask("PATCH", f"/Groups/{one}", patch(op="replace", path="displayName", value=name)),
        "PUT that takes half out": ask("PUT", f"/Groups/{one}", group_of(name, members[: people // 2])),
        "PUT that puts them back": ask("PUT", f"/Groups/{one}", group_of(name, members)),
        "PUT that renames and takes half out": ask(
            "PUT", f"/Groups/{one}", group_of("Half", members[: people // 2])
        ),
        "DELETE": ask("DELETE", f"/Groups/{one}"),
    }
    rows: list[Row] = []
    for what, request in steps.items():
        say(f"group of {people}: {what}")
        change = _changed(big, what, request, database)
        text = f"{what} of a group of {people:,}"
        p99 = change.others.quantile(0.99)
        rows += [
            ("G13", f"{text}: answered", f"{change.answered_s:.2f} s", change.answered_s, 1, 0.3),
            ("G13", f"{text}: p99 of {change.others.count} other writes", f"{p99:.0f} ms", p99, 100, 50),
            ("G13", f"{text}: settled", f"{change.settled_s:.1f} s", change.settled_s, 60, 30),
        ]
    return rows


def _changed(big: Subject, what: str, request: bytes, database: Path) -> _Change:
    stop = threading.Event()
    others: list[Load | Unexpected] = []

    def write() -> None:
        ask = big.endpoint.request
        bodies = (
            ask("PATCH", f"/Users/{one}", patch(op="replace", path="title", value=f"{what} {i}"))
            for i, one in enumerate(itertools.cycle(big.ids[::97]))
        )
        try:
            with Client(big.endpoint, concurrency=4) as client:
                others.append(client.load(bodies, seconds=600, while_true=lambda: not stop.is_set()))
        except Unexpected as exc:
            others.append(exc)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        time.sleep(0.5)
        began = time.perf_counter()
        with Client(big.endpoint, concurrency=1) as client:
            client.load([request])
        answered = time.perf_counter() - began
        _wait_until_settled(database)
        settled = time.perf_counter() - began
    finally:
        stop.set()
        writer.join()
    if isinstance(others[0], Unexpected):
        raise others[0]
    return _Change(what, answered, others[0], settled)


def _wait_until_settled(database: Path, within_s: float = 300) -> None:
    end = time.monotonic() + within_s
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        while connection.execute("SELECT EXISTS (SELECT 1 FROM unsettled)").fetchone()[0]:
            if time.monotonic() > end:
                raise Unexpected(f"not settled within {within_s} s")
            time.sleep(0.1)
