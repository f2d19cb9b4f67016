"""SCIM over HTTP: scimd as it runs in production, the yardstick and the peers, under the same work.

All servers run side by side and are loaded in turn, for several rounds; what is printed are medians and
ratios. Every request that writes changes something, and every answer is looked at for its status.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import peers, scale
from benchmarks.client import Client, Load, Unexpected
from benchmarks.measure import say, verdict
from benchmarks.servers import start_scimd, start_yardstick
from benchmarks.work import CONCURRENCY, PEOPLE, VERBS, Subject
from tests.support.postgres import PostgresServer


@dataclass(slots=True)
class Measured:
    """Subject → verb → its loads, one a round; what did not work; the first sync's seconds."""

    loads: dict[str, dict[str, list[Load]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    first_sync: dict[str, list[float]] = field(default_factory=dict)
    validating: set[str] = field(default_factory=set)

    def middle(self, subject: str, verb: str) -> Load | None:
        loads = self.loads.get(subject, {}).get(verb)
        return Load.median(loads) if loads else None

    def best_peer(self, verb: str, *, validating: bool) -> tuple[str, float] | None:
        rates = [
            (name, load.rate)
            for name in self.loads
            if name not in ("scimd", "yardstick") and (name in self.validating or not validating)
            if (load := self.middle(name, verb)) is not None
        ]
        return max(rates, key=lambda pair: pair[1], default=None)

    def ratio(self, verb: str) -> float | None:
        ours, bare = self.middle("scimd", verb), self.middle("yardstick", verb)
        return ours.rate / bare.rate if ours and bare else None


@contextmanager
def _subjects(
    folder: Path, urls: tuple[str, str], server: PostgresServer | None, *, with_peers: bool
) -> Iterator[tuple[list[Subject], Measured]]:
    measured = Measured()
    with ExitStack() as stack:
        subjects = [
            start_scimd(stack, folder, urls[0]).subject("acme"),
            start_yardstick(stack, folder, urls[1]),
        ]
        if with_peers:
            found, measured.missing = stack.enter_context(peers.running(server))
            subjects += [Subject(peer.name, peer.endpoint) for peer in found]
            measured.validating = {peer.name for peer in found if peer.validates}
        yield subjects, measured


def compare(
    folder: Path,
    urls: tuple[str, str],
    server: PostgresServer | None,
    *,
    rounds: int,
    seconds: float,
    with_peers: bool,
) -> Measured:
    """G1-G5 (and G8): first syncs, then each verb, every server in turn.

    ``urls`` are the databases of scimd and of the yardstick.
    """
    with _subjects(folder, urls, server, with_peers=with_peers) as (subjects, measured):
        for number in range(rounds):
            for subject in subjects:
                if number == 0 or subject.name in ("scimd", "yardstick"):
                    say(f"first sync {number + 1}: {subject.name}")
                    _first_sync(subject, number, measured)
        for number, (verb, requests) in itertools.product(range(rounds), VERBS.items()):
            for subject in subjects:
                if f"{subject.name}, {verb}" in measured.missing or subject.name in measured.missing:
                    continue
                say(f"round {number + 1}: {verb}, {subject.name}")
                try:
                    with Client(subject.endpoint, concurrency=CONCURRENCY) as client:
                        load = client.load(requests(subject, int(seconds * 9000)), seconds=seconds)
                    measured.loads.setdefault(subject.name, {}).setdefault(verb, []).append(load)
                except (Unexpected, OSError) as exc:
                    measured.missing[f"{subject.name}, {verb}"] = str(exc)[:200]
    return measured


def _first_sync(subject: Subject, number: int, measured: Measured) -> None:
    """G5: what an IdP does at first. Each person is looked up and created, then groups with their members."""
    try:
        with Client(subject.endpoint, concurrency=CONCURRENCY) as client:
            took = subject.first_sync(client, number)
    except (Unexpected, OSError) as exc:
        measured.missing[subject.name] = f"first sync: {exc}"[:300]
        return
    measured.first_sync.setdefault(subject.name, []).append(took)


# --- what is printed ---------------------------------------------------------------------------------

READS = ("GET", "look-up", "page of 100")
WRITES = ("POST", "PUT", "PATCH", "group PATCH")


def table_of(measured: Measured, goals: dict[str, tuple[float, float]], names: dict[str, str]) -> str:
    """G1 and G2 (or G8): scimd beside the yardstick."""
    lines = [
        (
            "| goal | verb | scimd, 1/s | p50, ms | p99, ms | CPU, µs "
            "| yardstick, 1/s | p99, ms | CPU, µs | ratio | bar | aim | |"
        ),
        "|---" * 13 + "|",
    ]
    for verb in (*READS, *WRITES):
        goal = names["reads" if verb in READS else "writes"]
        bar, aim = goals["reads" if verb in READS else "writes"]
        ours, bare, ratio = (
            measured.middle("scimd", verb),
            measured.middle("yardstick", verb),
            measured.ratio(verb),
        )
        if ours is None or bare is None or ratio is None:
            lines.append(f"| {goal} | {verb} | not run | | | | | | | | {bar} | {aim} | **not met** |")
            continue
        lines.append(
            f"| {goal} | {verb} | {ours.rate:,.0f} | {ours.quantile(0.5):.1f} | {ours.quantile(0.99):.1f} "
            f"| {ours.cpu_us:.0f} | {bare.rate:,.0f} | {bare.quantile(0.99):.1f} | {bare.cpu_us:.0f} "
            f"| {ratio:.2f} | {bar} | {aim} | {verdict(ratio, bar, aim)} |"
        )
    return "\n".join(lines)


_VALIDATING = {"GET": (4, 8), "look-up": (4, 8), "page of 100": (80, 150)} | dict.fromkeys(WRITES, (2, 4.5))
_ANY = dict.fromkeys(READS, (1, 2)) | dict.fromkeys(WRITES, (0.5, 1))


def peers_table(measured: Measured) -> str:
    """G3 and G4: scimd beside the best of the others."""
    names = [name for name in measured.loads if name not in ("scimd", "yardstick")]
    lines = [
        "| goal | verb | scimd | " + " | ".join(names) + " | best | ratio | bar | aim | |",
        "|---|---|---|" + "---|" * len(names) + "---|---|---|---|---|",
    ]
    for goal, goals, validating in (("G3", _VALIDATING, True), ("G4", _ANY, False)):
        for verb, (bar, aim) in goals.items():
            ours, best = measured.middle("scimd", verb), measured.best_peer(verb, validating=validating)
            if ours is None or best is None:
                continue
            rates = [measured.middle(name, verb) for name in names]
            shown = " | ".join("–" if load is None else f"{load.rate:,.0f}" for load in rates)
            ratio = ours.rate / best[1]
            lines.append(
                f"| {goal} | {verb} | {ours.rate:,.0f} | {shown} | {best[0]} | {ratio:.1f} × "
                f"| {bar} × | {aim} × | {verdict(ratio, bar, aim)} |"
            )
    return "\n".join(lines)


def first_sync_line(measured: Measured) -> str:
    """G5."""
    took = {name: statistics.median(seconds) for name, seconds in measured.first_sync.items()}
    if "scimd" not in took or "yardstick" not in took:
        return "G5: not run. **not met**"
    ratio = took["scimd"] / took["yardstick"]
    others = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in took.items())
    return (
        f"G5: a first sync of {PEOPLE} people and 20 groups: {others}. scimd takes {ratio:.1f} × the "
        f"yardstick's time (bar 3 ×, aim 1.7 ×): {verdict(ratio, 3, 1.7, at_most=True)}."
    )


def report(server: PostgresServer | None, *, people: int, rounds: int, seconds: float) -> Iterator[str]:
    """The parts of RESULTS.md that are about SCIM, each when it is measured."""
    yield "\n".join(["## SCIM on SQLite", "", _HOW.format(rounds=rounds, seconds=seconds), ""])
    with _folder() as folder:
        urls = (f"sqlite:///{folder}/scimd.db", f"sqlite:///{folder}/yardstick.db")
        measured = compare(folder, urls, server, rounds=rounds, seconds=seconds, with_peers=True)
    names = {"reads": "G1", "writes": "G2"}
    yield table_of(measured, {"reads": (0.35, 0.65), "writes": (0.3, 0.6)}, names) + "\n"
    yield "\n".join([peers_table(measured), "", first_sync_line(measured), "", *_missing(measured)])
    if server is not None:
        yield "## SCIM on PostgreSQL\n"
        with _folder() as folder:
            yield _on_postgres(folder, server, rounds, seconds)
    yield scale.report(people)


def _on_postgres(folder: Path, server: PostgresServer, rounds: int, seconds: float) -> str:
    urls = (server.create_database(), server.create_database())
    try:
        measured = compare(folder, urls, server, rounds=rounds, seconds=seconds, with_peers=False)
    except peers.NotRun as exc:
        return f"Not run: {exc}\n"
    goals = dict.fromkeys(("reads", "writes"), (0.25, 0.5))
    names = dict.fromkeys(("reads", "writes"), "G8")
    return "\n".join([table_of(measured, goals, names), "", *_missing(measured)])


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="scimd-bench-", ignore_cleanup_errors=True) as name:
        yield Path(name)


_HOW = (
    "scimd is `scimd serve` as it starts by default, and an organization with seats; the yardstick "
    "is `benchmarks/yardstick.py`; 956-byte user, concurrency 16, {rounds} rounds of {seconds:g} s, the "
    "servers in turn, medians. CPU is that of all processes of a server, per request. Peers: scim2-server "
    "and scimmy hold everything in memory and validate, Ory Polis in memory and without validation; "
    "django-scim2 has four processes and PostgreSQL."
)


def _missing(measured: Measured) -> list[str]:
    return [f"Not run: {name}: {' '.join(why.split())}\n" for name, why in measured.missing.items()]
