"""What the LDAP connector reads of a real 389 Directory Server, and what it says of its limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connectors.ldap.connector import LdapConnector
from connectors.ldap.source import LdapSource
from scimd.connector_api import CredentialsRefused, Deadline, Incomplete, Secret, Unreachable
from scimd.connector_testing import RecordingLog, Whole, read_whole
from tests.support.ds389 import BASE, READER, READER_PASSWORD, Ds389, entry, person, tree
from tests.support.patience import AT_MOST_S, eventually

pytestmark = pytest.mark.usefixtures("python_ldap")

PEOPLE, GROUPS = f"ou=people,{BASE}", f"ou=groups,{BASE}"
MANY = [f"u{number:03}" for number in range(60)]


def opened(directory: Ds389, **changed: Any) -> LdapSource:
    whole = {
        "url": directory.url,
        "ca_file": str(directory.ca),
        "bind_dn": READER,
        "bind_password": Secret(READER_PASSWORD),
        "user_base": PEOPLE,
        "group_base": GROUPS,
        "id_attribute": "nsUniqueId",
        **changed,
    }
    given = {key: value for key, value in whole.items() if value is not None}
    return LdapConnector.open(LdapConnector.parse(given), RecordingLog(), Deadline.after(AT_MOST_S))


async def read(directory: Ds389, **changed: Any) -> Whole:
    return await read_whole(opened(directory, **changed))


def filled() -> str:
    """People, a group with all of them."""
    members = [f"member: uid={name},{PEOPLE}" for name in MANY]
    everybody = entry(f"cn=everybody,{GROUPS}", "objectClass: groupOfNames", "cn: everybody", *members)
    return tree(*(person(f"uid={name},{PEOPLE}", name) for name in MANY), everybody)


async def test_people_and_members_meet_however_their_names_are_spelled(
    ds389: Callable[[str], Ds389],
) -> None:
    names = {
        "comma": (r"cn=Doe\, Jane", "Doe, Jane", r"cn=Doe\2C Jane"),
        "plus": (r"cn=A\+B #1", "A+B #1", 'cn="A+B #1"'),
        "multi": ("uid=multi+employeeNumber=X1", "Multi", "EMPLOYEENUMBER=x1+uid=MULTI"),
        "zoe": ("cn=Zoë Müller", "Zoë Müller", r"CN=zo\C3\AB   müller"),
        "quote": (r"cn=Q \"x\" \\ y", r'Q "x" \ y', r"cn=Q \22x\22 \5C y"),
    }
    people = [
        person(f"{rdn},{PEOPLE}", uid, *(["employeeNumber: X1"] if uid == "multi" else []), cn=cn)
        for uid, (rdn, cn, _) in names.items()
    ]
    members = [f"member: {spelled},{PEOPLE}" for _, _, spelled in names.values()]
    uniques = [f"uniqueMember: {spelled} , OU=People,{BASE}" for _, _, spelled in names.values()]
    groups = [
        entry(f"cn=named,{GROUPS}", "objectClass: groupOfNames", "cn: named", *members),
        entry(f"cn=unique,{GROUPS}", "objectClass: groupOfUniqueNames", "cn: unique", *uniques),
        entry(f"cn=posix,{GROUPS}", "objectClass: posixGroup", "cn: posix", "gidNumber: 1", "memberUid: ZOE"),
    ]
    directory = ds389(tree(*people, *groups))
    for url in (directory.url, directory.ldaps_url):
        whole = await read(directory, url=url)
        who = {name: user.attributes["uid"] for user in whole.users for name in user.references}
        for group in ("named", "unique"):
            assert {who.get(member) for member in whole.group(group).members} == set(names)
        assert [who[member] for member in whole.group("posix").members] == ["zoe"]
    with pytest.raises(Unreachable, match=str(directory.wrong_ca)):
        await read(directory, ca_file=str(directory.wrong_ca))


async def test_a_lock_is_read_whether_it_stands_in_the_entry_or_comes_by_a_role(
    ds389: Callable[[str], Ds389],
) -> None:
    disabled, templates = f"cn=disabled,{BASE}", f"cn=templates,{BASE}"
    role = ("nsRoleDefinition", "nsSimpleRoleDefinition", "nsManagedRoleDefinition")
    service = ("ldapsubentry", "cosSuperDefinition", "cosClassicDefinition")
    template = ("extensibleObject", "costemplate", "ldapsubentry")

    def classes(*names: str) -> list[str]:
        return [f"objectClass: {name}" for name in names]

    directory = ds389(
        tree(
            entry(disabled, *classes(*role), "cn: disabled"),
            entry(templates, "objectClass: nsContainer", "cn: templates"),
            entry(f'cn="{disabled}",{templates}', *classes(*template), "nsAccountLock: true"),
            entry(
                f"cn=locks,{BASE}",
                *classes(*service),
                f"cosTemplateDn: {templates}",
                "cosAttribute: nsAccountLock operational",
                "cosSpecifier: nsRole",
            ),
            person(f"uid=free,{PEOPLE}", "free"),
            person(f"uid=locked,{PEOPLE}", "locked", "nsAccountLock: TRUE"),
            person(f"uid=byrole,{PEOPLE}", "byrole", f"nsRoleDN: {disabled}"),
        )
    )
    # Of roles and classes of service that are added while it runs it may never take notice.
    directory.stop()
    directory.start()
    wanted = {"free": None, "locked": "TRUE", "byrole": "true"}
    for asked in ({}, {"user_attributes": ["mail"]}):

        async def is_as_wanted(asked: dict[str, Any] = asked) -> bool:
            users = (await read(directory, **asked)).users
            return {str(u.attributes["uid"]): u.attributes.get("nsAccountLock") for u in users} == wanted

        await eventually(is_as_wanted)  # in a thread of its own
    in_role = await read(directory, user_filter=f"(nsRole={disabled})", user_attributes=["nsRole"])
    assert [user.attributes["nsRole"] for user in in_role.users] == [disabled]


async def test_its_limits_never_end_a_read_well_and_say_what_to_raise(ds389: Callable[[str], Ds389]) -> None:
    directory = ds389(filled())
    directory.set(READER, nsPagedLookThroughLimit=40)
    with pytest.raises(Incomplete, match="raise the limit"):
        await read(directory, page_size=10)
    directory.set(READER, nsPagedLookThroughLimit=-1)
    directory.set("cn=config", nsslapd_sizelimit=20)
    with pytest.raises(Incomplete, match="Size limit"):
        await read(directory)
    assert len((await read(directory, page_size=10)).users) == len(MANY)
    directory.set(READER, nsSizeLimit=-1)
    assert len((await read(directory)).users) == len(MANY)


async def test_check_leaves_only_one_search_open_on_a_connection(ds389: Callable[[str], Ds389]) -> None:
    directory = ds389(filled())
    directory.set("cn=config", nsslapd_maxsimplepaged_per_conn=1)
    assert not (await opened(directory).check()).warnings
    assert len((await read(directory, page_size=10)).users) == len(MANY)


async def test_an_account_that_is_not_let_in_is_told_why(ds389: Callable[[str], Ds389]) -> None:
    directory = ds389(tree(person(f"uid=one,{PEOPLE}", "one")))
    anonymous = {"bind_dn": None, "bind_password": None}
    with pytest.raises(CredentialsRefused, match="may not be read by an anonymous bind"):
        await read(directory, **anonymous)
    for switch, word in (("off", "refuses an anonymous bind"), ("rootdse", "Anonymous access")):
        directory.set("cn=config", nsslapd_allow_anonymous_access=switch)
        with pytest.raises(CredentialsRefused, match=word):
            await read(directory, **anonymous)
    directory.set(READER, nsAccountLock="true")
    with pytest.raises(CredentialsRefused, match="Account inactivated"):
        await read(directory)
    directory.set(READER, nsAccountLock=None)
    directory.set("cn=config", passwordMustChange="on")
    directory.set(READER, userPassword=READER_PASSWORD)
    with pytest.raises(CredentialsRefused, match="its password must be changed first"):
        await read(directory)
    directory.set("cn=config", passwordMustChange="off")
    directory.set("cn=config", passwordLockout="on", passwordMaxFailure=1, passwordLockoutDuration=3600)
    for word in ("does not accept the password", "retry limit"):
        with pytest.raises(CredentialsRefused, match=word):
            await read(directory, bind_password=Secret("wrong"))


@pytest.mark.parametrize("hidden", ["nsUniqueId", "entryUUID"])
async def test_an_id_that_may_not_be_read_or_is_not_there_fails_each_entry(
    ds389: Callable[[str], Ds389], hidden: str
) -> None:
    directory = ds389(tree(person(f"uid=one,{PEOPLE}", "one"), rights='(targetattr!="nsUniqueId")'))
    whole = await read(directory, id_attribute=hidden)
    assert not whole.users
    assert [bad.why for bad in whole.bad] == [f"it has no {hidden}, or it may not be read"]
    assert f"it has no {hidden}" in (await opened(directory, id_attribute=hidden).check()).warnings[0]
