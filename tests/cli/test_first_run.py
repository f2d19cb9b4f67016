"""What is made where there is nothing yet, by whom, and by whom never."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from scimd import app as composition
from scimd import cli, config
from scimd.db import migrate
from tests.cli.hr import file_source
from tests.support.daemon import KEY, Here
from tests.support.postgres import PostgresServer

DATABASE = """
[server]
port = 0
[database]
url = "sqlite:///{folder}/scimd.db"
"""
DECLARED = """
[[organization]]
name = "acme"
[[organization.source]]
name = "okta"
"""


@pytest.fixture
def bare(tmp_path: Path) -> Here:
    """A config, and nothing else in its folder."""
    return Here(tmp_path, DATABASE.format(folder=tmp_path))


def declare(bare: Here) -> None:
    bare.file.write_text(DATABASE.format(folder=bare.folder) + DECLARED + file_source(bare.folder))


def made(bare: Here) -> set[str]:
    return {path.name for path in bare.folder.iterdir()} - {bare.file.name, "directory"}


def refused(bare: Here, *words: str) -> str:
    done = bare.run(*words)
    assert done.returncode == 1, done
    return done.stderr.replace("\n", " ")


def test_check_makes_nothing_and_says_that_nobody_is_there(bare: Here) -> None:
    done = bare.ok("check")
    assert f"nobody is in it yet; `scimd serve` makes what is missing at {bare.folder}" in done["passed"][1]
    assert made(bare) == set()


def test_check_says_where_no_database_can_be_made(bare: Here) -> None:
    bare.file.write_text(DATABASE.format(folder=bare.folder / "deep" / "er"))
    folder = bare.folder / "deep" / "er"
    said = f"database.url: the folder {folder} is not there; make it, or name another"
    assert said in refused(bare, "check")


@pytest.mark.parametrize(
    "words",
    [
        ("user", "list"),
        ("org", "list"),
        ("token", "create", "--source", "okta"),
        ("sync", "hr"),
        ("worker",),
        ("audit", "verify"),
        ("admin", "create", "ada@acme.example", "--org", "acme"),
    ],
)
def test_a_command_that_finds_no_database_says_where_it_looked(bare: Here, words: tuple[str, ...]) -> None:
    said = refused(bare, *words)
    assert f"there is no database of scimd's yet at {bare.folder / 'scimd.db'}" in said
    assert "scimd org create" in said
    assert made(bare) == set()


@pytest.mark.parametrize(
    "words",
    [
        ("org", "create", "acme"),
        ("admin", "create", "ada@acme.example", "--org", "system"),
        ("token", "create", "--source", "okta"),
        ("sync", "hr"),
    ],
)
def test_setting_up_makes_database_and_key(bare: Here, words: tuple[str, ...]) -> None:
    declare(bare)
    bare.ok(*words)
    assert {"scimd.db", "scimd.db.key"} <= made(bare)
    assert bare.ok("org", "list")


def test_after_migrate_the_key_comes_with_the_first_organization(bare: Here) -> None:
    bare.ok("migrate")
    assert "nobody is in it yet" in bare.ok("check")["passed"][1]
    assert "scimd.db.key" not in made(bare)
    bare.ok("org", "create", "acme")
    assert "schema current" in bare.ok("check")["passed"][1]


def _foreign(file: Path) -> bytes:
    with closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("CREATE TABLE songs (title TEXT)")
    return file.read_bytes()


def _serve(file: Path) -> None:
    composition.run(composition.serve(config.load(file), file))


@pytest.mark.parametrize("words", [("check",), ("migrate",), ("user", "list"), ("org", "create", "acme"), ()])
def test_a_database_of_another_program_is_left_as_it_is(bare: Here, words: tuple[str, ...]) -> None:
    file = bare.folder / "scimd.db"
    before = _foreign(file)
    if words:
        assert "The database is another program's" in refused(bare, *words)
    else:
        with pytest.raises(config.ConfigError, match="another program's"):
            _serve(bare.file)
    assert file.read_bytes() == before
    assert made(bare) == {"scimd.db"}


@pytest.mark.parametrize("words", [("check",), ("user", "list"), ("token", "create", "--source", "okta"), ()])
def test_no_new_key_is_made_beside_a_database_in_use(bare: Here, words: tuple[str, ...]) -> None:
    declare(bare)
    bare.ok("org", "create", "acme")
    (bare.folder / "scimd.db.key").unlink()
    if words:
        said = refused(bare, *words)
    else:
        with pytest.raises(config.ConfigError) as caught:
            _serve(bare.file)
        said = str(caught.value)
    assert f"the key file {bare.folder / 'scimd.db.key'} is missing beside a database that is in use" in said
    assert "put it back from the backup" in said
    assert "scimd.db.key" not in made(bare)


def test_a_database_with_nobody_in_it_is_not_in_use(tmp_path: Path, empty_database_url: str) -> None:
    assert not migrate.is_in_use(f"sqlite:///{tmp_path}/none.db")
    assert not (tmp_path / "none.db").exists()
    migrate.upgrade(empty_database_url)
    assert not migrate.is_in_use(empty_database_url)


def test_check_of_a_source_that_is_pushed_to_or_unknown_says_so(bare: Here) -> None:
    declare(bare)
    for ahead in (True, False):  # of the database, and with it
        for name, code, said in (
            ("okta", 0, "source acme/okta: is pushed to; there is nothing to read"),
            ("acme/okta", 0, "source acme/okta: is pushed to; there is nothing to read"),
            ("hr", 0, "source acme/hr: "),
            ("htr", 1, "there is no source htr; there are: acme/hr, acme/okta"),
            ("other/hr", 1, "there is no source other/hr; there are: acme/hr, acme/okta"),
        ):
            found = bare.ok("check", name, codes=(code,))
            assert any(each.startswith(said) for each in found["passed"] + found["faults"]), (name, found)
        if ahead:
            bare.ok("sync", "hr")
    bare.ok("token", "create", "--source", "entra")
    assert "acme/entra: is pushed to" in str(bare.ok("check", "entra"))
    bare.file.write_text(DATABASE.format(folder=bare.folder))
    for args in (("check", "hr"), ("check",)):
        assert "acme/hr: is no longer in the file" in str(bare.ok(*args, codes=(1,)))


def test_check_of_a_source_that_several_organizations_have_asks_which(bare: Here) -> None:
    for name in ("acme", "globex"):
        bare.ok("org", "create", name)
        bare.ok("token", "create", "--org", name, "--source", "entra")
    found = bare.ok("check", "entra", codes=(1,))
    assert found["faults"] == [
        "Several organizations have a source 'entra': say which of acme/entra, globex/entra."
    ]
    for name in ("acme", "globex"):
        assert f"source {name}/entra: is pushed to" in str(bare.ok("check", f"{name}/entra"))
    assert "there are: acme/entra, globex/entra" in str(bare.ok("check", "okta", codes=(1,)))


def test_on_postgresql_a_worker_may_come_before_any_serve(
    tmp_path: Path, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres_url = postgres_server.create_database()
    file = tmp_path / "scimd.toml"
    file.write_text(
        f'[database]\nurl = "{postgres_url}"\n[secrets]\nkey = ["env:SCIMD_TEST_KEY"]\n', encoding="utf-8"
    )
    monkeypatch.setenv("SCIMD_TEST_KEY", KEY)
    monkeypatch.setattr(composition, "run", lambda work: work.close())
    assert migrate.check(postgres_url) == "empty"
    done = CliRunner().invoke(cli.app, ["worker", "--config", str(file)])
    assert done.exit_code == 0, done.output
    assert migrate.check(postgres_url) == "current"
