"""scimd's own SCIM server, in a process of its own, before all six providers."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from scimd.cli.doctor.sequences import SEQUENCES
from tests.cli.test_doctor_command import app
from tests.support.daemon import Daemon, Here

CONFIG = """
[server]
port = PORT
public_url = "http://127.0.0.1:PORT"
worker = false
[database]
url = "sqlite:///scimd.db"
[secrets]
key = ["env:SCIMD_TEST_KEY"]
[mail]
to = "folder"
folder = "mail"
[[organization]]
name = "acme"
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path_factory.mktemp("doctor"), CONFIG)
    try:
        yield daemon.start()
        daemon.stop()
    finally:
        daemon.kill()


@pytest.fixture(scope="module")
def token(daemon: Daemon) -> Callable[[str], str]:
    """The token of a source with that profile, made once."""
    here = Here(daemon.folder, daemon.file.read_text())

    @functools.cache
    def of(profile: str) -> str:
        made: str = here.ok("token", "create", "--source", f"idp-{profile}", "--profile", profile)["token"]
        return made

    return of


def played(daemon: Daemon, idp: str, token: str) -> dict[str, Any]:
    options = ["doctor", "--as", idp, "--url", f"{daemon.url}/scim/v2", "--token", token, "--json"]
    result = CliRunner().invoke(app, options)
    document: dict[str, Any] = json.loads(result.stdout)
    return document


@pytest.mark.parametrize(
    ("idp", "profile"), [*((idp, "default") for idp in SEQUENCES), ("okta", "okta"), ("entra", "entra")]
)
def test_scimd_passes_every_sequence(
    idp: str, profile: str, daemon: Daemon, token: Callable[[str], str]
) -> None:
    document = played(daemon, idp, token(profile))
    assert [(s["name"], s["findings"]) for s in document["steps"] if s["outcome"] != "passed"] == []
    assert document["clean_up"]["left"] == []


def test_strict_profile_fails_entra_by_what_the_rfc_does_not_allow(
    daemon: Daemon, token: Callable[[str], str]
) -> None:
    document = played(daemon, "entra", token("rfc"))
    assert document["verdict"] == "failed"
    assert "disable by string" in {s["name"] for s in document["steps"] if s["outcome"] == "failed"}
    assert document["clean_up"]["left"] == []
