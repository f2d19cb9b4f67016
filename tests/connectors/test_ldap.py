"""What the LDAP connector reads of a real OpenLDAP, and what it does when the directory fails."""

from __future__ import annotations

import asyncio
import base64
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from connectors.ldap.connector import LdapConnector
from scimd.connector_api import (
    ConnectorError,
    CredentialsRefused,
    Deadline,
    Incomplete,
    Secret,
    Unreachable,
)
from scimd.connector_testing import RecordingLog, Whole, read_whole
from tests.connectors.proxy import SpoilingProxy
from tests.support.openldap import OpenLdap
from tests.support.patience import AT_MOST_S, eventually

pytestmark = pytest.mark.usefixtures("python_ldap")

#: Where the referral of the tests' directory leads: nobody was ever in it.
ELSEWHERE = "ou=elsewhere,dc=example,dc=org"
_EDGE_PEOPLE = 14
_PEOPLE = 200 + _EDGE_PEOPLE


@pytest.fixture
def directory(openldap: Callable[..., OpenLdap]) -> OpenLdap:
    return openldap(users=200)


def settings(directory: OpenLdap, **changed: Any) -> dict[str, Any]:
    """Settings that read everything; a change to None takes a key out."""
    whole = {
        "url": directory.url,
        "ca_file": str(directory.ca),
        "bind_dn": directory.bind_dn,
        "bind_password": Secret(directory.bind_password),
        "user_base": f"ou=people,{directory.base}",
        "group_base": directory.base,
        "ignored_referrals": [ELSEWHERE],
        "connect_timeout_s": 2 * AT_MOST_S,  # what ends a read is the deadline
        "page_timeout_s": 2 * AT_MOST_S,
        **changed,
    }
    return {key: value for key, value in whole.items() if value is not None}


async def read(
    settings: Mapping[str, Any], log: RecordingLog | None = None, timeout_s: float = AT_MOST_S
) -> Whole:
    source = LdapConnector.open(
        LdapConnector.parse(settings), log or RecordingLog(), Deadline.after(timeout_s)
    )
    try:
        return await read_whole(source)
    finally:
        await source.aclose()


# ---------------------------------------------------------------------------------------- what is read


@pytest.mark.parametrize("url", ["url", "ldaps_url", "ldapi_url"])
async def test_everybody_is_read_by_every_encrypted_way(directory: OpenLdap, url: str) -> None:
    whole = await read(settings(directory, url=getattr(directory, url)))
    assert len(whole.users) == _PEOPLE
    assert not whole.bad
    assert whole.group("cn=all-staff,ou=groups,dc=example,dc=org").display_name == "all-staff"


async def test_values_come_as_the_directory_has_them(directory: OpenLdap) -> None:
    people = {
        user.name.partition(",")[0]: user.attributes for user in (await read(settings(directory))).users
    }
    assert people["uid=nfc"]["givenName"] == "Zo\u00eb"
    assert people["uid=nfd"]["givenName"] == "Zoe\u0308"
    assert people["uid=emoji"]["displayName"] == "Ana 👩🏽‍💻 Ünï"
    assert people["uid=long"]["displayName"] == "Ž" * 2000
    assert people["uid=space"]["description"] == (" leading and trailing ", "two\nlines")
    assert people["uid=twouids"]["uid"] == ("twouids", "twouids-old")
    assert "mail" not in people["uid=nomail"]


async def test_options_of_an_attribute_stay_in_its_name(directory: OpenLdap) -> None:
    users = (await read(settings(directory))).users
    assert any("cn;lang-en" in user.attributes for user in users)


async def test_passwords_pictures_and_member_of_are_left_out(directory: OpenLdap) -> None:
    plain = await read(settings(directory))
    asked = await read(settings(directory, user_attributes=["*", "+", "jpegPhoto"]))
    for whole in (plain, asked):
        names = {name.lower() for user in whole.users for name in user.attributes}
        assert not names & {"userpassword", "memberof"}
    photo = next(user for user in asked.users if user.name.startswith("uid=photo")).attributes["jpegPhoto"]
    assert isinstance(photo, bytes)
    assert photo.startswith(b"\xff\xd8\xff\xe0")
    assert not any("jpegPhoto" in user.attributes for user in plain.users)


async def test_only_the_attributes_asked_for_come_and_the_id(directory: OpenLdap) -> None:
    whole = await read(settings(directory, user_attributes=["mail"]))
    names = {name for user in whole.users for name in user.attributes}
    locks = {"pwdAccountLockedTime", "shadowExpire", "shadowExpired"}
    assert names <= {"mail", "entryUUID", "uid"} | locks


async def test_what_locks_an_account_is_read_whatever_is_asked_for(directory: OpenLdap) -> None:
    directory.modify(
        "dn: uid=shadow,ou=people,dc=example,dc=org\nchangetype: add\nobjectClass: inetOrgPerson\n"
        "objectClass: shadowAccount\nuid: shadow\ncn: x\nsn: x\nshadowExpire: 15000\n"
    )
    for asked in ({}, {"user_attributes": ["mail"]}):
        whole = await read(settings(directory, **asked))
        assert any("pwdAccountLockedTime" in user.attributes for user in whole.users)
        expired = {user.attributes["uid"] for user in whole.users if "shadowExpired" in user.attributes}
        assert "shadow" in expired
        assert "comma" not in expired


async def test_nested_cyclic_and_dangling_members_refer_by_normal_names(directory: OpenLdap) -> None:
    whole = await read(settings(directory, group_base=f"ou=groups,{directory.base}"))
    people = {reference for user in whole.users for reference in user.references}
    groups = {reference for group in whole.groups for reference in group.references}

    def members(name: str) -> set[str]:
        return set(whole.group(name).members)

    assert "cn=nest-2,ou=groups,dc=example,dc=org" in members("nest-1") & groups
    assert members("cycle-a") & groups == {"cn=cycle-b,ou=groups,dc=example,dc=org"}
    assert members("cycle-b") & groups == {"cn=cycle-a,ou=groups,dc=example,dc=org"}
    assert members("diamond-top") <= groups
    assert len(members("all-staff") & people) == 200
    dangling = members("edge-group") - people - groups
    assert dangling == {"uid=gone,ou=people,dc=example,dc=org"}
    awkward = next(user for user in whole.users if user.attributes.get("uid") == "comma")
    assert awkward.references[0] in members("edge-group")
    assert members("empty-group") == {"cn=nobody,dc=example,dc=org"}
    assert len(members("unique-group") & people) == 3


async def test_a_member_with_a_nul_is_nobody_and_the_others_stay(directory: OpenLdap) -> None:
    directory.modify(
        "dn: cn=nul,ou=posix,dc=example,dc=org\nchangetype: add\nobjectClass: posixGroup\ncn: nul\n"
        "gidNumber: 99\nmemberUid: comma\nmemberUid:: AGE=\n"
    )
    whole = await read(settings(directory, group_base=f"ou=posix,{directory.base}"))
    assert set(whole.group("nul").members) == {"uid:comma", "uid:\\x00a"}


async def test_an_entry_that_both_filters_fit_is_a_person(directory: OpenLdap) -> None:
    both = settings(directory, group_base=f"ou=people,{directory.base}", group_filter="(uid=comma)")
    whole = await read(both)
    assert len(whole.users) == _PEOPLE
    (bad,) = whole.bad
    assert (bad.external_id, bad.kind) == (whole.user(bad.name).external_id, "group")


async def test_members_of_posix_groups_refer_by_uid(directory: OpenLdap) -> None:
    whole = await read(settings(directory, group_base=f"ou=posix,{directory.base}"))
    people = {reference for user in whole.users for reference in user.references}
    members = {member for group in whole.groups for member in group.members}
    assert members
    assert members <= people
    assert all(member.startswith("uid:") for member in members)


async def test_awkward_names_meet_however_a_group_spells_them(directory: OpenLdap) -> None:
    directory.modify(
        "dn: cn=empty-group,ou=groups,dc=example,dc=org\n"
        "changetype: modify\n"
        "add: member\n"
        "member: EMPLOYEENUMBER=x1 + UID=MULTI , OU=Edge,ou=people,dc=example,dc=org\n"
        "member: 0.9.2342.19200300.100.1.1=dup1,2.5.4.11=edge,OU=people,DC=example,dc=ORG\n"
        "member: cn=O'Brien\\2C  Zo\\C3\\AB \\22zed\\22 \\2b Co,ou=edge,ou=people,dc=example,dc=org\n"
    )
    whole = await read(settings(directory))
    known = {user.references[0]: user.attributes["uid"] for user in whole.users}
    group = next(g for g in whole.groups if g.name == "cn=empty-group,ou=groups,dc=example,dc=org")
    assert {known.get(member) for member in group.members} >= {"multi", "dup1", "comma"}


_HOSTILE = (
    "*",
    "*)(uid=*",
    "x)(|(objectClass=*",
    "\\2a",
    "a\\00b",
    "(&(uid=a)",
    "'; drop table x; --",
    "#ff",
)


async def test_hostile_values_are_data_and_never_a_filter(directory: OpenLdap) -> None:
    for number, text in enumerate(_HOSTILE):
        value = base64.b64encode(text.encode()).decode()
        dn = f"employeeNumber=H{number},ou=edge,ou=people,dc=example,dc=org"
        directory.modify(
            f"dn: {dn}\nchangetype: add\nobjectClass: inetOrgPerson\n"
            f"cn:: {value}\nsn:: {value}\nuid:: {value}\n"
            f"employeeNumber: H{number}\n"
        )
    whole = await read(settings(directory))
    numbered = {user.attributes.get("employeeNumber"): user.attributes for user in whole.users}
    found = {f"H{number}": numbered[f"H{number}"]["uid"] for number in range(len(_HOSTILE))}
    assert found == {f"H{number}": text for number, text in enumerate(_HOSTILE)}
    assert len(whole.users) == _PEOPLE + len(_HOSTILE)


async def test_a_source_without_group_base_reads_no_groups(directory: OpenLdap) -> None:
    config = LdapConnector.parse(settings(directory, group_base=None))
    source = LdapConnector.open(config, RecordingLog(), Deadline.after(30))
    assert not source.capabilities.groups
    assert not (await read_whole(source)).groups


async def test_a_part_that_another_server_keeps_is_told_once_and_is_anybodys(directory: OpenLdap) -> None:
    both = settings(directory, user_base=directory.base, ignored_referrals=[])
    (bad,) = (await read(both)).bad
    assert (bad.external_id, bad.name) == (None, ELSEWHERE)
    assert f"ldap://127.0.0.1:1/{ELSEWHERE}" in bad.why
    checked = await LdapConnector.open(
        LdapConnector.parse(both), RecordingLog(), Deadline.after(AT_MOST_S)
    ).check()
    assert [warning for warning in checked.warnings if warning.startswith(ELSEWHERE)] == [
        f"{ELSEWHERE}: {bad.why}"
    ]


async def test_referrals_that_the_settings_name_are_passed_over(directory: OpenLdap) -> None:
    known = settings(
        directory, user_base=directory.base, ignored_referrals=["OU=Elsewhere, DC=example,DC=org"]
    )
    assert not (await read(known)).bad
    source = LdapConnector.open(LdapConnector.parse(known), RecordingLog(), Deadline.after(AT_MOST_S))
    assert not (await source.check()).warnings


async def test_nobody_found_is_a_complete_read(directory: OpenLdap) -> None:
    whole = await read(settings(directory, user_filter="(uid=nobody-has-this)"))
    assert not whole.users
    assert whole.pages[-1].end is not None


async def test_an_entry_without_id_is_bad_and_named(directory: OpenLdap) -> None:
    whole = await read(settings(directory, id_attribute="employeeNumber"))
    nameless = next(bad for bad in whole.bad if bad.name.startswith("uid=nomail"))
    assert nameless.external_id is None
    assert "employeeNumber" in nameless.why
    assert len(whole.users) == 201


async def test_the_second_entry_of_one_id_is_bad(directory: OpenLdap) -> None:
    directory.modify(
        "dn: uid=dup2,ou=edge,ou=people,dc=example,dc=org\nchangetype: modify\n"
        "add: employeeNumber\nemployeeNumber: X1\n"
    )
    whole = await read(settings(directory, id_attribute="employeeNumber", group_base=None))
    assert [bad.external_id for bad in whole.bad if bad.external_id] == ["X1"]
    assert len({user.external_id for user in whole.users}) == len(whole.users)


async def test_a_group_without_display_name_fails_alone(directory: OpenLdap) -> None:
    whole = await read(settings(directory, group_name_attribute="description"))
    assert {bad.external_id is None for bad in whole.bad} == {False}
    assert whole.groups


async def test_check_says_who_reads_what_and_what_to_be_wary_of(directory: OpenLdap) -> None:
    config = LdapConnector.parse(
        settings(directory, start_tls=False, allow_clear_text=True, group_base=None, user_filter="(uid=no)")
    )
    answer = await LdapConnector.open(config, RecordingLog(), Deadline.after(30)).check()
    assert directory.bind_dn in answer.summary
    told = " | ".join(answer.warnings)
    for word in ("not encrypted", "no group_base", "nobody below"):
        assert word in told


# ---------------------------------------------------------------------------------------- refusals


async def test_wrong_password_is_told_from_unreachable(directory: OpenLdap) -> None:
    with pytest.raises(CredentialsRefused, match="password") as refused:
        await read(settings(directory, bind_password=Secret("not-this-one")))
    assert "not-this-one" not in str(refused.value)


@pytest.mark.parametrize("url", ["url", "ldaps_url"])
async def test_wrong_ca_names_the_file(directory: OpenLdap, url: str) -> None:
    with pytest.raises(Unreachable, match=str(directory.wrong_ca)):
        await read(settings(directory, url=getattr(directory, url), ca_file=str(directory.wrong_ca)))


@pytest.mark.parametrize("url", ["url", "ldaps_url"])
async def test_a_certificate_for_another_name_is_refused(directory: OpenLdap, url: str) -> None:
    target = getattr(directory, url)
    with (
        SpoilingProxy(target, "cut", 10**9, at="127.0.0.2") as proxy,
        pytest.raises(Unreachable, match=r"127\.0\.0\.2"),
    ):
        await read(settings(directory, url=f"{target.partition(':')[0]}://{proxy.address}"))


async def test_laxness_of_the_system_changes_nothing(
    directory: OpenLdap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LDAPTLS_REQCERT", "never")
    with pytest.raises(Unreachable):
        await read(settings(directory, ca_file=str(directory.wrong_ca)))


@pytest.mark.parametrize("which", ["user_base", "group_base"])
async def test_a_base_that_does_not_exist_is_named(directory: OpenLdap, which: str) -> None:
    base = f"ou=nowhere,{directory.base}"
    with pytest.raises(ConnectorError, match=base):
        await read(settings(directory, **{which: base}))


async def test_a_lost_read_right_is_no_empty_directory(directory: OpenLdap) -> None:
    """OpenLDAP answers a search without rights with "noSuchObject" or with success and nothing."""
    directory.modify(
        "dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nadd: olcAccess\n"
        f'olcAccess: {{0}}to dn.subtree="ou=people,{directory.base}" attrs=entry by * none\n'
    )
    with pytest.raises(ConnectorError, match="ou=people"):
        await read(settings(directory))


async def test_paging_reads_past_the_limit_of_one_search(openldap: Callable[..., OpenLdap]) -> None:
    directory = openldap(users=1200)
    limited = {"bind_dn": directory.limited_dn, "bind_password": Secret(directory.limited_password)}
    whole = await read(settings(directory, **limited))
    assert len(whole.users) == 1200 + _EDGE_PEOPLE


async def test_groups_are_read_after_people_who_end_with_a_full_page(directory: OpenLdap) -> None:
    """Of two databases glued to one tree OpenLDAP then searched only the last, on the same connection."""
    branch = f"ou=lyon2,{directory.base}"
    folder = directory.folder / "db" / "glued"
    folder.mkdir()
    directory.modify(
        "dn: olcDatabase={1}mdb,cn=config\nchangetype: add\nobjectClass: olcMdbConfig\n"
        f"olcDatabase: {{1}}mdb\nolcSuffix: {branch}\nolcSubordinate: TRUE\nolcDbDirectory: {folder}\n"
        f"olcRootDN: {directory.admin_dn}\nolcAccess: to * by * read\n\n"
        f"dn: {branch}\nchangetype: add\nobjectClass: organizationalUnit\n\n"
        f"dn: uid=glued,{branch}\nchangetype: add\nobjectClass: inetOrgPerson\ncn: x\nsn: x\n"
    )
    people = _PEOPLE + 1
    page_size = next(size for size in range(20, people) if people % size == 0)
    whole = await read(settings(directory, user_base=directory.base, page_size=page_size))
    assert len(whole.users) == people
    assert whole.groups == (await read(settings(directory))).groups
    assert whole.groups


async def test_a_limit_that_paging_cannot_pass_is_an_incomplete_read(directory: OpenLdap) -> None:
    directory.modify(
        "dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nreplace: olcLimits\n"
        f'olcLimits: {{0}}dn.exact="{directory.limited_dn}" size.pr=500 size.prtotal=120\n'
    )
    limited = {"bind_dn": directory.limited_dn, "bind_password": Secret(directory.limited_password)}
    with pytest.raises(Incomplete, match="limit"):
        await read(settings(directory, page_size=50, **limited))


# ---------------------------------------------------------------------------------------- a bad line


@pytest.mark.parametrize("scheme", ["ldap", "ldaps"])
@pytest.mark.parametrize("after", [0, 40, 900, 6_000, 30_000, 120_000])
async def test_a_cut_connection_never_ends_well(directory: OpenLdap, scheme: str, after: int) -> None:
    target = directory.url if scheme == "ldap" else directory.ldaps_url
    with (
        SpoilingProxy(target, "cut", after) as proxy,
        pytest.raises((Incomplete, Unreachable)),
    ):
        await read(settings(directory, url=f"{scheme}://{proxy.address}", page_size=50))


@pytest.mark.parametrize("how", ["silence", "trickle"])
@pytest.mark.parametrize("scheme", ["ldap", "ldaps"])
@pytest.mark.parametrize("after", [0, 1_000, 60_000])
async def test_a_line_that_hangs_or_trickles_ends_by_the_deadline(
    directory: OpenLdap, scheme: str, after: int, how: str
) -> None:
    target = directory.url if scheme == "ldap" else directory.ldaps_url
    with SpoilingProxy(target, how, after) as proxy:
        async with asyncio.timeout(AT_MOST_S):
            with pytest.raises((Incomplete, Unreachable)):
                await read(settings(directory, url=f"{scheme}://{proxy.address}"), timeout_s=1.0)
        await no_reading_thread_left()


async def test_a_page_has_a_time_limit_of_its_own(directory: OpenLdap) -> None:
    with SpoilingProxy(directory.url, "silence", 60_000) as proxy, pytest.raises(Incomplete):
        await read(settings(directory, url=f"ldap://{proxy.address}", page_timeout_s=0.5))


async def no_reading_thread_left() -> None:
    def none_left() -> bool:
        return not any(thread.name in ("ldap-read", "ldap-line") for thread in threading.enumerate())

    await eventually(none_left, "a thread is still reading")


# ---------------------------------------------------------------------------------------- large ones


async def test_many_people_cost_one_search_a_page_and_one_look_at_the_base(
    openldap: Callable[..., OpenLdap], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a bare read of them costs (``benchmarks/directory.py`` has the seconds beside each other)."""
    from ldap.ldapobject import SimpleLDAPObject  # only here: the test run may be without it

    asked: list[str] = []
    search = SimpleLDAPObject.search_ext

    def counted(self: Any, base: str, scope: int, *args: Any, **more: Any) -> Any:
        asked.append("base" if scope == 0 else "page")
        return search(self, base, scope, *args, **more)

    monkeypatch.setattr(SimpleLDAPObject, "search_ext", counted)
    directory = openldap(users=1200)
    source = LdapConnector.open(
        LdapConnector.parse(settings(directory, group_base=None, page_size=100)),
        RecordingLog(),
        Deadline.after(AT_MOST_S),
    )
    sizes = [len(page.users) async for page in source.read(None) if page.users]
    people = 1200 + _EDGE_PEOPLE
    assert sizes == [100] * (people // 100) + [people % 100]
    assert Counter(asked) == {"base": 1, "page": len(sizes)}


async def test_memory_does_not_grow_with_the_directory(openldap: Callable[..., OpenLdap]) -> None:
    directory = openldap(users=10_000)
    source = LdapConnector.open(
        LdapConnector.parse(settings(directory, group_base=None)), RecordingLog(), Deadline.after(AT_MOST_S)
    )
    tracemalloc.start()
    try:
        async for _page in source.read(None):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * 1024 * 1024
