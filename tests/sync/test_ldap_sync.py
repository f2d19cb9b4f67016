"""A real OpenLDAP, reconciled: without a mapping of its own, by StartTLS or LDAPS, both databases."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from scimd.db.tables import assertions, group_members
from tests.support.openldap import OpenLdap
from tests.support.requirement import require
from tests.sync.world import world


@pytest.fixture(autouse=True)
def _python_ldap() -> None:
    require(find_spec("ldap"), "python-ldap is not installed")


async def test_directory_is_synced_by_default_mapping_and_the_report_names_exactly_what_changed(
    openldap: Callable[..., OpenLdap], database_url: str, tmp_path: Path
) -> None:
    directory = openldap(users=200)
    password = tmp_path / "password"
    password.write_text(directory.bind_password)
    settings = {
        "url": directory.url,
        "ca_file": str(directory.ca),
        "bind_dn": directory.bind_dn,
        "bind_password": f"file:{password}",
        "user_base": f"ou=people,{directory.base}",
        "group_base": directory.base,
    }
    config = {"connector": "ldap", "settings": settings, "mapping": {}, "groups": {"default": "project"}}
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
