"""LDIF, as directories write it."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from scimd.connector_api import ConnectorError, Incomplete
from tests.connectors.files import read


async def test_ldif_values_come_as_a_directory_gives_them(write: Any) -> None:
    path = write(
        "p.ldif",
        "version: 1\n# a comment\n that goes on\ndn:: "
        + base64.b64encode("cn=Zoë,dc=x".encode()).decode()
        + "\n"
        "objectClass: person\nobjectClass: top\ncn;lang-en: Zoe\ncn: Zo\n ë\nphoto:: /9j/\n"
        "userPassword:: c2VjcmV0\nuserCert:: /9j/\nentryUUID: 1\n-\nuid: ZOE\n\n",
    )
    user = (await read(path)).users[0]
    assert user.name == "cn=Zoë,dc=x"
    assert user.references == ("cn=zoë,dc=x", "uid:zoe")
    assert user.attributes["cn"] == "Zoë"
    assert user.attributes["cn;lang-en"] == "Zoe"
    assert user.attributes["objectClass"] == ("person", "top")
    assert user.attributes["userCert"] == b"\xff\xd8\xff"
    assert not {"photo", "userPassword"} & set(user.attributes)


async def test_a_line_is_as_long_as_what_is_folded_into_it(
    write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.file.ldif.LONGEST_LINE", 1_000)
    fits = "dn: cn=a\nobjectClass: person\ncn: a\n" + " b\n" * 300 + "\n"
    assert (await read(write("p.ldif", fits))).ids == ["cn=a"]
    with pytest.raises(Incomplete, match="line 3, with what is folded into it"):
        await read(write("p.ldif", fits.replace(" b\n", " b\n \n")))


async def test_an_entry_that_does_not_end_is_followed_by_nothing(
    write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.file.ldif.LARGEST_ENTRY", 10_000)
    entry = "dn: cn={0}\nobjectClass: person\n" + "cn: a\n" * 100 + "jpegPhoto: x\n" * 1_000
    fits = "".join(entry.format(n) + "\n" for n in range(3))
    assert (await read(write("p.ldif", fits))).ids == ["cn=0", "cn=1", "cn=2"]
    with pytest.raises(Incomplete, match=r"p\.ldif is not whole: line 3: the entry that begins there"):
        await read(write("p.ldif", "# one\n\n" + fits.replace("\n\n", "\n")))


async def test_entries_without_entryuuid_are_known_by_their_normal_dn(write: Any) -> None:
    whole = await read(write("p.ldif", "dn: UID=Ann , DC=X\nobjectClass: person\n"))
    assert whole.ids == ["uid=ann,dc=x"]


@pytest.mark.parametrize(
    "line", ["cn:< file:///etc/passwd", "cn:: ***", "no colon", ": no name", "cn: \udcff"]
)
async def test_a_bad_ldif_line_fails_its_entry_alone(write: Any, line: str) -> None:
    bad = f"dn: cn=bad\nobjectClass: person\n{line}\nentryUUID: 2\n\n".encode("utf-8", "surrogateescape")
    good = "dn: cn=good\nobjectClass: person\nentryUUID: 1\n"
    whole = await read(write("p.ldif", bad + good.encode()))
    assert whole.ids == ["1"]
    assert [entry.external_id for entry in whole.bad] == ["2"]
    assert "line 3" in whole.bad[0].why


@pytest.mark.parametrize(
    "broken",
    [
        "dn: cn=bad\nobjectClass: person\nentryUUID:: !!!\n",
        "dn: cn=bad\nobjectClass: person\nentryUUID:< file:///etc/passwd\n",
        "dn: cn=bad\nobjectClass: person\n",
        "dn: cn=bad\nobjectClass: person\nentryUUID:: /w==\n",
        "dn: cn=bad\nobjectClass: person\nentryUUID: 2\ndn: cn=third\nobjectClass: person\nentryUUID: 3\n",
        "dn: cn=bad\nobjectClass: person\nentryUUID: 2\n \ndn: cn=third\nobjectClass: person\nentryUUID: 3\n",
        "dn:: !!!\nobjectClass: person\nentryUUID:: !!!\n",
    ],
)
async def test_an_ldif_entry_whose_id_is_in_doubt_could_be_anyones(write: Any, broken: str) -> None:
    """Under its DN it would be somebody else, and who has the id would be gone."""
    good = "dn: cn={0}\nobjectClass: person\nentryUUID: {0}\n\n"
    whole = await read(write("p.ldif", good.format("1") + broken + "\n" + good.format("9")))
    assert whole.ids == ["1", "9"]
    assert [entry.external_id for entry in whole.bad] == [None]


async def test_an_entryuuid_that_begins_in_the_middle_of_an_ldif_is_no_whole_read(write: Any) -> None:
    first = "dn: cn=a\nobjectClass: person\n\n"
    with pytest.raises(Incomplete, match="entryUUID"):
        await read(write("p.ldif", first + "dn: cn=b\nobjectClass: person\nentryUUID: 2\n"))


async def test_what_is_neither_person_nor_group_says_nothing_of_ids(write: Any) -> None:
    base = "dn: dc=x\nobjectClass: dcObject\n\n"
    whole = await read(write("p.ldif", base + "dn: cn=b\nobjectClass: person\nentryUUID: 2\n"))
    assert (whole.ids, whole.bad) == (["2"], [])


async def test_the_end_of_a_search_is_no_entry_and_tells_whether_it_was_whole(write: Any) -> None:
    entry = "dn: cn=a\nobjectClass: person\nentryUUID: 1\n\n# search result\nsearch: 2\n"
    whole = await read(write("p.ldif", entry + "result: 0 Success\n\n# numResponses: 2\n"))
    assert (whole.ids, whole.bad) == (["1"], [])
    with pytest.raises(Incomplete, match="4 Size limit exceeded"):
        await read(write("p.ldif", entry + "result: 4 Size limit exceeded\n\n# numResponses: 2\n"))


@pytest.mark.parametrize(
    ("day", "expired"),
    [("0", True), ("15000", True), ("99999999", False), ("9" * 5000, False), ("-1", False), ("x", False)],
)
async def test_a_shadow_account_whose_day_is_past_is_marked(write: Any, day: str, expired: bool) -> None:
    path = write("p.ldif", f"dn: cn=a\nobjectClass: posixAccount\nentryUUID: 1\nshadowExpire: {day}\n")
    assert ((await read(path)).users[0].attributes.get("shadowExpired") == "TRUE") is expired


def filetime(when: datetime) -> int:
    return (when - datetime(1601, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 10


@pytest.mark.parametrize(
    ("end", "expired"),
    [
        (0, False),
        (2**63 - 1, False),
        (filetime(datetime(2015, 6, 1, tzinfo=UTC)), True),
        (filetime(datetime(2199, 1, 1, tzinfo=UTC)), False),
        ("never", False),
    ],
)
async def test_an_account_of_active_directory_whose_time_is_past_is_marked(
    write: Any, end: Any, expired: bool
) -> None:
    path = write("p.ldif", f"dn: cn=a\nobjectClass: user\nentryUUID: 1\naccountExpires: {end}\n")
    assert ((await read(path)).users[0].attributes.get("accountExpired") == "TRUE") is expired


@pytest.mark.parametrize(
    "value",
    [": AAECAwQFBgcICQoLDA0ODw==", " 03020100-0504-0706-0809-0a0b0c0d0e0f"],
    ids=["bytes", "text"],
)
async def test_an_object_guid_is_the_text_that_the_ldap_connector_makes_of_it(write: Any, value: str) -> None:
    path = write("p.ldif", f"dn: cn=a\nobjectClass: user\nobjectGUID:{value}\n")
    whole = await read(path, id="objectGUID")
    assert (whole.ids, whole.bad) == (["03020100-0504-0706-0809-0a0b0c0d0e0f"], [])


async def test_an_object_guid_whose_bytes_are_text_is_one_all_the_same(write: Any) -> None:
    path = write("p.ldif", "dn: cn=a\nobjectClass: user\nobjectGUID:: YWJjZGVmZ2hpamtsbW5vcA==\n")
    assert (await read(path, id="objectGUID")).ids == ["64636261-6665-6867-696a-6b6c6d6e6f70"]


_WITH_ID = "dn: cn=a\nobjectClass: person\nentryUUID: 1\n\n"
_PARIS = "ldap://paris.x/ou=paris,dc=x??sub"


@pytest.mark.parametrize(
    "referral",
    [
        f"# search reference\nref: {_PARIS}\n",
        f"# refldap{_PARIS[4:20]}\n {_PARIS[20:]}\n",
        f"dn: ou=paris,dc=x\nobjectClass: referral\nobjectClass: extensibleObject\nref: {_PARIS}\n",
        "dn: ou=paris,dc=x\nobjectClass: referral\nref: ldap://paris.x/\n",
    ],
    ids=["ldapsearch", "ldapsearch -LLL", "slapcat", "slapcat without a DN in ref"],
)
async def test_a_part_that_another_server_keeps_is_anybodys(write: Any, referral: str) -> None:
    """However it is written, and wherever it stands: what entries are known by is not its to say."""
    for content in (_WITH_ID + referral, f"{referral}\n{_WITH_ID}"):
        path = write("p.ldif", content)
        whole = await read(path)
        assert whole.ids == ["1"]
        assert [(bad.external_id, bad.name) for bad in whole.bad] == [(None, "ou=paris,dc=x")]
        assert "ldap://paris.x/" in whole.bad[0].why
        assert not (await read(path, ignored_referrals=["OU=Paris,DC=X"])).bad


async def test_a_list_of_changes_is_no_directory(write: Any) -> None:
    with pytest.raises(ConnectorError, match="changes"):
        await read(write("p.ldif", "dn: cn=a\nchangetype: delete\n"))


@pytest.mark.parametrize("attribute", ["member;range=0-1499", "Member;Range=0-*", "memberUid;x-part"])
async def test_a_group_whose_members_come_in_pieces_is_not_an_empty_one(write: Any, attribute: str) -> None:
    group = "dn: cn=g\nobjectClass: groupOfNames\nentryUUID: 1\ncn: g\nmember: cn=a\n"
    whole = await read(write("p.ldif", f"{group}{attribute}: cn=b\n"))
    assert not whole.groups
    [bad] = whole.bad
    assert (bad.external_id, bad.kind) == ("1", "group")
    assert f"its members come in pieces: {attribute}" in bad.why
