"""``scimd doctor`` from the outside: exit codes, reports, what it says of endpoints that are none."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from scimd.cli.doctor import register
from tests.cli.doctor_target import served
from tests.cli.faulty_scim import TOKEN
from tests.support.certificates import self_signed

app = typer.Typer()
register(app)


@app.callback()
def _several_commands() -> None:
    """With one command only, Typer would leave its name out."""


def doctor(url: str, *more: str, idp: str = "okta", token: str = TOKEN) -> Result:
    return CliRunner().invoke(app, ["doctor", "--as", idp, "--url", url, "--token", token, *more])


def test_endpoint_without_fault_exits_0_and_says_so() -> None:
    with served() as target:
        result = doctor(target.url)
    assert result.exit_code == 0
    assert "Okta: 25 passed." in result.stdout
    assert "nothing remains" in result.stdout


def test_fault_exits_1_with_complaint_request_and_advice() -> None:
    with served("rename_refused") as target:
        result = doctor(target.url)
    assert result.exit_code == 1
    assert "must: answered 400 (id is readOnly), expected 200 or 204" in result.stdout
    assert "PATCH /Groups/" in result.stdout
    assert "change: Ignore the id in a path-less replace" in result.stdout


def test_warning_alone_exits_0() -> None:
    with served("group_patch_200") as target:
        result = doctor(target.url, idp="entra")
    assert result.exit_code == 0
    assert "1 warned" in result.stdout


def test_json_is_one_document_with_every_step() -> None:
    with served("push_now_refused") as target:
        result = doctor(target.url, "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 1
    assert document["verdict"] == "failed"
    assert document["counts"] == {"passed": 24, "noted": 0, "warned": 0, "failed": 1, "not run": 0}
    (step,) = (step for step in document["steps"] if step["outcome"] == "failed")
    assert step["name"] == "push now empty"
    assert step["source"]["page"].startswith("developer.okta.com/")
    assert step["requests"][0]["sent"]["Operations"] == [{"op": "replace", "path": "members", "value": []}]
    assert step["findings"][0]["severity"] == "must"


def test_every_step_names_a_page_and_when_it_was_read() -> None:
    with served() as target:
        for idp in ("okta", "entra", "onelogin", "jumpcloud", "google", "ping"):
            steps = json.loads(doctor(target.url, "--json", idp=idp).stdout)["steps"]
            assert all(re.fullmatch(r"[\w.-]+\.(com|org)/.+", step["source"]["page"]) for step in steps)
            assert {step["source"]["read"] for step in steps} == {"2026-11"}


def test_html_report_holds_everything_and_fetches_nothing(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    with served("rename_refused") as target:
        result = doctor(target.url, "--html", str(file))
    page = file.read_text(encoding="utf-8")
    assert result.exit_code == 1
    assert "Ignore the id in a path-less replace" in page
    assert "Okta renames the group" in page
    assert "Àbrecht" in page
    outside = set(re.findall(r"https?://[^\s<&\"]+", page)) - {target.url}
    assert {address for address in outside if not address.startswith(target.url)} == set()
    assert not re.search(r"<(script|link|img|iframe|object)\b|\b(src|href|url)\s*[=(]", page)


def test_html_report_escapes_what_the_endpoint_says(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    with served("html_errors") as target:
        doctor(target.url, "--html", str(file))
    page = file.read_text(encoding="utf-8")
    assert "&lt;h1&gt;Oops" in page
    assert "<h1>Oops" not in page


@pytest.mark.parametrize(
    "faults", [[], ["html_errors"], ["password_returned"], ["token_echoed", "rename_refused"]]
)
def test_token_and_password_are_in_no_report(faults: list[str], tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    with served(*faults) as target:
        result = doctor(target.url, "--json", "--html", str(file))
    for text in (result.output, file.read_text(encoding="utf-8")):
        assert TOKEN not in text
        assert "Never-kept" not in text
    assert '"password": "***"' in result.stdout
    assert ("id is readOnly (Bearer ***)" in result.stdout) is ("token_echoed" in faults)


@pytest.mark.parametrize("token", ["test", "a", "json", "users", "true"])
def test_token_that_is_a_common_word_changes_no_verdict(token: str) -> None:
    with served(token=token) as target:
        result = doctor(target.url, idp="jumpcloud", token=token)
        assert target.scim.left == []
    assert result.exit_code == 0, result.output
    assert "16 passed." in result.stdout


def test_what_the_endpoint_says_does_not_steer_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    with served("escape_codes") as target:
        shown = doctor(target.url, "--html", str(file)).output
        document = doctor(target.url, "--json").stdout
    for text in (
        shown,
        file.read_text(encoding="utf-8"),
        json.dumps(json.loads(document), ensure_ascii=False),
    ):
        assert "red" in text
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert r"(\x1b[31mred\x1b]0;title\x07 \ud800\u202e)" in shown


def test_made_groups_are_named_for_what_no_scim_request_shows() -> None:
    with served() as target:
        with_groups, without = doctor(target.url), doctor(target.url, idp="google")
    assert re.search(r"may keep projects or teams .* look for “scimd-doctor-\w+ …”", with_groups.stdout)
    assert "projects" not in without.stdout


def test_people_who_were_there_are_in_no_report(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    with served("plain_json") as target:
        target.scim.kinds["Users"]["x"] = {"schemas": [], "id": "x", "userName": "real.person@example.com"}
        result = doctor(target.url, "--json", "--html", str(file))
    assert "real.person" not in result.output + file.read_text(encoding="utf-8")


def test_wrong_token_exits_2_with_one_sentence() -> None:
    with served() as target:
        result = doctor(target.url, token="another-token")
    assert result.exit_code == 2
    assert "refuses the token (401)" in result.stderr
    assert result.stderr.count("error:") == 1
    assert "another-token" not in result.output


def test_token_without_the_scope_exits_2_and_names_it() -> None:
    with served("users_forbidden") as target:
        result = doctor(target.url)
    assert result.exit_code == 2
    assert "does not let this token in: 403 (This token lacks the scope users:read.)" in result.stderr


def test_nobody_listening_exits_2() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        result = doctor(f"http://127.0.0.1:{holder.getsockname()[1]}/scim/v2", "--json")
    assert result.exit_code == 2
    assert "does not accept connections" in result.stderr
    assert json.loads(result.stdout)["verdict"] == "no entry"


def test_silent_endpoint_exits_2() -> None:
    with served("silent") as target:
        result = doctor(target.url, "--timeout", "0.2")
    assert result.exit_code == 2
    assert "no answer within 0.2 seconds" in result.stderr


def test_untrusted_certificate_exits_2(tmp_path: Path) -> None:
    with served(tls=self_signed(tmp_path, "doctor")) as target:
        result = doctor(target.url)
    assert result.exit_code == 2
    assert "is not trusted" in result.stderr


def test_plain_http_on_tls_port_exits_2(tmp_path: Path) -> None:
    with served() as target:
        result = doctor(target.url.replace("http:", "https:"))
    assert result.exit_code == 2
    assert "does not speak TLS properly" in result.stderr


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--url", "", "give the SCIM base URL"),
        ("--url", "ftp://example.com", "give the SCIM base URL"),
        (
            "--url",
            "https://a.example/scim/v2/Users/",
            "is an endpoint; give the SCIM base URL: https://a.example/scim/v2",
        ),
        ("--url", "https://a.example/scim/v2/ServiceProviderConfig", "is an endpoint"),
        ("--url", "https://user:secret@example.com/scim", "give the SCIM base URL"),
        ("--url", "http://127.0.0.1:port/", "give the SCIM base URL"),
        ("--token", "env:SCIMD_NO_SUCH_VARIABLE", "SCIMD_NO_SUCH_VARIABLE is not set"),
        ("--token", "file:no/such/file", "cannot be read"),
        ("--token", "two words", "one word of printable ASCII"),
        ("--domain", "no domain", "is no domain"),
        ("--html", "no/such/folder/report.html", "there is no folder"),
    ],
)
def test_unusable_option_exits_1_before_any_request(option: str, value: str, sentence: str) -> None:
    with served() as target:
        result = doctor(target.url, option, value)
        assert target.scim.requests == []
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert "secret" not in result.stderr


def test_token_comes_from_file_or_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    monkeypatch.setenv("DOCTOR_TOKEN", TOKEN)
    with served() as target:
        for given in (f"file:{file}", "env:DOCTOR_TOKEN"):
            assert doctor(target.url, idp="google", token=given).exit_code == 0


def test_url_is_the_configured_one_when_left_out(tmp_path: Path) -> None:
    with served() as target:
        config = tmp_path / "scimd.toml"
        config.write_text(f'[server]\npublic_url = "{target.url.removesuffix("/scim/v2")}"\n')
        options = ["doctor", "--as", "google", "--token", TOKEN, "--config", str(config)]
        result = CliRunner().invoke(app, options)
    assert result.exit_code == 0, result.output
    assert target.scim.requests


def test_own_domain_is_used() -> None:
    with served() as target:
        doctor(target.url, "--domain", "test.example.org", idp="google")
    made: list[Any] = [body for method, _, body in target.scim.requests if method == "POST"]
    assert all(body["userName"].endswith("@test.example.org") for body in made)
