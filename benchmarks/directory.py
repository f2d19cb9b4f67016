"""A real OpenLDAP into SQLite and into PostgreSQL, beside a bare read of the same directory."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Took, run
from tests.support.openldap import OpenLdap
from tests.support.postgres import PostgresServer, binaries

_CONFIG = """
[database]
url = "{database}"
[secrets]
key = ["env:BENCH_KEY"]
[mail]
to = "folder"
folder = "mails"
[[organization]]
name = "acme"
[[organization.source]]
name = "ldap"
connector = "ldap"
state = "active"
invite = "never"
[organization.source.settings]
url = "{ldap.url}"
ca_file = "{ldap.ca}"
bind_dn = "{ldap.bind_dn}"
bind_password = "env:BENCH_BIND"
user_base = "ou=people,{ldap.base}"
group_base = "ou=groups,{ldap.base}"
[[organization.source.rule]]
number = 10
pattern = "team-*"
project = "{{name}}"
[[organization.source.rule]]
number = 20
pattern = "all-staff"
project = "Everybody"
"""


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    database: str
    took: Took
    bare: Took
    counts: str


def measure(people: int) -> list[Row]:
    """First sync, a sync without changes, a sync of some changes; each beside a bare read."""
    rows: list[Row] = []
    server = PostgresServer(binaries(), durable=True)
    server.start()
    try:
        for database in ("SQLite", "PostgreSQL"):
            ldap = OpenLdap(people)
            try:
                with tempfile.TemporaryDirectory() as folder:
                    url = f"sqlite:///{folder}/scimd.db" if database == "SQLite" else server.create_database()
                    rows += _into(database, url, ldap, Path(folder))
            finally:
                ldap.close()
    finally:
        server.close()
    return rows


def _into(database: str, url: str, ldap: OpenLdap, folder: Path) -> list[Row]:
    (folder / "scimd.toml").write_text(_CONFIG.format(database=url, ldap=ldap), encoding="utf-8")
    env = os.environ | {"BENCH_KEY": "k" * 48, "BENCH_BIND": ldap.bind_password, "SCIMD_CONFIG": "scimd.toml"}
    root = Path(__file__).parent.parent
    bare = [sys.executable, "-m", "benchmarks.bare_read", ldap.url, ldap.bind_dn, ldap.bind_password]
    bare += [str(ldap.ca), ldap.base]
    sync = [sys.executable, "-m", "scimd", "sync", "ldap", "--json"]

    def row(what: str) -> Row:
        yardstick = run(bare, cwd=root, env=env)
        took = run(sync, cwd=folder, env=env)
        if took.status != 0 or yardstick.status != 0:
            raise SystemExit(f"{what} on {database} failed:\n{took.errors}\n{yardstick.errors}")
        document = json.loads(took.output)
        counts = ", ".join(f"{number} {name}" for name, number in document["counts"].items() if number)
        return Row(what, database, took, yardstick, counts)

    rows = [row("first sync"), row("sync without changes")]
    people = [dn for dn, _ in ldap.people()]
    ldap.modify(
        "\n\n".join(f"dn: {dn}\nchangetype: modify\nreplace: title\ntitle: Changed" for dn in people[:100])
    )
    ldap.modify("\n\n".join(f"dn: {dn}\nchangetype: delete" for dn in people[100:150]))
    rows.append(row("100 changed, 50 removed"))
    return rows


def table(rows: list[Row]) -> str:
    lines = [
        "| what | database | sync, s | bare read, s | ratio | CPU, s | peak memory, MB | bare, MB | counts |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.what} | {r.database} | {r.took.wall_s:.2f} | {r.bare.wall_s:.2f} "
        f"| {r.took.wall_s / r.bare.wall_s:.1f} × | {r.took.cpu_s:.2f} | {r.took.peak_mb:.0f} "
        f"| {r.bare.peak_mb:.0f} | {r.counts} |"
        for r in rows
    ]
    return "\n".join(lines)
