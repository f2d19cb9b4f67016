"""Every command: its help, its one JSON document, its one sentence where something is wrong."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
import typer
from aiohttp.test_utils import TestClient, TestServer
from typer.testing import CliRunner

from scimd import app as root
from scimd import cli, opening
from scimd import config as configuration
from tests.cli.hr import file_source
from tests.support.daemon import KEY
from tests.support.database import ready
from tests.support.patience import AT_MOST_S

CONFIG = """
[database]
url = "{database}"
[secrets]
key = ["env:SCIMD_TEST_KEY"]
[log]
level = "debug"
format = "json"
{more}
"""


@dataclass
class Terminal:
    """``scimd`` in this process, which spares the seconds of a start; the real one is tried below."""

    file: Path

    def run(self, *words: str) -> Any:
        return CliRunner().invoke(cli.app, [*words, "--config", str(self.file)])

    def json(self, *words: str, codes: Sequence[int] = (0,)) -> Any:
        done = self.run(*words, "--json")
        assert done.exit_code in codes, done.output
        return json.loads(done.stdout)

    def refused(self, *words: str) -> str:
        """The one sentence on standard error; nothing on standard output."""
        done = self.run(*words)
        assert done.exit_code == 1, done.output
        assert done.stdout == ""
        said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
        assert len(said) == 1, done.stderr
        assert said[0].startswith("error: ")
        return said[0]


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """With a database in which nobody is; what commands do to logging is taken back."""
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    monkeypatch.setenv("SCIMD_TEST_KEY", KEY)
    for name in [name for name in os.environ if name.startswith("SCIMD_") and name != "SCIMD_TEST_KEY"]:
        monkeypatch.delenv(name)
    made = Terminal(tmp_path / "scimd.toml")
    configure(made)
    ready(f"sqlite:///{tmp_path / 'scimd.db'}")
    yield made
    structlog.reset_defaults()


def configure(terminal: Terminal, more: str = "") -> None:
    database = f"sqlite:///{terminal.file.parent / 'scimd.db'}"
    terminal.file.write_text(CONFIG.format(database=database, more=more), encoding="utf-8")


def with_directory(terminal: Terminal, *organizations: str) -> None:
    source = file_source(terminal.file.parent)
    configure(terminal, "".join(f'[[organization]]\nname = "{name}"\n{source}' for name in organizations))


def paths(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command by its words, groups included."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from paths(below, (*path, name))


COMMANDS = [(path, command) for path, command in paths(typer.main.get_command(cli.app)) if not command.hidden]


@pytest.mark.parametrize(
    ("path", "command"), COMMANDS, ids=[" ".join(path) or "scimd" for path, _ in COMMANDS]
)
def test_every_command_explains_itself_and_takes_a_config(path: tuple[str, ...], command: Any) -> None:
    done = CliRunner().invoke(cli.app, [*path, "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert command.help.split(".")[0].split("\n")[0] in done.stdout
    assert done.stderr == ""
    if not hasattr(command, "commands"):
        # A replay makes an instance of its own, or asks one over HTTP.
        assert ("--config" in done.stdout) is (path[0] != "replay")
        # Processes that run until they are stopped have nothing to say in the end.
        assert ("--json" in done.stdout) is (path[0] not in ("serve", "worker"))


def test_every_word_of_a_command_is_explained() -> None:
    silent = [
        f"{' '.join(path)} {each.name}"
        for path, command in COMMANDS
        for each in command.params
        if each.name != "help" and not getattr(each, "help", None)
    ]
    assert silent == []


@pytest.mark.parametrize(
    "words", [("--status", "9"), ("--status", "99"), ("--status", "600"), ("--method", "FOO")]
)
def test_what_no_request_can_have_is_not_looked_for(terminal: Terminal, words: tuple[str, ...]) -> None:
    terminal.json("org", "create", "acme")
    done = terminal.run("scim-log", "list", *words)
    assert done.exit_code != 0
    assert words[0] in done.stderr
    assert "Value error" not in done.stderr
    assert terminal.json("scim-log", "list", "--status", "4", "--method", "post")["requests"] == []


def test_a_wrong_option_is_said_in_our_words(terminal: Terminal) -> None:
    for words, said in (
        (("user", "list", "--status", "gone"), "Invalid value for '--status': 'gone' is not one of"),
        (("user", "list", "--limit", "0"), "Invalid value for '--limit': must be greater than"),
    ):
        assert said in " ".join(terminal.run(*words).stderr.replace("│", "").split())


def test_json_is_one_document_on_standard_output_and_logs_go_to_standard_error(terminal: Terminal) -> None:
    assert terminal.json("org", "create", "acme", "--seats", "3")["name"] == "acme"
    with_directory(terminal, "acme")
    planned = terminal.json("plan", "hr", codes=(2,))
    assert [change["name"] for change in planned["changes"]] == ["dana"]
    applied = terminal.json("apply", planned["id"])
    assert (applied["state"], applied["counts"]["created"]) == ("done", 1)
    synced = terminal.run("sync", "hr", "--json")
    assert json.loads(synced.stdout)["counts"]["unchanged"] == 1
    logged = [json.loads(line)["event"] for line in synced.stderr.splitlines()]
    assert {"run_started", "run_ended"} <= set(logged)
    assert terminal.json("plan", "hr")["changes"] == []

    token = terminal.json("token", "create", "--source", "okta", "--expires", "90d")
    assert token.keys() == {"id", "token"}
    (listed,) = terminal.json("token", "list")
    assert token["token"] not in json.dumps(listed)
    assert terminal.json("token", "revoke", token["id"])["revoked"] is True
    assert [row["name"] for row in terminal.json("source", "list")] == ["hr", "okta"]
    assert terminal.json("source", "release", "hr", "--yes") == {"source": "hr", "people": 1, "mails": 0}
    assert terminal.json("run", "show", applied["id"])["id"] == applied["id"]
    assert {run["id"] for run in terminal.json("run", "list")} >= {applied["id"]}
    assert len(terminal.json("run", "report", applied["id"])["changes"]) == 1
    assert terminal.json("decide", "list") == []
    assert [row["user_name"] for row in terminal.json("user", "list")] == ["dana"]
    assert terminal.json("user", "show", "dana")["person"]["user_name"] == "dana"
    link = terminal.json("admin", "create", "root@acme.example", "--org", "acme")["link"]
    assert link.startswith("http://127.0.0.1:8080/sign-in/")
    assert terminal.json("migrate")["revision"]
    assert terminal.json("check", "--standing")["ok"] is True
    assert {row["name"] for row in terminal.json("org", "list")} >= {"acme"}


def test_a_plan_that_counts_no_longer_ends_with_5(terminal: Terminal) -> None:
    with_directory(terminal, "acme")
    planned = terminal.json("plan", "hr", codes=(2,))
    newer = terminal.json("sync", "hr")
    done = terminal.run("apply", planned["id"])
    assert (done.exit_code, done.stdout) == (5, "")
    assert f"The plan is expired: The newer run {newer['id']} took its place." in done.stderr
    assert f"scimd plan hr --config {terminal.file}" in " ".join(done.stderr.split())


def test_a_held_run_says_both_figures_and_an_approved_one_no_limit(terminal: Terminal) -> None:
    with_directory(terminal, "acme")
    users = terminal.file.parent / "directory" / "users.csv"
    users.with_suffix(".jsonl").unlink()
    head = "id,userName,email\n"
    users.write_text(head + "".join(f"{n},u{n},u{n}@acme.example\n" for n in range(8)))
    terminal.json("sync", "hr")
    terminal.json("seats", "set", "20")
    users.write_text(head + "7,u7,u7@acme.example\n")
    held = terminal.run("sync", "hr")
    said = " ".join(held.stdout.split())
    assert "Seats: 8 used before, 8 after while the rest is held, 1 after once it is approved, of 20." in said
    assert "limit: 7 of 8 people would be removed" in " ".join(held.stderr.split())
    run_id = terminal.json("run", "list")[0]["id"]
    done = terminal.run("apply", run_id)
    assert "Seats: 8 used before, 1 after, of 20." in " ".join(done.stdout.split())
    assert done.stderr == ""
    for report in ("show", "report"):
        said = terminal.run("run", report, run_id).stdout
        assert f"Correlation id in the audit and the log: {run_id}" in said
    kinds = {row["kind"] for row in terminal.json("audit", "list", "--correlation-id", run_id)}
    assert {"run.held", "plan.approved", "grant.dormant", "run.finished"} <= kinds


def test_what_is_wrong_is_said_in_one_sentence_with_exit_code_1(terminal: Terminal) -> None:
    assert "scimd org create" in terminal.refused("user", "list")
    terminal.json("org", "create", "acme")
    for words, said in (
        (("org", "create", "acme"), "acme"),
        (("org", "create", "Not A Name"), "small letters, digits and dashes"),
        (("org", "create", "b", "--seats", "3000000000"), "0 to 2147483647"),
        (("token", "create", "--source", "Entra ID"), "small letters, digits and dashes"),
        (("token", "client", "create", "--source", "Okta"), "small letters, digits and dashes"),
        (("user", "list", "--org", "nowhere"), "nowhere"),
        (("user", "show", "nobody@acme.example"), "nobody@acme.example"),
        (("sync", "nothing"), "nothing"),
        (("plan", "acme/nothing"), "acme/nothing"),
        (("apply", "no-such-run"), "no-such-run"),
        (("run", "show", "no-such-run"), "no-such-run"),
        (("run", "report", "no-such-run"), "no-such-run"),
        (("decide", "show", "no-such-item"), "no-such-item"),
        (("decide", "answer", "no-such-item", "link"), "no-such-item"),
        (("source", "release", "nothing", "--yes"), "nothing"),
        (("token", "create", "--source", "okta", "--expires", "soon"), "--expires"),
        (("token", "create", "--source", "okta", "--profile", "nobodys"), "one of default, rfc"),
        (("token", "revoke", "no-such-token"), "no-such-token"),
        (("admin", "create", "no address", "--org", "acme"), "no address"),
    ):
        assert said in terminal.refused(*words), words


def test_organization_is_asked_for_only_where_there_are_several(terminal: Terminal) -> None:
    terminal.json("org", "create", "acme")
    assert terminal.json("user", "list") == []
    terminal.json("org", "create", "globex")
    assert "acme, globex" in terminal.refused("user", "list")
    assert terminal.json("user", "list", "--org", "globex") == []


def test_source_of_two_organizations_is_named_with_its_organization(terminal: Terminal) -> None:
    with_directory(terminal, "acme", "globex")
    assert "say which of acme/hr, globex/hr" in terminal.refused("plan", "hr")
    assert terminal.json("source", "list") == []
    assert terminal.json("sync", "acme/hr")["counts"]["created"] == 1
    assert terminal.json("sync", "globex/hr")["counts"]["created"] == 1
    said = terminal.refused("sync", "hr")
    assert "acme/hr" in said
    assert "globex/hr" in said
    assert len(terminal.json("run", "list", "--source", "globex/hr", "--org", "globex")) == 1


# ------------------------------------------------------------------------------ the real program


def scimd(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SCIMD_")}
    return subprocess.run(
        [sys.executable, "-m", "scimd", *words],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=AT_MOST_S,
        check=False,
    )


def test_wrong_key_in_the_config_is_named_before_the_port_is_bound(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = tmp_path / "wrong.toml"
        file.write_text(
            f'[server]\nport = {port}\nprot = 1\n[database]\nurl = "sqlite:///{tmp_path}/scimd.db"\n'
        )
        done = scimd("serve", "--config", str(file))
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert f"{file}: server.prot: unknown key; allowed here: " in sentence
    assert "public_url" in sentence
    assert "cannot be bound" not in sentence  # the port is taken: nobody got as far as that
    assert not (tmp_path / "scimd.db").exists()


def test_taken_port_is_said_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        url = f"sqlite:///{tmp_path}/scimd.db"
        done = scimd("serve", SCIMD_SERVER__PORT=port, SCIMD_DATABASE__URL=url, SCIMD_LOG__LEVEL="error")
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert f"127.0.0.1:{port} cannot be bound" in sentence


def test_a_host_that_is_not_this_machines_is_said_by_its_own_key(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/scimd.db"
    done = scimd("serve", SCIMD_SERVER__HOST="192.0.2.1", SCIMD_DATABASE__URL=url, SCIMD_LOG__LEVEL="error")
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert "server.host: 192.0.2.1:8080 cannot be bound" in sentence


def test_postgresql_without_a_key_is_refused(postgres_url: str) -> None:
    done = scimd("serve", SCIMD_SERVER__PORT="0", SCIMD_DATABASE__URL=postgres_url)
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert "secrets.key" in sentence
    assert "openssl rand" in sentence


def test_wrong_usage_is_an_error_and_never_looks_like_a_plan_with_changes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = scimd("no-such-command")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr
    usage_error: Any = typer.BadParameter.__bases__[0]
    monkeypatch.setattr(usage_error, "exit_code", usage_error.exit_code)  # main() sets it, for good
    for words in (("plan",), ("sync", "hr", "--no-such-option")):
        monkeypatch.setattr(sys, "argv", ["scimd", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 1, words
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err


# ------------------------------------------------------------------------------ credentials


PUSHED = """
[[organization]]
name = "{name}"
seats = 7
[[organization.source]]
name = "okta"
state = "active"
"""


def test_a_token_is_made_for_what_only_the_file_knows(terminal: Terminal) -> None:
    configure(terminal, PUSHED.format(name="acme"))
    assert terminal.json("token", "create", "--source", "okta")["token"].startswith("scimd_")
    (source,) = terminal.json("source", "list")
    assert (source["name"], source["state"], source["declared_in"]) == ("okta", "active", "file")
    assert "7" in terminal.run("org", "list").stdout


def test_of_two_organizations_in_the_file_one_is_named(terminal: Terminal) -> None:
    configure(terminal, PUSHED.format(name="acme") + PUSHED.format(name="other"))
    assert "--org" in terminal.refused("token", "create", "--source", "okta")
    made = terminal.json("token", "client", "create", "--source", "okta", "--org", "other")
    assert made.keys() == {"client_id", "client_secret"}
    assert "nobody" in terminal.refused("token", "create", "--source", "okta", "--org", "nobody")


def test_a_source_that_the_file_added_is_made_as_the_file_has_it(terminal: Terminal) -> None:
    configure(terminal, PUSHED.format(name="acme"))
    terminal.json("token", "create", "--source", "okta")
    more = '[[organization.source]]\nname = "entra"\nstate = "active"\n'
    configure(terminal, PUSHED.format(name="acme") + more)
    terminal.json("token", "create", "--source", "entra")
    states = {row["name"]: row["state"] for row in terminal.json("source", "list")}
    assert states == {"okta": "active", "entra": "active"}


def test_tokens_have_scopes_and_successors(terminal: Terminal) -> None:
    terminal.json("org", "create", "acme")
    scopes = ("--scope", "users:read", "--scope", "groups:read")
    old = terminal.json("token", "create", "--source", "okta", *scopes)
    new = terminal.json("token", "rotate", old["id"], "--overlap", "2h")
    listed = {row["id"]: row for row in terminal.json("token", "list")}
    assert listed.keys() == {old["id"], new["id"]}
    assert {tuple(row["scopes"]) for row in listed.values()} == {("users:read", "groups:read")}
    assert listed[old["id"]]["expires_at"] is not None
    assert "users:read" in terminal.refused("token", "create", "--source", "okta", "--scope", "users")


def test_clients_are_made_listed_rotated_and_revoked(terminal: Terminal) -> None:
    terminal.json("org", "create", "acme")
    made = terminal.json("token", "client", "create", "--source", "okta", "--expires", "180d")
    second = terminal.json("token", "client", "rotate", made["client_id"])
    assert second["client_id"] == made["client_id"]
    assert second["client_secret"] != made["client_secret"]
    (listed,) = terminal.json("token", "client", "list")
    assert (listed["id"], len(listed["secrets"])) == (made["client_id"], 2)
    assert made["client_secret"] not in json.dumps(listed)
    shown = terminal.run("token", "client", "list")
    assert "okta client" in shown.stdout
    assert terminal.json("token", "client", "revoke", made["client_id"])["revoked"] is True
    assert "revoked" in terminal.refused("token", "client", "rotate", made["client_id"])
    told = terminal.run("token", "client", "create", "--source", "okta")
    assert "/oauth/token" in told.stdout


def test_api_tokens_are_made_listed_and_revoked(terminal: Terminal) -> None:
    terminal.json("org", "create", "acme")
    terminal.json("admin", "create", "ada@acme.example", "--org", "acme")
    own = terminal.json("token", "api", "create", "--person", "ada@acme.example")
    service = ("token", "api", "create", "--service", "billing")
    of_service = terminal.json(*service, "--permission", "users.read", "--expires", "never")
    listed = {row["id"]: row for row in terminal.json("token", "api", "list")}
    assert listed[own["id"]]["expires_at"] is not None
    assert listed[of_service["id"]]["expires_at"] is None
    assert own["token"] not in json.dumps(listed)
    assert "whatever the person may" in terminal.run("token", "api", "list").stdout
    assert terminal.json("token", "api", "revoke", own["id"])["revoked"] is True
    assert "permissions" in terminal.refused(*service)
    assert "--service" in terminal.refused("token", "api", "create")
    assert "nobody@" in terminal.refused("token", "api", "create", "--person", "nobody@acme.example")


def test_requests_are_traced_listed_exported_and_replayed(terminal: Terminal, tmp_path: Path) -> None:
    terminal.json("org", "create", "acme")
    token = terminal.json("token", "create", "--source", "okta")
    traced = terminal.json("token", "trace", token["id"], "--for", "2h")
    assert traced["trace_until"] is not None
    assert terminal.json("token", "trace", token["id"], "--off")["trace_until"] is None
    assert "at most 7d" in terminal.refused("token", "trace", token["id"], "--for", "9d")
    asyncio.run(_pushed(terminal.file, token["token"]))
    page = terminal.json("scim-log", "list", "--since", "1h", "--source", "okta")
    assert [row["status"] for row in page["requests"]] == [409, 201]
    assert "uniqueness" in terminal.run("scim-log", "list", "--errors").stdout
    by_name = terminal.json("scim-log", "list", "--person", "Anna")
    assert by_name["requests"] == page["requests"]
    assert terminal.json("scim-log", "list", "--person", "anna2")["requests"] == []
    for who, number in (("anna", 2), ("anna2", 0)):
        found = terminal.json("scim-log", "export-list", "--filter", f"person={who}")
        assert len(found["items"]) == number
    shown = terminal.run("scim-log", "show", page["requests"][1]["correlation_id"]).stdout
    assert "Ignored: shoeSize: scimd serves no such attribute" in shown
    assert "anna" not in shown
    bundle = tmp_path / "bundle.jsonl"
    assert terminal.json("scim-log", "export", str(bundle), "--source", "okta")["requests"] == 2
    assert b"anna" not in bundle.read_bytes()
    done = CliRunner().invoke(cli.app, ["replay", str(bundle), "--json"])
    assert (done.exit_code, json.loads(done.stdout)["same"]) == (0, 2), done.output
    bundle.write_bytes(bundle.read_bytes().replace(b'"status":409', b'"status":412'))
    assert CliRunner().invoke(cli.app, ["replay", str(bundle)]).exit_code == 2
    assert CliRunner().invoke(cli.app, ["replay", str(tmp_path / "none")]).exit_code == 1
    assert CliRunner().invoke(cli.app, ["replay", str(bundle), "--url", "http://127.0.0.1:1"]).exit_code == 1
    for since in ("2020-11-21T09:00", "2020-11-21T09:00Z", "2020-11-21T09:00:30+01:00", "2020-11-21", "90d"):
        assert len(terminal.json("scim-log", "list", "--since", since)["requests"]) == 2
    assert terminal.json("scim-log", "list", "--since", "2199-01-01")["requests"] == []
    for since in ("yesterday", "2020-13-01", "-1h", "1e9d"):
        assert "--since" in terminal.refused("scim-log", "list", "--since", since)


async def _pushed(file: Path, token: str) -> None:
    """The same user twice, through the server as it is put together."""
    config = configuration.load(file)
    async with opening.opened(config) as door, TestClient(TestServer(root.make_app(config, door))) as client:
        for _ in range(2):
            headers = {"Authorization": f"Bearer {token}"}
            await client.post("/scim/v2/Users", json={"userName": "anna", "shoeSize": 1}, headers=headers)


def test_an_account_without_a_name_is_told_by_its_number(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 10001")

    monkeypatch.setattr("getpass.getuser", nameless)
    terminal.run("org", "create", "acme")
    (entry, *_) = terminal.json("audit", "list")
    assert entry["actor_name"] == f"uid {os.getuid()} (CLI)"


def test_what_was_done_is_said_word_by_word(terminal: Terminal) -> None:
    terminal.run("org", "create", "acme")
    assert terminal.run("project", "create", "[red] team").stdout == "The project [red] team is there.\n"
