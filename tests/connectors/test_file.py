"""What the file connector takes, what it refuses, and that it never takes a part for the whole."""

from __future__ import annotations

import asyncio
import codecs
import os
import threading
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from connectors.file.connector import FileConnector
from scimd.connector_api import BadSetting, ConnectorError, Deadline, Incomplete, Page, Unreachable
from scimd.connector_testing import RecordingLog
from tests.connectors.files import read

_CSV = 'id,name\n1,"a"\n2,"b"\n'
_LDIF = (
    "dn: uid=a,dc=x\nobjectClass: person\nentryUUID: 1\n\ndn: uid=b,dc=x\nobjectClass: person\nentryUUID: 2\n"
)


# ---------------------------------------------------------------------------------------- CSV


async def test_cells_are_taken_as_they_are_and_empty_ones_left_out(write: Any) -> None:
    path = write("p.csv", 'id,name,note\r\n1,"a ""b"", ж","two\r\nlines"\r\n2,,\r\n')
    one, two = (await read(path)).users
    assert one.attributes == {"id": "1", "name": 'a "b", ж', "note": "two\r\nlines"}
    assert two.attributes == {"id": "2"}


async def test_delimiter_encoding_id_and_multi_valued_columns_are_settings(write: Any) -> None:
    path = write("p.txt", "nr;mail\n7;a@x|b@x\n8;ł\n".encode("utf-16"))
    whole = await read(
        path, format="csv", encoding="utf-16", delimiter=";", separator="|", id="nr", multi_valued=["mail"]
    )
    assert [(u.external_id, u.attributes["mail"]) for u in whole.users] == [
        ("7", ("a@x", "b@x")),
        ("8", ("ł",)),
    ]


async def test_groups_come_from_a_column_of_the_people(write: Any) -> None:
    path = write("p.csv", "id,groups\n1,red; blue\n2,red;red\n3,\n")
    whole = await read(path, groups_column="groups")
    assert {g.external_id: g.members for g in whole.groups} == {"red": ("1", "2"), "blue": ("1",)}
    assert all("groups" not in user.attributes for user in whole.users)


async def test_a_group_with_the_id_of_a_person_fails_alone(write: Any) -> None:
    users, groups = "id,userName\n3,ann\n4,bob\n", "id,displayName,members\n3,Sales,4\n9,Staff,3\n"
    path = write("users.csv", users).parent
    write("groups.csv", groups)
    whole = await read(path)
    assert whole.ids == ["3", "4", "9"]
    assert [(bad.external_id, bad.kind) for bad in whole.bad] == [("3", "group")]
    column = await read(write("p.csv", "id,userName,in\n3,ann,Staff\n4,bob,3\n"), groups_column="in")
    assert column.ids == ["3", "4", "Staff"]
    assert [(bad.external_id, bad.kind) for bad in column.bad] == [("3", "group")]


async def test_a_person_of_several_lines_leaves_their_groups_as_they_are(write: Any) -> None:
    path = write("p.csv", "id,name,groups\n1,ann,red\n2,bob,red;blue\n3,cid,green\n1,mallory,admins\n")
    whole = await read(path, groups_column="groups")
    assert {group.external_id for group in whole.groups} == {"blue", "green"}
    assert {entry.external_id for entry in whole.bad} == {"1", "red", "admins"}


async def test_a_cell_of_any_length_is_one_cell(write: Any) -> None:
    """What stands in it may look like lines of the file."""
    bio = "x" * 140_000 + "\n99,eve,admins\n"
    whole = await read(write("p.csv", f'id,name,bio\n1,ann,"{bio}"\n2,bob,y\n'))
    assert (whole.ids, whole.bad) == (["1", "2"], [])
    assert whole.users[0].attributes["bio"] == bio.strip()


@pytest.mark.parametrize("cells", ['1,"' + "x" * 2_000 + '\n99,eve\n"\n', '1,"a\n"' + ',"b\n"' * 500 + "\n"])
async def test_a_record_that_is_too_long_is_followed_by_nothing(
    write: Any, monkeypatch: pytest.MonkeyPatch, cells: str
) -> None:
    monkeypatch.setattr("connectors.file.delimited.LONGEST_LINE", 1_000)
    fits = "id,name\n" + '1,"a\nb"\n' * 500
    assert set((await read(write("p.csv", fits))).ids) == {"1"}
    with pytest.raises(Incomplete, match=r"p\.csv is not whole: line 4, with the lines that its cells hold"):
        await read(write("p.csv", f'id,name\n1,"a\nb"\n{cells}2,bob\n'))


async def test_groups_come_one_member_a_line_in_any_order(write: Any, tmp_path: Path) -> None:
    write("users.csv", "id\n1\n2\n")
    write("groups.csv", "id,name,member\ng,Red,1\nh,Blue,2\ng,Red,2\ni,Empty,\n")
    whole = await read(tmp_path)
    assert [(g.external_id, g.display_name, g.members) for g in whole.groups] == [
        ("g", "Red", ("1", "2")),
        ("h", "Blue", ("2",)),
        ("i", "Empty", ()),
    ]


@pytest.mark.parametrize(
    ("name", "key"), [("p.jsonl", "groups_column"), ("p.ldif", "multi_valued"), ("p.ldif", "references")]
)
async def test_a_setting_without_meaning_for_the_format_is_refused(write: Any, name: str, key: str) -> None:
    path = write(name, '{"id": "1"}\n')
    with pytest.raises(ConnectorError, match=key):
        await read(path, **{key: "groups" if key == "groups_column" else ["mail"]})


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
async def test_groups_keep_their_own_id_where_the_people_have_another_column(
    write: Any, tmp_path: Path, ending: str
) -> None:
    write(f"users.{ending}", "nr\n1\n" if ending == "csv" else '{"nr": 1}\n')
    group = (
        "id,name,members\ng,Red,1\n" if ending == "csv" else '{"id": "g", "name": "Red", "members": [1]}\n'
    )
    write(f"groups.{ending}", group)
    whole = await read(tmp_path, id="nr")
    assert whole.ids == ["1", "g"]


async def test_a_groups_file_beside_a_groups_column_is_refused(write: Any, tmp_path: Path) -> None:
    write("users.csv", "id,groups\n1,red\n")
    write("groups.csv", "name,members\nRed,1\n")
    with pytest.raises(ConnectorError, match="groups_column"):
        await read(tmp_path, groups_column="groups")


async def test_bad_lines_of_a_groups_file_are_named(write: Any, tmp_path: Path) -> None:
    write("users.csv", "id\n1\n")
    for content in ("id,name,members\ng,Red,1,2\n,Blue,1\nh,,1\n", "id,name,member\ng,R,1,2\n,B,1\nh,,1\n"):
        write("groups.csv", content)
        whole = await read(tmp_path)
        bad = sorted((entry.name, entry.external_id) for entry in whole.bad)
        assert bad == [("line 2", None), ("line 3", None), ("line 4", "h")]


async def test_members_may_be_named_by_another_column(write: Any, tmp_path: Path) -> None:
    write("users.csv", "id,login\n1,ann\n")
    write("groups.csv", "name,members\nRed,ann\n")
    whole = await read(tmp_path, references=["login"])
    assert whole.users[0].references == ("ann",) == whole.groups[0].members


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("2,b,c,d", "4 cells"),
        ("2", "1 cells"),
        (",b,c", "empty"),
        ('2,"b"x,c', "expected"),
        ("2,\x00,c", "bytes"),
    ],
)
async def test_a_bad_line_is_named_by_its_number_and_the_rest_is_read(
    write: Any, line: str, why: str
) -> None:
    path = write("p.csv", f"id,a,b\n1,x,y\n{line}\n3,x,y\n")
    whole = await read(path)
    assert [user.external_id for user in whole.users] == ["1", "3"]
    assert [(bad.external_id, bad.name) for bad in whole.bad] == [(None, "line 3")]
    assert why in whole.bad[0].why


async def test_bytes_outside_the_encoding_spoil_one_line_only(write: Any) -> None:
    whole = await read(write("p.csv", b"id,a\n1,x\n2,\xff\n3,z\n"))
    assert len(whole.users) == 2
    assert whole.bad[0].name == "line 3"


@pytest.mark.parametrize("ending", ["csv", "jsonl", "ldif"])
async def test_the_second_of_one_id_is_bad_in_every_format(write: Any, ending: str) -> None:
    content = {
        "csv": "id,n\n1,a\n1,b\n",
        "jsonl": '{"id": "1"}\n{"id": 1}\n',
        "ldif": _LDIF.replace("entryUUID: 2", "entryUUID: 1"),
    }[ending]
    whole = await read(write(f"p.{ending}", content))
    assert len(whole.users) == 1
    assert [bad.external_id for bad in whole.bad] == ["1"]


# ---------------------------------------------------------------------------------------- not the whole


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("open-quote.csv", 'id,name\n1,a\n2,"b\n3,c\n'),
        ("no-last-break.csv", "id,name\n1,a\n2,b"),
        ("half-a-row.csv", "id,name\n1,a\n2"),
        ("empty.csv", ""),
        ("bom.csv", codecs.BOM_UTF8),
        ("two-columns-of-one-name.csv", "id,id\n1,2\n"),
        ("no-id.csv", "name\na\n"),
        ("cut.jsonl", '{"id": "1"}\n{"id": "2", "na'),
        ("blank.jsonl", "\n\n"),
        ("cut.ldif", _LDIF[:-5]),
        ("cut-in-base64.ldif", f"{_LDIF}cn:: w4\n"),
        ("comment-only.ldif", "version: 1\n# nobody\n"),
    ],
)
async def test_a_part_of_a_file_is_never_taken_for_the_whole(
    write: Any, name: str, content: str | bytes
) -> None:
    with pytest.raises(Incomplete):
        await read(write(name, content))


async def test_a_cut_in_the_middle_of_a_utf16_character_is_incomplete(write: Any) -> None:
    with pytest.raises(Incomplete):
        await read(write("p.csv", "id\n1\nł\n".encode("utf-16")[:-1]), encoding="utf-16")


@pytest.mark.parametrize(
    ("name", "whole"), [("p.csv", _CSV), ("p.ldif", _LDIF), ("p.jsonl", '{"id":"1"}\n{"id":"2"}\n')]
)
async def test_no_cut_anywhere_loses_somebody_silently_within_a_line(
    write: Any, name: str, whole: str
) -> None:
    """Only a cut exactly between two records can pass, since nothing then tells it from a short file."""
    for at in range(1, len(whole)):
        try:
            found = await read(write(name, whole[:at]))
        except ConnectorError:
            continue
        between = whole[:at].endswith(("\n", "}"))
        assert between or any(bad.external_id is None for bad in found.bad), whole[:at]


async def test_a_file_that_changes_while_it_is_read_is_incomplete(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_text("id\n" + "".join(f"{n}\n" for n in range(2000)))
    for change in (_append, _replace):
        config = FileConnector.parse({"path": str(path)})
        pages = FileConnector.open(config, RecordingLog(), Deadline.after(30)).read(None)
        await anext(pages)
        change(path)
        with pytest.raises(Incomplete, match="changed"):
            await _rest(pages)


async def _rest(pages: AsyncIterator[Page]) -> None:
    async for page in pages:
        assert page.end is None


def _append(path: Path) -> None:
    with path.open("a") as file:
        file.write("more\n")


def _replace(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes())
    os.replace(other, path)


async def test_missing_and_unclear_files_say_which(write: Any, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"users\.csv"):
        await read(tmp_path)
    write("users.csv", "id\n1\n")
    with pytest.raises(Unreachable, match=r"other\.csv"):
        await read(tmp_path, groups="other.csv")
    write("users.jsonl", '{"id": "1"}\n')
    with pytest.raises(ConnectorError, match=r"users\.csv and users\.jsonl"):
        await read(tmp_path)
    with pytest.raises(ConnectorError, match="format"):
        await read(write("people.xls", "id\n"))
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(Unreachable, match="no regular file"):
        await read(tmp_path / "pipe.csv")


# ---------------------------------------------------------------------------------------- JSON Lines


@pytest.mark.parametrize("depth", [900, 5_000])
async def test_a_line_that_is_nested_deeply_fails_alone(write: Any, depth: int) -> None:
    deep = '{"id": "2", "a": ' + "[" * depth + "]" * depth + "}"
    whole = await read(write("p.jsonl", '{"id": "1"}\n' + deep + '\n{"id": "3"}\n'))
    assert whole.ids == ["1", "3"]


@pytest.mark.parametrize("line", ['{"id": "2", "id": "3"}', '{"id": "2", "name": {"a": 1, "a": 2}}'])
async def test_a_key_twice_says_nothing(write: Any, line: str) -> None:
    whole = await read(write("p.jsonl", '{"id": "1"}\n' + line + "\n"))
    assert whole.ids == ["1"]
    assert [(bad.external_id, bad.name) for bad in whole.bad] == [(None, "line 2")]


async def test_json_values_keep_their_types_and_null_is_no_value(write: Any) -> None:
    path = write(
        "p.jsonl",
        '{"id":"1","on":true,"n":1.5,"tags":["a",null,2],"name":{"f":"x","g":null},"z":null,"e":[]}\n',
    )
    attributes = (await read(path)).users[0].attributes
    assert attributes == {"id": "1", "on": True, "n": 1.5, "tags": ("a", 2), "name": {"f": "x"}}


async def test_a_whole_number_names_the_same_with_a_point_and_without(write: Any) -> None:
    lines = ['{"id":1234567.0,"number":1234568.0}', '{"id":"g","name":"G","members":[1234567,1234568.0]}']
    whole = await read(write("p.jsonl", "\n".join(lines) + "\n"), references=["number"])
    assert (whole.users[0].external_id, whole.users[0].references) == ("1234567", ("1234568",))
    assert whole.groups[0].members == ("1234567", "1234568")


@pytest.mark.parametrize(
    "line",
    [
        "[1]",
        '{"id": 1.5}',
        '{"id": 9007199254740993.0}',
        "nonsense",
        '{"id": NaN}',
        '{"name": "without id"}',
        '{"id": true}',
        '{"id": "2", "n": "\\ud800"}',
        '{"id": "2", "n": "\\u0000"}',
        '{"id": "2", "members": "x", "name": "g"}',
        '{"id": "2", "members": []}',
        '{"id": "2", "members": [null], "name": "g"}',
        '{"id": "2", "deep": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"id": ' + "9" * 5000 + "}",
    ],
)
async def test_a_bad_json_line_fails_alone(write: Any, line: str) -> None:
    whole = await read(write("p.jsonl", f'{{"id": "1"}}\n{line}\n{{"id": "3"}}\n'))
    assert [user.external_id for user in whole.users] == ["1", "3"]
    assert [bad.name for bad in whole.bad] == ["line 2"]


# ---------------------------------------------------------------------------------------- hostile


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from(
            [
                "dn: uid=a",
                "dn:: dWlkPWI=",
                "objectClass: person",
                "cn: x",
                " folded",
                "",
                "-",
                "# no",
                "cn:< f",
                "member: cn=a",
                "objectClass: groupOfNames",
                "entryUUID: 1",
                ":",
                "version: 1",
                "cn:: =",
                "\ufeff",
            ]
        )
    ).map("\n".join)
    | st.text()
    | st.binary(),
    st.sampled_from(["csv", "jsonl", "ldif"]),
)
async def test_hostile_content_ends_in_records_or_a_connector_error(
    tmp_path: Path, content: str | bytes, ending: str
) -> None:
    path = tmp_path / f"hostile.{ending}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    try:
        whole = await read(path)
    except ConnectorError:
        return
    assert len(set(whole.ids)) == len(whole.ids)
    for record in whole.records:
        repr(record).encode()


# ---------------------------------------------------------------------------------------- large, settings


@pytest.mark.parametrize("ending", ["csv", "jsonl", "ldif"])
async def test_memory_does_not_grow_with_the_people(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"p.{ending}"
    with path.open("w") as file:
        file.write("id,name\n" if ending == "csv" else "")
        for n in range(20_000):
            line = {
                "csv": f"{n},{'x' * 100}\n",
                "jsonl": f'{{"id": "{n}", "name": "{"x" * 100}"}}\n',
                "ldif": f"dn: uid={n}\nobjectClass: person\ncn: {'x' * 100}\n\n",
            }[ending]
            file.write(line)
    source = FileConnector.open(FileConnector.parse({"path": str(path)}), RecordingLog(), Deadline.after(120))
    count = 0
    tracemalloc.start()
    try:
        async for page in source.read(None):
            count += len(page.users)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 20_000
    assert peak < 5 * 1024 * 1024  # all of them are 14 MB; ids that were seen are kept


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        ("path", {"path": 7}),
        ("format", {"format": "xml"}),
        ("encoding", {"encoding": "klingon"}),
        ("encoding", {"encoding": "base64"}),
        ("delimiter", {"delimiter": ",,"}),
        ("delimiter", {"delimiter": '"'}),
        ("separator", {"separator": ","}),
        ("users", {"users": "../users.csv"}),
        ("id", {"id": ""}),
        ("multi_valued", {"multi_valued": "mail"}),
        ("groups_column", {"groups": "groups.csv", "groups_column": "groups"}),
    ],
)
def test_a_wrong_setting_is_refused_by_its_key(key: str, changed: Mapping[str, Any]) -> None:
    with pytest.raises(BadSetting) as refused:
        FileConnector.parse({"path": "people.csv", **changed})
    assert refused.value.key == key


def test_a_missing_path_is_named() -> None:
    with pytest.raises(BadSetting, match="path"):
        FileConnector.parse({})


@pytest.mark.parametrize("key", ["users", "groups"])
async def test_a_file_within_a_folder_is_refused_where_there_is_no_folder(write: Any, key: str) -> None:
    """Whoever turns the folder into a file would lose every group."""
    path = write("users.csv", "id\n1\n")
    settings = {"path": str(path), key: f"{key}.csv"}
    source = FileConnector.open(FileConnector.parse(settings), RecordingLog(), Deadline.after(5))
    with pytest.raises(ConnectorError, match=f"remove {key}"):
        await source.check()
    with pytest.raises(ConnectorError, match=f"remove {key}"):
        await read(path, **{key: f"{key}.csv"})


async def test_a_share_that_hangs_takes_no_thread_of_everybodys(
    write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, share_is_back = write("p.csv", "id\n1\n"), threading.Event()
    monkeypatch.setattr("connectors.file.connector.parts", lambda config: share_is_back.wait())
    source = FileConnector.open(
        FileConnector.parse({"path": str(path)}), RecordingLog(), Deadline.after(0.05)
    )
    with pytest.raises(Unreachable, match="time allowed"):
        await source.check()
    (hung,) = [each for each in threading.enumerate() if each.name == "file-read"]
    assert hung.daemon
    share_is_back.set()
    await asyncio.to_thread(hung.join)


async def test_check_says_what_it_found_and_warns_of_bad_lines(write: Any) -> None:
    path = write("p.csv", "id,n\n1,a\n2\n")
    source = FileConnector.open(FileConnector.parse({"path": str(path)}), RecordingLog(), Deadline.after(5))
    answer = await source.check()
    assert "p.csv" in answer.summary
    assert answer.warnings == ("line 3: has 1 cells, and the header has 2",)


@pytest.mark.parametrize("members", ["false", "0", '""', "{}", "true", '"u1"'])
async def test_members_that_are_no_list_empty_no_group(write: Any, members: str) -> None:
    whole = await read(write("p.jsonl", f'{{"id":"g","displayName":"Eng","members":{members}}}\n'))
    assert not whole.groups
    (bad,) = whole.bad
    assert (bad.external_id, bad.kind, bad.why) == ("g", "group", "members must be a list")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32-le", "gb18030"])
@pytest.mark.parametrize("mark", ["\ufeff", ""])
async def test_a_byte_order_mark_is_no_part_of_the_header(write: Any, encoding: str, mark: str) -> None:
    path = write("p.csv", (mark + "active,id,userName\nfalse,1,Zoë\n").encode(encoding))
    (user,) = (await read(path, encoding=encoding)).users
    assert user.attributes == {"active": "false", "id": "1", "userName": "Zoë"}
