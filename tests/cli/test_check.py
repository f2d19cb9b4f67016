"""What ``scimd check`` says of a file that reads well, and `serve` could not go by, or not wholly."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
import structlog

from scimd import app as composition
from scimd import config, opening
from tests.scim.signed import RSA, key_set
from tests.support.daemon import Here

_DAEMON = """
[server]
port = 0
worker = false
[database]
url = "sqlite:///{folder}/scimd.db"
"""
ACME = "organization acme"
_ACME = """
[[organization]]
name = "acme"
[[organization.source]]
name = "okta"
"""
_JWT = """
[organization.source.jwt]
issuer = "https://login.acme.example"
audience = "scimd"
jwks_file = "{file}"
subjects = ["scim-push"]
"""


@pytest.fixture
def acme(tmp_path: Path) -> Here:
    """``okta`` of the file, ``entra`` of the database, and another organization with a domain."""
    here, keys = Here(tmp_path, ""), tmp_path / "keys.json"
    keys.write_bytes(key_set(RSA))
    say(here, _ACME + _JWT.format(file=keys))
    here.ok("token", "create", "--org", "acme", "--source", "okta")
    here.ok("token", "create", "--org", "acme", "--source", "entra")
    here.ok("org", "create", "other")
    here.ok("domain", "add", "o.example", "--org", "other", "--declare")
    return here


def _told(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join((done.stdout + done.stderr).split())


def say(here: Here, text: str) -> None:
    here.file.write_text(_DAEMON.format(folder=here.folder) + text, encoding="utf-8")


def faults(here: Here) -> list[str]:
    """What check finds, each without the file at its beginning."""
    found = here.ok("check", codes=(0, 1))
    assert found["ok"] == any("nothing wrong" in each for each in found["passed"])
    beginning = f"{here.file}: "
    assert all(each.startswith(beginning) for each in found["faults"])
    return [each.removeprefix(beginning) for each in found["faults"]]


def started(here: Here) -> tuple[list[str], list[str]]:
    """Why `serve` holds what at its start, and what it warns of."""
    loaded = config.load(here.file)

    async def start() -> None:
        async with opening.opened(loaded) as door:
            await composition._declare(loaded, door)

    with structlog.testing.capture_logs() as said:
        asyncio.run(start())
    held = [line["why"] for line in said if line["event"] == "config_change_held"]
    return held, [line["what"] for line in said if line["event"] == "config_leads_nowhere"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[[organization]]\nname = 'third'\ndomains = ['O.example']\n",
            "organization third: domains: o.example is the organization other's. Take it out here",
        ),
        (
            f"{_ACME}priority = 20\n",
            "organization acme, source okta: priority: 20 is that of the source entra. Give another",
        ),
        (
            "[[organization]]\nname = 'third'\n[[organization.source]]\nname = 's'\n"
            + _JWT.format(file="KEYS"),
            "organization third, source s: jwt: issuer and audience are those of acme/okta, and a pair",
        ),
    ],
)
def test_what_is_somebody_elses_is_said_by_check_and_held_at_start(acme: Here, text: str, said: str) -> None:
    assert faults(acme) == []
    say(acme, text.replace("KEYS", str(acme.folder / "keys.json")))
    (found,) = faults(acme)
    assert found.startswith(said)
    (why,), warned = started(acme)
    assert (found.endswith(why.removesuffix(" No approval lets that through.")), warned) == (True, [])
    assert faults(acme) == [found], "and it is held"


def test_what_leads_nowhere_is_said_by_check_and_warned_of_at_start(acme: Here) -> None:
    at = "organization acme, source okta"
    roles = "here; there are account-admin, auditor, manager, user"
    text = (
        _ACME
        + 'ceiling = "boss"\n[[organization.source.rule]]\nnumber = 7\ngroup = "g"\nrole = "manger"\n'
        + _JWT.format(file="/nowhere/keys.json")
        + '[organization.oidc]\nissuer = "https://login.acme.example"\nclient_id = "c"\n'
        + f'client_secret = "file:{acme.folder}/keys.json"\nsource = "google"\n'
    )
    say(acme, text)
    found = [
        f"{at}: ceiling: there is no role 'boss' {roles}. The source gives nobody a role with permissions",
        f"{at}: rule 7: role: there is no role 'manger' {roles}. The rule gives nobody a role",
        f"{ACME}: oidc.source: there is no source 'google'; there are entra, okta. Nobody is found by sub",
        f"{at}: jwt.jwks_file: /nowhere/keys.json cannot be read: No such file or directory",
    ]
    assert faults(acme) == found
    assert started(acme) == ([], found)
    say(acme, text.replace("/nowhere/keys.json", f"{acme.folder}/keys.json"))
    acme.ok("role", "create", "boss", "--org", "acme")
    acme.ok("role", "create", "manger", "--org", "acme")
    acme.ok("token", "create", "--org", "acme", "--source", "google")
    assert faults(acme) == []
    assert started(acme) == ([], [])


@pytest.mark.parametrize(
    ("content", "said"),
    [("{}", "is not a JWK Set"), ('{"keys": []}', "holds no public key that can be used")],
)
def test_a_file_without_keys_is_said(acme: Here, content: str, said: str) -> None:
    (acme.folder / "keys.json").write_text(content)
    (found,) = faults(acme)
    assert found.startswith("organization acme, source okta: jwt.jwks_file: ")
    assert said in found


def test_before_there_is_a_database_what_leads_nowhere_is_said_too(tmp_path: Path) -> None:
    here = Here(tmp_path, "")
    rule = '[[organization.source.rule]]\nnumber = 1\ngroup = "g"\nrole = "manger"\n'
    say(here, f'[mail]\nto = "folder"\nfolder = "{here.file}/mails"\n{_ACME}{rule}')
    folder, role = faults(here)
    assert folder == f"mail.folder: nothing can be written in {here.file}"
    assert role.startswith("organization acme, source okta: rule 1: role: there is no role 'manger' here")


def test_check_says_whether_an_older_key_may_go(tmp_path: Path) -> None:
    here, old, new = Here(tmp_path, ""), tmp_path / "old.key", tmp_path / "new.key"
    old.write_text("o" * 32)
    new.write_text("n" * 32)
    say(here, f'[secrets]\nkey = ["file:{old}"]')
    here.ok("org", "create", "acme")
    say(here, f'[secrets]\nkey = ["file:{new}", "file:{old}"]')
    assert "secrets.key: key 2 is needed no more; take it out and restart" in here.ok("check")["passed"]
    here.ok("admin", "create", "a@acme.example", "--org", "acme")
    assert any(
        each.startswith("secrets.key: key 2 is still needed: it may have signed 1 open link, the last until")
        for each in here.ok("check")["passed"]
    )


_HR = """
[[organization]]
name = "acme"
[[organization.source]]
name = "hr"
connector = "file"
state = "active"
[organization.source.groups]
default = "none"
[[organization.source.rule]]
number = 1
pattern = "Eng"
project = "{project}"
[organization.source.settings]
path = "{folder}"
"""


@pytest.fixture
def hr(tmp_path: Path) -> Here:
    """Twelve people of a directory of files, all in one project by a rule of the file."""
    here, folder = Here(tmp_path, ""), tmp_path / "one"
    folder.mkdir()
    (tmp_path / "two").mkdir()
    rows = "".join(f"{n},u{n},u{n}@acme.example\n" for n in range(12))
    (folder / "users.csv").write_text(f"id,userName,email\n{rows}")
    (folder / "groups.csv").write_text(f"id,displayName,members\ng1,Eng,{';'.join(map(str, range(12)))}\n")
    shutil.copytree(folder, tmp_path / "two", dirs_exist_ok=True)
    say(here, _HR.format(project="One", folder=folder))
    here.ok("sync", "hr")
    return here


def test_a_held_change_of_the_file_is_said_until_it_is_accepted(hr: Here) -> None:
    say(hr, _HR.format(project="Two", folder=hr.folder / "one"))
    assert faults(hr) == [], "nobody knows yet"
    assert any("what it says of the source hr counts once" in each for each in hr.ok("check")["passed"])
    assert hr.ok("org", "accept", "acme", "--dry-run")["held"]
    (why,), _ = started(hr)
    (found,) = faults(hr)
    assert why in found
    assert found.startswith(
        f"{ACME}: what it says of the source hr is held: Of people of the source hr: the "
    )
    assert found.endswith("or let through what they alone hold: scimd org accept acme")
    (row,) = hr.ok("source", "list")
    assert "One would lose 12 of 12" in row["held"]
    assert "One would lose 12 of 12" in hr.run("rule", "list", "--source", "hr").stderr
    assert hr.run("org", "accept", "acme").returncode == 1, "it asks"
    assert hr.ok("org", "accept", "acme", "--yes")["accepted"]
    assert faults(hr) == []
    assert [row["project"] for row in hr.ok("rule", "list", "--source", "hr")] == ["Two"]
    assert hr.ok("org", "accept", "acme", "--yes") == {
        "name": "acme",
        "changes": [],
        "held": [],
        "never": {},
        "read_otherwise": {},
        "accepted": False,
    }


def test_limits_raised_in_the_file_are_no_fault_before_the_start(hr: Here) -> None:
    say(hr, _HR.format(project="Two", folder=hr.folder / "one"))
    started(hr)
    wide = "[organization.source.limits]\nmembers_percent = 100\ngroups_percent = 100\n"
    say(hr, _HR.format(project="Two", folder=hr.folder / "one") + wide)
    assert faults(hr) == []


def test_commands_say_that_the_file_is_another_than_what_counts(hr: Here) -> None:
    assert "was changed" not in hr.run("plan", "hr").stderr
    say(hr, _HR.format(project="One", folder=hr.folder / "two"))
    for words in (("plan", "hr"), ("sync", "hr")):
        assert "what it says of the source acme/hr counts once" in " ".join(hr.run(*words).stderr.split())
    with contextlib.closing(sqlite3.connect(hr.folder / "scimd.db")) as database:
        database.execute("update sources set quarantined_since = created_at, quarantine_cause = 'it is away'")
        database.commit()
    (last,) = [each for each in hr.ok("check", "hr")["passed"] if "quarantine" in each]
    assert "it stays in quarantine until scimd serve is started again" in last
    assert hr.ok("source", "show", "hr")["quarantined_since"]


# ------------------------------------------------------------------------------ what nobody lets through


_ADMINS = """[[organization.source.rule]]
number = 2
pattern = "Admins"
role = "account-admin"
may_give_account_admin = true
[organization.source.limits]
new_admins = 1
"""


@pytest.fixture
def one_admin(hr: Here) -> Here:
    """The source gives its one Account Admin the role by a rule, which its file has no more."""
    with (hr.folder / "one" / "groups.csv").open("a") as groups:
        groups.write("g2,Admins,3\n")
    at = "[organization.source.settings]"
    head, settings = _HR.format(project="One", folder=hr.folder / "one").split(at)
    head = head.replace("[organization.source.groups]", 'invite = "never"\n[organization.source.groups]')
    say(hr, f"{head}{_ADMINS}{at}{settings}")
    hr.ok("org", "accept", "acme", "--yes")
    hr.ok("sync", "hr")
    say(hr, f"{head}{at}{settings}")
    return hr


def test_an_edit_that_takes_the_last_account_admin_is_held_and_said_everywhere(one_admin: Here) -> None:
    (found,) = faults(one_admin)
    assert found.startswith(f"{ACME}: what it says of the source hr is held: u3 cannot be deactivated")
    assert found.endswith("No approval lets that through.")
    (why,), _ = started(one_admin)
    assert why in found
    assert faults(one_admin) == [found]
    (row,) = one_admin.ok("source", "list")
    assert row["held"].startswith(why)
    assert why in " ".join(one_admin.run("rule", "list", "--source", "hr").stderr.split())
    assert one_admin.ok("org", "accept", "acme", "--dry-run")["never"] == {"hr": why}
    done = one_admin.run("org", "accept", "acme", "--yes")
    assert (done.returncode, f"the source hr: {why}" in " ".join(done.stderr.split())) == (1, True)
    assert [row["number"] for row in one_admin.ok("rule", "list", "--source", "hr")] == [1, 2]


def test_a_domain_that_is_held_is_told_with_the_sources_though_it_is_none(acme: Here) -> None:
    say(acme, "[[organization]]\nname = 'third'\ndomains = ['O.example']\n")
    started(acme)
    said = " ".join(acme.run("source", "list").stderr.split())
    assert "What the config file says in third of the domains is held: domains: o.example is the" in said


def test_a_source_that_is_held_is_made_by_no_command(acme: Here) -> None:
    keys = _JWT.format(file=acme.folder / "keys.json")
    say(acme, f"[[organization]]\nname = 'third'\n[[organization.source]]\nname = 's'\n{keys}")
    for words in (("token", "create", "--org", "third", "--source", "s"), ("plan", "third/s")):
        done = acme.run(*words)
        assert (done.returncode, "s is not made: jwt: issuer and" in _told(done)) == (
            1,
            True,
        )
    assert all(row["name"] != "s" for row in acme.ok("source", "list"))


def test_a_plan_of_a_new_source_lets_nothing_else_of_the_file_count(hr: Here) -> None:
    new = f"""
[[organization.source]]
name = "new"
connector = "file"
settings = {{ path = "{hr.folder}/none.csv" }}
"""
    say(hr, _HR.format(project="Two", folder=hr.folder) + new)
    assert "No such file" in hr.run("plan", "new").stderr
    assert [row["name"] for row in hr.ok("source", "list")] == ["hr", "new"]
    assert hr.ok("org", "accept", "acme", "--dry-run")["changes"] == ["hr"]


# ------------------------------------------------------------------------------ before it counts


def test_plan_and_sync_say_that_the_file_does_not_name_the_source_any_more(hr: Here) -> None:
    say(hr, "")
    for command in ("plan", "sync"):
        assert "does not name the source acme/hr any more: once scimd serve" in _told(hr.run(command, "hr"))


def test_check_says_that_a_serve_with_another_file_has_a_source_read_by_nobody(hr: Here) -> None:
    ours = hr.file.read_text("utf-8")
    assert "nothing reads it" not in str(hr.ok("check"))
    say(hr, "")
    started(hr)
    hr.file.write_text(ours, encoding="utf-8")
    assert "source acme/hr: nothing reads it before scimd serve is started with this file" in str(
        hr.ok("check")
    )
    started(hr)
    assert "nothing reads it" not in str(hr.ok("check"))


def test_the_end_of_a_source_is_asked_about_for_programs_too(hr: Here) -> None:
    wide = "[organization.source.limits]\nremovals_count = 99\nremovals_half_from = 99\ngroups_count = 9\n"
    for text in (_HR.format(project="One", folder=hr.folder / "one") + wide, ""):
        say(hr, text)
        started(hr)
    assert hr.run("source", "end", "hr", "--remove", "--json").returncode == 1, "it asks"
    assert [row["name"] for row in hr.ok("source", "list")] == ["hr"]
    assert hr.ok("source", "end", "hr", "--remove", "--yes")["ended"]


def test_a_plan_is_made_by_the_file_as_it_is_now_and_is_not_kept(hr: Here) -> None:
    (hr.folder / "two" / "users.csv").write_text("id,userName,email\n0,new,u0@acme.example\n")
    say(hr, _HR.format(project="One", folder=hr.folder / "two"))
    seen = hr.ok("org", "accept", "acme", "--dry-run")
    assert (seen["changes"], seen["read_otherwise"]) == (["hr"], {"hr": ["settings"]})
    said = _told(hr.run("org", "accept", "acme", "--dry-run"))
    assert "The next run of hr would read otherwise (settings); what it would do: scimd plan acme/hr" in said
    runs, people = hr.ok("run", "list"), hr.ok("user", "list")
    plan = hr.ok("plan", "hr", codes=(3,))
    assert (plan["id"], plan["counts"]["updated"]) == (None, 1)
    (renamed,) = [change for change in plan["changes"] if change["external_id"] == "0"]
    assert (renamed["old"]["userName"], renamed["new"]["userName"]) == ("u0", "new")
    assert sum(change["outcome"] == "staged" for change in plan["changes"]) == plan["counts"]["held"]
    said = _told(hr.run("plan", "hr"))
    assert "This is what a run would do then; nothing is kept." in said
    assert "Apply it within 24 hours" not in said
    assert (hr.ok("run", "list"), hr.ok("user", "list")) == (runs, people)
    assert hr.ok("sync", "hr")["counts"]["updated"] == 0, "here counts what was before"


def test_a_source_that_cannot_be_read_as_the_file_has_it_has_not_failed(hr: Here) -> None:
    say(hr, _HR.format(project="One", folder=hr.folder / "nowhere"))
    done = hr.run("plan", "hr")
    assert (done.returncode, "nowhere" in _told(done)) == (1, True)
    assert hr.ok("source", "show", "hr")["failures"] == 0
    assert [row["state"] for row in hr.ok("run", "list")] == ["done"]
