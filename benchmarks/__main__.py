"""``make bench``: measure, print, and write RESULTS.md."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import directory, scim
from benchmarks.measure import machine
from tests.support.postgres import PostgresServer, binaries

RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=("scim", "directory"), help="one part; RESULTS.md is left alone")
    parser.add_argument("--people", type=int, default=10_000, help="people in the directory (10000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the SCIM comparison (3)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one load (1)")
    parser.add_argument("--quick", action="store_true", help="a large organization is 10,000, not 100,000")
    asked = parser.parse_args()
    text = ""
    for part in _parts(asked):
        print(part, flush=True)
        text += part.rstrip("\n") + "\n\n"
    if asked.only is None:
        RESULTS.write_text(text.rstrip("\n") + "\n", encoding="utf-8")


def _parts(asked: argparse.Namespace) -> Iterator[str]:
    yield _head()
    # Before this process has grown: the peak of a process is at least that of the one that started it.
    of_directory = None if asked.only == "scim" else _directory(asked.people)
    if asked.only != "directory":
        people = 10_000 if asked.quick else 100_000
        with _postgres() as server:
            yield from scim.report(server, people=people, rounds=asked.rounds, seconds=asked.seconds)
    if of_directory is not None:
        yield of_directory


def _head() -> str:
    return "\n".join(
        [
            "# Results",
            "",
            f"Measured {datetime.now(UTC):%Y-%m-%d} by `make bench` on {machine()}.",
            "Each ratio is of two measurements made one after the other in the same run; absolute times say",
            "little elsewhere.",
            "",
        ]
    )


def _directory(people: int) -> str:
    return "\n".join(
        [
            f"## A directory of {people} people",
            "",
            "`scimd sync` as a whole process (start of Python included) against a process that reads the",
            "same people and groups from the same OpenLDAP by python-ldap, over StartTLS, and does nothing",
            "with them.",
            "",
            directory.table(directory.measure(people)),
            "",
        ]
    )


@contextmanager
def _postgres() -> Iterator[PostgresServer | None]:
    """A durable server; None where PostgreSQL is not installed."""
    found = binaries()
    if found is None:
        yield None
        return
    server = PostgresServer(found, durable=True)
    try:
        server.start()
        yield server
    finally:
        server.close()


if __name__ == "__main__":
    main()
