"""The commands by which an operator changes an organization by hand, from end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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
    assert shown(acme, made["id"])["projects"] == ["Alpha"]
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
    assert shown(acme, "annie")["projects"] == ["General"]
    for verb, status, cause in (
        ("disable", "inactive", "disabled"),
        ("enable", "pending", "invited"),
        ("deactivate", "inactive", "deactivated"),
        ("reactivate", "pending", "invited"),
    ):
        assert acme.json("user", verb, "annie") == [{"id": "annie", "done": True}]
        person = shown(acme, "annie")
        assert (person["status"], person["causes"][0].partition(":")[0]) == (status, cause)
    acme.json("user", "reset-password", "annie")
    acme.json("user", "delete", "annie")
    assert acme.json("user", "list") == []
    acme.json("user", "restore", "annie")
    assert [row["local_user_name"] for row in acme.json("user", "list")] == ["annie"]
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
    for verb in ("deactivate", "delete"):
        assert acme.run("user", verb, "ann").exit_code == 1  # nobody answers
        assert shown(acme, "ann")["status"] == "pending"
    assert acme.run("user", "delete", "ann", "--yes").exit_code == 0


def test_a_service_account_and_a_move(acme: Terminal) -> None:
    acme.json("user", "add-service", "deploy", "--owner", "ann@acme.example")
    assert shown(acme, "deploy")["status"] == "active"
    acme.json("org", "create", "globex")
    acme.json("user", "add", "ann@acme.example", "--org", "acme")
    acme.json("user", "move", "ann", "--to", "globex", "--org", "acme")
    assert [row["sign_in_address"] for row in acme.json("user", "list", "--org", "globex")] == [
        "ann@acme.example"
    ]


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


def test_u19_people_come_from_a_file_once_it_is_approved(acme: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("email,role\nann@acme.example,\nbo@acme.example,king\n", encoding="utf-8-sig")
    plan = acme.json("user", "import", str(file))
    assert [row["action"] for row in plan["rows"]] == ["invite", "refused"]
    assert (plan["seats_wanted"], plan["seats_free"]) == (1, 5)
    assert acme.json("user", "list") == []
    assert acme.json("user", "import", str(file), "--add", "--yes") == [
        {"id": "ann@acme.example", "done": True}
    ]
    assert [row["action"] for row in acme.json("user", "import", str(file))["rows"]] == [
        "unchanged",
        "refused",
    ]
