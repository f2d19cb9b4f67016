"""A real OpenLDAP, reconciled: without a mapping of its own, by StartTLS or LDAPS, both databases."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from scimd.db.tables import assertions, group_members
from tests.support.openldap import OpenLdap
from tests.support.requirement import require
from tests.sync.world import world


@pytest.fixture(autouse=True)
def _python_ldap() -> None:
    require(find_spec("ldap"), "python-ldap is not installed")


def config_of(directory: OpenLdap, tmp_path: Path, **settings: Any) -> dict[str, Any]:
    password = tmp_path / "password"
    password.write_text(directory.bind_password)
    whole = {
        "url": directory.url,
        "ca_file": str(directory.ca),
        "bind_dn": directory.bind_dn,
        "bind_password": f"file:{password}",
        "user_base": f"ou=people,{directory.base}",
        "group_base": f"ou=groups,{directory.base}",
        **settings,
    }
    return {"connector": "ldap", "settings": whole, "mapping": {}, "groups": {"default": "project"}}


async def test_directory_is_synced_by_default_mapping_and_the_report_names_exactly_what_changed(
    openldap: Callable[..., OpenLdap], database_url: str, tmp_path: Path
) -> None:
    directory = openldap(users=200)
    config = config_of(directory, tmp_path, group_base=directory.base)
    async with world(database_url, **config) as acme:
        first = await acme.sync()
        assert first.counts["created"] >= 200, first.error
        failed = first.counts["failed"]
        assert await acme.count(group_members) > 0
        second = await acme.sync()
        assert (second.changes, second.counts["unchanged"]) == (0, first.counts["created"])
        dn, old = next(
            (row.entry_name, row.user_name)
            for row in sorted(await acme.rows(assertions), key=lambda row: row.user_name)
            if "," in row.entry_name and "\\" not in row.entry_name and row.user_name.isascii()
        )
        directory.modify(f"dn: {dn}\nchangetype: modify\nreplace: title\ntitle: Countess\n")
        third = await acme.sync()
        changed = [change for change in await acme.changes(third) if change.outcome == "applied"]
        assert [(change.name, change.action, (change.new or {})["title"]) for change in changed] == [
            (old, "update", "Countess")
        ]
        assert third.counts["failed"] == failed
        directory.stop()
        down = await acme.sync()
        assert (down.state, down.error_kind) == ("failed", "unreachable")
        directory.start()
        assert (await acme.sync()).changes == 0


async def test_whoever_may_be_in_a_part_that_became_a_referral_is_not_taken_for_gone(
    openldap: Callable[..., OpenLdap], database_url: str, tmp_path: Path
) -> None:
    directory = openldap(users=200)
    base = f"ou=paris,ou=people,{directory.base}"

    def entry(dn: str, *lines: str) -> str:
        return "\n".join((f"dn: {dn}", "changetype: add", *lines, ""))

    def person(name: str, base: str) -> str:
        return entry(f"uid={name},{base}", "objectClass: inetOrgPerson", f"uid: {name}", "cn: x", "sn: x")

    names = ("claire", "denis")
    directory.modify(entry(base, "objectClass: organizationalUnit"))
    for name in names:
        directory.modify(person(name, base))
    directory.modify(person("leaver", f"ou=people,{directory.base}"))
    members = [f"member: uid={name},{base}" for name in names]
    directory.modify(entry(f"cn=paris,ou=groups,{directory.base}", "objectClass: groupOfNames", *members))
    ignored = ["ou=elsewhere,dc=example,dc=org"]
    config = config_of(directory, tmp_path, group_base=directory.base, ignored_referrals=ignored)
    async with world(database_url, **config) as acme:
        assert (await acme.sync()).counts["created"] >= 203
        directory.modify(f"dn: uid=leaver,ou=people,{directory.base}\nchangetype: delete\n")
        assert (await acme.sync()).counts["deactivated"] == 1
        had = await acme.count(group_members)
        for dn in (*(f"uid={name},{base}" for name in names), base):
            directory.modify(f"dn: {dn}\nchangetype: delete\n")
        where = "ldap://paris.example.org/ou=paris,dc=example,dc=org"
        directory.modify(
            entry(base, "objectClass: referral", "objectClass: extensibleObject", f"ref: {where}")
        )
        run = await acme.sync()
        assert (run.state, run.counts["deactivated"], run.counts["skipped"]) == ("partial", 0, 3)
        assert await acme.count(group_members) == had
        (failed,) = [change for change in await acme.changes(run) if change.external_id is None]
        assert failed.name == "ou=paris,dc=example,dc=org"
        assert where in failed.reason
