"""``make bench``: measure, print, and write RESULTS.md."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import directory
from benchmarks.measure import machine

RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--people", type=int, default=10_000, help="people in the directory (10000)")
    asked = parser.parse_args()
    text = "\n".join(
        [
            "# Results",
            "",
            f"Measured {datetime.now(UTC):%Y-%m-%d} by `make bench` on {machine()}.",
            "Each ratio is of two measurements made one after the other in the same run; absolute times say",
            "little elsewhere.",
            "",
            f"## A directory of {asked.people} people",
            "",
            "`scimd sync` as a whole process (start of Python included) against a process that reads the",
            "same people and groups from the same OpenLDAP by python-ldap, over StartTLS, and does nothing",
            "with them.",
            "",
            directory.table(directory.measure(asked.people)),
            "",
        ]
    )
    print(text)
    RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
