"""A real 389 Directory Server, reconciled over its changes, both databases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scimd.db.tables import assertions, group_members
from tests.support.ds389 import BASE, READER, READER_PASSWORD, Ds389, entry, person, tree
from tests.sync.world import world

pytestmark = pytest.mark.usefixtures("python_ldap")

PEOPLE, GROUPS = f"ou=people,{BASE}", f"ou=groups,{BASE}"
NAMES = [f"u{number:02}" for number in range(40)]


def config_of(directory: Ds389, tmp_path: Path) -> dict[str, Any]:
    password = tmp_path / "password"
    password.write_text(READER_PASSWORD)
    settings = {
        "url": directory.url,
        "ca_file": str(directory.ca),
        "bind_dn": READER,
        "bind_password": f"file:{password}",
        "user_base": PEOPLE,
        "group_base": GROUPS,
        "id_attribute": "nsUniqueId",
    }
    return {"connector": "ldap", "settings": settings, "mapping": {}, "groups": {"default": "project"}}


async def test_changes_renames_locks_and_departures_are_followed_and_limits_remove_nobody(
    ds389: Callable[[str], Ds389], database_url: str, tmp_path: Path
) -> None:
    members = [f"member: uid={name},{PEOPLE}" for name in NAMES]
    branch = entry(f"ou=lyon,{PEOPLE}", "objectClass: organizationalUnit", "ou: lyon")
    staff = entry(f"cn=staff,{GROUPS}", "objectClass: groupOfNames", "cn: staff", *members)
    directory = ds389(tree(branch, *(person(f"uid={name},{PEOPLE}", name) for name in NAMES), staff))
    plugin = "cn=referential integrity postoperation,cn=plugins,cn=config"
    directory.set(plugin, nsslapd_pluginEnabled="on")
    directory.stop()
    directory.start()
    async with world(database_url, **config_of(directory, tmp_path)) as acme:
        first = await acme.sync()
        assert (first.state, first.counts["created"]) == ("done", len(NAMES))
        assert await acme.count(group_members) == len(NAMES)
        assert (await acme.sync()).changes == 0

        moved = f"dn: uid=u01,{PEOPLE}\nchangetype: modrdn\nnewrdn: uid=Smith\ndeleteoldrdn: 1\n"
        directory.modify(moved + f"newsuperior: ou=lyon,{PEOPLE}\n")
        directory.set(f"uid=u02,{PEOPLE}", nsAccountLock="true")
        directory.set(f"uid=u03,{PEOPLE}", title="Countess")
        directory.modify(f"dn: uid=u04,{PEOPLE}\nchangetype: delete\n")
        await acme.sync()
        names = {row.user_name: row.entry_name for row in await acme.rows(assertions)}
        assert len(names) == len(NAMES)
        assert names["Smith"] == f"uid=Smith,ou=lyon,{PEOPLE}"
        here = await acme.active()
        assert here == set(NAMES) - {"u01", "u02", "u04"} | {"Smith"}
        assert await acme.count(group_members) == len(NAMES) - 1
        assert (await acme.sync()).changes == 0

        directory.set(f"uid=u02,{PEOPLE}", nsAccountLock=None)
        directory.set(READER, nsPagedLookThroughLimit=10)
        cut_off = await acme.sync()
        assert (cut_off.state, cut_off.error_kind) == ("failed", "incomplete")
        assert await acme.active() == here
        directory.set(READER, nsPagedLookThroughLimit=None)
        directory.stop()
        assert (await acme.sync()).error_kind == "unreachable"
        directory.start()
        await acme.sync()
        assert await acme.active() == here | {"u02"}
