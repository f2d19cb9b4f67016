"""The commands by which an operator changes an organization by hand, from end to end."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scimd import config as configuration
from scimd.cli import common
from scimd.cli.source_toml import source_toml
from scimd.core.people import OrgId, RoleName, SourceId
from scimd.org.audit import verifying
from scimd.org.audit.verifying import Verification
from scimd.org.sources import source_ends
from scimd.org.sources.sources import SourceRecord, as_json
from scimd.org.tx import Door
from tests.cli.test_commands import Terminal, terminal  # noqa: F401 - a fixture


@pytest.fixture
def acme(terminal: Terminal) -> Terminal:  # noqa: F811
    terminal.json("org", "create", "acme", "--seats", "5")
    return terminal


def shown(acme: Terminal, who: str) -> dict[str, Any]:
    found: dict[str, Any] = acme.json("user", "show", who)["person"]
    return found


def test_a_persons_life_by_hand(acme: Terminal) -> None:
    acme.json("team", "create", "Red")
    acme.json("project", "create", "Alpha")
    acme.json("licence", "create", "Studio")
    made = acme.json(
        "user",
        "add",
        "ann@acme.example",
        "--display-name",
        "Ann Ó",
        "--project",
        "Alpha=owner",
        "--team",
        "Red",
    )
    assert [each["name"] for each in shown(acme, made["id"])["projects"]] == ["Alpha"]
    acme.json("user", "edit", "ann", "--user-name", "annie", "--email", "annie@acme.example")
    acme.json("user", "role", "annie", "--set", "manager")
    assert shown(acme, "annie")["primary_role"] == "manager"
    acme.json("user", "role", "annie", "--add", "auditor")
    acme.json("user", "role", "annie", "--remove", "auditor")
    acme.json("user", "role", "annie", "--set", "user")
    acme.json("user", "team", "annie", "--none")
    acme.json("user", "licence", "annie", "--give", "studio")
    acme.json("user", "project", "annie", "--add", "General", "--role", "viewer")
    acme.json("user", "project", "annie", "--remove", "alpha")
    assert [each["name"] for each in shown(acme, "annie")["projects"]] == ["General"]
    for verb, status, cause in (
        ("disable", "inactive", "disabled"),
        ("enable", "pending", "invited"),
        ("deactivate --yes", "inactive", "deactivated"),
        ("reactivate", "pending", "invited"),
    ):
        assert acme.json("user", *verb.split(), "annie") == [{"id": "annie", "done": True}]
        person = shown(acme, "annie")
        assert (person["status"], person["causes"][0].partition(":")[0]) == (status, cause)
    acme.json("user", "reset-password", "annie")
    acme.json("user", "delete", "annie", "--yes")
    assert acme.json("user", "list") == []
    acme.json("user", "restore", "annie")
    assert [row["user_name"] for row in acme.json("user", "list")] == ["annie"]
    assert acme.json("seats", "show")["used"] == 1


def test_many_have_a_line_each_and_one_refusal_is_exit_code_1(acme: Terminal) -> None:
    acme.json("user", "add", "ann@acme.example")
    rows = acme.json("user", "disable", "ann", "nobody", codes=(1,))
    assert [(row["id"], row["done"]) for row in rows] == [("ann", True), ("nobody", False)]
    assert rows[1]["code"] == "not_found"
    done = acme.run("user", "enable", "ann", "nobody")
    assert done.exit_code == 1
    assert "ann: enabled" in done.stdout
    assert "nobody: There is no person 'nobody' here." in done.stdout


def test_dangerous_commands_ask_first(acme: Terminal) -> None:
    acme.json("user", "add", "ann@acme.example")
    for words in (
        ("deactivate", "ann"),
        ("delete", "ann"),
        ("move", "ann", "--to", "acme"),
        ("merge", "ann", "ann"),
    ):
        for more in ((), ("--json",)):
            asked = acme.run("user", *words, *more)
            assert (asked.exit_code, "[y/N]" in (asked.stderr if more else asked.stdout)) == (1, True)
            assert shown(acme, "ann")["status"] == "pending"
    assert acme.run("user", "delete", "ann", "--yes").exit_code == 0


def test_a_service_account_and_a_move(acme: Terminal) -> None:
    acme.json("user", "add-service", "deploy", "--owner", "ann@acme.example")
    assert shown(acme, "deploy")["status"] == "active"
    acme.json("user", "edit", "deploy", "--owner", "Bob")
    assert shown(acme, "deploy")["owner"] == "Bob"
    for command in (("show", "deploy"), ("list", "--columns", "owner"), ("export",)):
        assert "Bob" in acme.run("user", *command).stdout
    acme.json("org", "create", "globex")
    acme.json("user", "add", "ann@acme.example", "--org", "acme")
    acme.json("user", "move", "ann", "--to", "globex", "--org", "acme", "--yes")
    assert [row["email"] for row in acme.json("user", "list", "--org", "globex")] == ["ann@acme.example"]


def test_invitations_from_the_first_to_the_last(acme: Terminal) -> None:
    rows = acme.json("invitation", "create", "ann@acme.example", "nonsense", "--message", "Hello", codes=(1,))
    assert [row["done"] for row in rows] == [True, False]
    (listed,) = acme.json("invitation", "list")
    assert (listed["address"], listed["message"]) == ("ann@acme.example", "Hello")
    acme.json("invitation", "edit", listed["id"], "--role", "manager")
    assert shown(acme, "ann")["primary_role"] == "manager"
    acme.json("invitation", "resend", listed["id"])
    link = acme.json("invitation", "copy-link", listed["id"])["link"]
    assert link.startswith("http://127.0.0.1:8080/invitation/")
    acme.json("invitation", "withdraw", listed["id"])
    assert acme.json("invitation", "list", "--status", "cancelled")[0]["id"] == listed["id"]
    acme.json("invitation", "delete", listed["id"])
    assert acme.json("invitation", "list") == []


def test_names_of_projects_teams_licences_and_roles(acme: Terminal) -> None:
    for noun in ("team", "licence"):
        acme.json(noun, "create", "One")
        acme.json(noun, "rename", "one", "Two")
        assert [row["name"] for row in acme.json(noun, "list")] == ["Two"]
        acme.json(noun, "delete", "Two")
        assert acme.json(noun, "list") == []
    acme.json("project", "create", "Alpha")
    acme.json("project", "rename", "alpha", "Beta")
    made = next(row for row in acme.json("project", "list") if row["name"] == "Beta")
    acme.json("project", "archive", "Beta")
    assert [row["name"] for row in acme.json("project", "list", "--archived")] == ["Beta"]
    acme.json("project", "archive", made["id"], "--undo")
    assert acme.json("project", "show", "Beta") == []
    acme.json("role", "create", "helpdesk", "--permission", "users.read")
    acme.json("role", "change", "helpdesk", "--no-projects")
    found = next(row for row in acme.json("role", "list") if row["name"] == "helpdesk")
    assert (found["permissions"], found["may_hold_projects"]) == (["users.read"], False)
    acme.json("role", "delete", "helpdesk")


def test_limits_of_projects_and_licences(acme: Terminal) -> None:
    """K5, P6."""
    acme.json("project", "create", "Apollo", "--limit", "1")
    acme.json("licence", "create", "Pro")
    assert acme.json("licence", "limit", "pro", "1")["limit"] == 1
    acme.json("user", "add", "ann@acme.example", "--project", "Apollo")
    refused = acme.refused("user", "add", "bob@acme.example", "--project", "Apollo")
    assert "Limit of the project 'Apollo' reached: 1 of 1 used. bob@acme.example was not created." in refused
    (apollo,) = [row for row in acme.json("project", "list") if row["name"] == "Apollo"]
    assert (apollo["people"], apollo["limit"], apollo["waiting"]) == (1, 1, 0)
    assert acme.json("project", "limit", "apollo", "unlimited")["limit"] is None
    acme.json("user", "add", "bob@acme.example", "--project", "Apollo")


def test_people_of_whom_only_a_lapsed_invitation_is_left_are_listed_apart(acme: Terminal) -> None:
    acme.json("invitation", "create", "ann@home.example")
    (ann,) = acme.json("user", "list")
    (invitation,) = acme.json("invitation", "list")
    acme.json("invitation", "withdraw", invitation["id"])
    assert acme.json("user", "list") == []
    assert [row["id"] for row in acme.json("user", "list", "--lapsed")] == [ann["id"]]
    assert acme.json("user", "list", "--waiting-for", ann["id"]) == []


def test_domains_seats_sessions_attempts_and_audit(acme: Terminal) -> None:
    claimed = acme.json("domain", "add", "widgets.example")
    assert claimed["value"].startswith("scimd-verification=")
    acme.json("domain", "add", "acme.example", "--declare")
    assert [row["verified_by"] for row in acme.json("domain", "list")] == ["operator", "dns"]
    acme.json("domain", "remove", "widgets.example")
    assert acme.json("seats", "set", "7")["limit"] == 7
    assert acme.json("seats", "set", "unlimited")["limit"] is None
    assert acme.json("session", "list") == []
    assert acme.json("login-attempt", "list") == []
    assert acme.json("audit", "verify")["faults"] == []


def test_what_takes_long_says_how_far_it_has_come(acme: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    acme.json("token", "create", "--source", "okta")
    left = iter((12_500, 12_000, 9_000, 6_500, 6_000, None))  # the first is of the call that begins it

    async def go_on(*_: object) -> int | None:
        return next(left)

    async def verify(door: Door, org_id: OrgId, progress: Callable[[int], None]) -> Verification:
        progress(20_000)
        return Verification(20_001, 0, 0, ())

    monkeypatch.setattr(source_ends, "go_on", go_on)
    monkeypatch.setattr(verifying, "verify", verify)
    done = acme.run("source", "end", "okta", "--remove", "--yes")
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert lines == ["12000 people are left.", "6500 people are left."]
    assert "okta was ended." in done.stdout
    done = acme.run("audit", "verify")
    assert "20000 entries so far." in done.stderr
    assert "20001 entries" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("user", "add", "nonsense"), "one mail address"),
        (("user", "add", "a@b.example", "--role", "boss"), "there is no role"),
        (("user", "add", "a@b.example", "--project", "Nowhere"), "Nowhere"),
        (("project", "rename", "Nowhere", "X"), "Nowhere"),
        (("project", "archive", "General"), "default project"),
        (("role", "delete", "manager"), "built in"),
        (("domain", "verify", "widgets.example"), "widgets.example"),
        (("domain", "add", "nonsense"), "is not a domain"),
        (("invitation", "copy-link", "nothing"), "nothing"),
        (("invitation", "create", "a@b.example", "--valid-for", "1s"), "between a minute and 90 days"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(acme: Terminal, words: tuple[str, ...], said: str) -> None:
    assert said in acme.refused(*words)


def test_settings_and_partners(acme: Terminal) -> None:
    acme.json("project", "create", "Lobby")
    changed = acme.json(
        "org", "set", "acme", "--default-project", "Lobby", "--approval", "--display-name", "Acme Corp"
    )
    assert (changed["display_name"], changed["approval_required"]) == ("Acme Corp", True)
    acme.json("partner", "create", "reseller")
    acme.json("partner", "assign", "reseller", "--org", "acme")
    assert [row["organization"] for row in acme.json("partner", "list")] == ["acme"]
    acme.json("user", "add", "ann@acme.example", "--org", "acme")
    (waiting,) = acme.json("partner", "queue", "reseller")
    acme.json("user", "approve", waiting["person_id"], "--org", "acme")
    assert acme.json("partner", "queue", "reseller") == []
    acme.json("partner", "assign", "reseller", "--org", "acme", "--undo")
    assert acme.json("partner", "list") == []
    assert acme.json("seats", "history", "--org", "acme") == []


def test_link_unlink_and_merge(acme: Terminal) -> None:
    """R16."""
    acme.json("token", "create", "--source", "okta")
    ann = acme.json("user", "add", "ann@acme.example")["id"]
    twin = acme.json("user", "add", "twin@acme.example")["id"]
    linked = acme.json("user", "link", "ann", "--source", "okta", "--entry", "x-ann")
    assert linked["linked"] is False
    assert "assertion of this person" in acme.refused("user", "unlink", "ann", "--source", "okta")
    assert acme.run("user", "merge", "ann", "twin").exit_code == 1  # nobody answers
    assert acme.run("user", "merge", "ann", "twin", "--dry-run").exit_code == 0  # and nobody is asked
    assert acme.json("user", "merge", "ann", "twin", "--yes") == {"id": ann, "merged": twin}
    assert shown(acme, twin)["id"] == ann
    assert "one and the same" in acme.refused("user", "merge", "ann", twin, "--yes")


def test_explain_names_things_and_orders_them(acme: Terminal) -> None:
    """P10."""
    acme.json("project", "create", "Alpha")
    acme.json("user", "add", "ann@acme.example", "--project", "Alpha=owner", "--role", "auditor")
    acme.json("user", "disable", "ann")
    found = acme.json("user", "explain", "ann")
    assert found["status"] == "inactive"
    about = [reason["about"] for reason in found["reasons"]]
    assert about[0] == "status"
    assert "project:Alpha" in about
    disabled = found["reasons"][0]
    assert disabled["fact"].startswith("disabled by ")
    assert "no source undoes" in disabled["why"]
    printed = acme.run("user", "explain", "ann").stdout
    assert "project:Alpha" in printed
    assert "Inactive: disabled" in printed
    acme.json("user", "add-service", "bot", "--owner", "ops@acme.example")
    assert acme.json("user", "explain", "bot")["service_owner"] == "ops@acme.example"
    assert "ops@acme.example answers for it" in acme.run("user", "explain", "bot").stdout


def test_the_audit_is_listed_and_narrowed(acme: Terminal) -> None:
    ann = acme.json("user", "add", "ann@acme.example")["id"]
    acme.json("user", "disable", "ann")
    mine = acme.json("audit", "list", "--target", ann)
    assert mine[0]["at"] >= mine[-1]["at"]
    (made,) = acme.json("audit", "list", "--target", ann, "--kind", "person.created")
    assert made["after"]["address"] == "ann@acme.example"
    assert acme.json("audit", "list", "--actor", "cli", "--since", "2099-01-01") == []
    first = acme.json("audit", "list", "--oldest-first", "--limit", "1")[0]["id"]
    rest = acme.json("audit", "list", "--oldest-first", "--after", first)
    assert first not in [row["id"] for row in rest]
    assert len(rest) + 1 == len(acme.json("audit", "list", "--limit", "10000"))
    assert "There is more: --after" in acme.run("audit", "list", "--limit", "1").stdout
    assert acme.json("org", "show", "acme")["seats"] == 5


def test_a_source_is_shown_exported_paused_and_resumed(acme: Terminal) -> None:
    acme.json("token", "create", "--source", "okta")
    assert acme.json("source", "show", "okta")["config"]["connector"] == "scim"
    exported = tomllib.loads(acme.run("source", "export", "okta").stdout)
    (organization,) = exported["organization"]
    (source,) = organization["source"]
    assert (organization["name"], source["name"], source["state"]) == ("acme", "okta", "staged")
    configuration.Source.model_validate(source)
    assert acme.json("source", "pause", "okta")["state"] == "paused"
    assert acme.json("source", "resume", "acme/okta")["state"] == "staged"
    assert acme.run("source", "release", "okta", "--json").exit_code == 1  # nobody answers
    assert acme.json("source", "show", "okta")["state"] == "staged"
    acme.json("source", "release", "okta", "--yes")
    assert "only a staged one is released" in acme.refused("source", "release", "okta")  # and is not asked
    acme.json("source", "pause", "okta")
    assert acme.json("source", "resume", "okta")["state"] == "active"
    assert "is active, not paused" in acme.refused("source", "resume", "okta")


def test_an_exported_source_reads_back_as_it_was() -> None:
    wanted = configuration.Source.model_validate(
        {
            "name": "hr",
            "connector": "file",
            "priority": 3,
            "join": ["mail"],
            "settings": {"path": '/srv/"odd"\\é', "nested": {"a b": [1, 2.5, True]}},
            "rule": [
                {"number": 1, "group": "x", "project": "Alpha", "project_role": "owner"},
                {"number": 2, "pattern": "eng-*", "role": "manager"},
            ],
            "limits": {"removals_count": 7},
        }
    )
    record = SourceRecord(
        org_id=OrgId("o"), org_slug="acme", id=SourceId("s"), name="hr", kind="connector", connector="file",
        priority=3, state="staged", invite="immediate", ceiling=RoleName("manager"), declared_in="file",
        config=as_json(wanted), config_version=1, user_count=0, group_count=0, failures=0,
        paused_from=None, last_success_at=None, last_full_at=None, next_run_at=None, quarantined_since=None,
        quarantine_cause=None, cursor=None, released_at=None, created_at=datetime.now(UTC),
    )  # fmt: skip
    (organization,) = tomllib.loads(source_toml(record))["organization"]
    assert configuration.Source.model_validate(organization["source"][0]) == wanted


def test_rules_are_previewed_and_changed(acme: Terminal) -> None:
    """P11."""
    acme.json("token", "create", "--source", "okta")
    new = ("--source", "okta", "--pattern", "eng-*", "--team", "Red")
    assert acme.json("rule", "add", *new, "--dry-run")["applied"] is False
    assert acme.json("rule", "list", "--source", "okta") == []
    assert acme.json("rule", "add", *new)["preview"]["concerned"] == 0
    acme.json("rule", "change", "1", "--source", "okta", "--group", "g1", "--project", "Alpha", "--team", "")
    (rule,) = acme.json("rule", "list", "--source", "okta")
    assert (rule["group"], rule["pattern"], rule["team"], rule["project"]) == ("g1", None, None, "Alpha")
    assert "group g1" in acme.run("rule", "list", "--source", "okta").stdout
    assert "at least one of project" in acme.refused(
        "rule", "change", "1", "--source", "okta", "--project", ""
    )
    assert "Nobody gains" in acme.run("rule", "remove", "1", "--source", "okta").stdout
    assert acme.json("group", "list") == []


def test_u19_people_come_from_a_file_once_it_is_approved(acme: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("email,role\nann@acme.example,\nbo@acme.example,king\n", encoding="utf-8-sig")
    plan = acme.json("user", "import", str(file))
    assert [row["action"] for row in plan["rows"]] == ["invite", "refused"]
    assert (plan["seats_wanted"], plan["seats_free"]) == (1, 5)
    assert acme.json("user", "list") == []
    done, refused = acme.json("user", "import", str(file), "--add", "--yes", codes=(1,))
    assert done == {"id": "ann@acme.example", "done": True}
    assert (refused["id"], refused["done"]) == ("bo@acme.example", False)
    assert "line 3: role: there is no role 'king'" in refused["detail"]
    assert [row["action"] for row in acme.json("user", "import", str(file))["rows"]] == [
        "unchanged",
        "refused",
    ]


def test_what_is_typed_wrong_is_told_in_words(acme: Terminal) -> None:
    acme.json("user", "add", "ann@acme.example")
    assert "there is no such filter" in acme.refused("user", "export", "--filter", "foo=bar")
    done = acme.run("user", "edit", "ann")
    assert (done.exit_code != 0, "Give at least one of --user-name" in done.stderr) == (True, True)


def test_a_person_is_shown_with_names_not_ids(acme: Terminal) -> None:
    made = acme.json("user", "add", "ann@acme.example", "--project", "General")
    why = acme.run("user", "show", made["id"]).stdout.partition("Why")[2]
    assert "project:General" in why


def test_ids_and_times_stay_whole_in_a_narrow_terminal(
    acme: Terminal, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common.out, "_width", 80)
    ident, at = "01a20708-8835-7c7e-927d-c5161f907f28", datetime(2026, 11, 21, 9, 0, 5, tzinfo=UTC)
    common.print_table("T", ("Name", "Since", "Id"), [("Name " * 20, at, ident)], empty="")
    said = capsys.readouterr().out
    assert ident in said
    assert "2026-11-21 09:00:05Z" in said
    assert max(map(len, said.splitlines())) <= 80
    common.print_table("T", ("Name", *"AB"), [("Name " * 20, ident, ident)], empty="")
    assert any(line.count(ident) == 2 for line in capsys.readouterr().out.splitlines())
    common.print_table("T", ("What", "Value"), [("id", ident), ("why", "because " * 20)], empty="")
    said = capsys.readouterr().out
    assert ("What" in said, ident in said, said.count("because")) == (True, True, 20)
