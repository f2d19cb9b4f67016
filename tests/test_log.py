"""What a fault's log line may say."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog

from scimd import log


@pytest.fixture(autouse=True)
def _logging_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("style", ["json", "text"])
def test_a_fault_is_logged_with_its_place_and_without_local_variables(
    style: Literal["json", "text"], capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("info", style)

    def connect() -> None:
        password = "hunter2-" + "x" * 8
        raise LookupError("nobody there", len(password))

    try:
        connect()
    except LookupError as exc:
        log.get("test").error("went_wrong", exc_info=exc)
    said = capsys.readouterr().err
    assert "went_wrong" in said
    assert "LookupError" in said
    assert "connect" in said
    assert "hunter2" not in said


@pytest.mark.parametrize("style", ["json", "text"])
def test_what_a_library_says_has_the_form_of_what_scimd_says(
    style: Literal["json", "text"], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configured: dict[str, Any] = {}
    monkeypatch.setattr(logging, "basicConfig", lambda **given: configured.update(given))
    log.configure("info", style)
    (handler,) = configured["handlers"]
    try:
        raise LookupError("over\ntwo lines")
    except LookupError:
        handler.handle(
            logging.LogRecord("asyncio", logging.ERROR, "", 1, "task %s\nfailed", ("7",), sys.exc_info())
        )
    said = capsys.readouterr().err
    assert "LookupError" in said
    if style == "json":
        (line,) = said.splitlines()
        told = json.loads(line)
        assert (told["event"], told["component"], told["level"]) == ("library", "asyncio", "error")
        assert told["message"] == "task 7\nfailed"
        assert told["timestamp"].endswith("Z")


def test_on_a_terminal_nothing_that_is_logged_steers_it(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "text")
    try:
        raise LookupError("\x1b[2Jgone\x9b2J")
    except LookupError as exc:
        log.get("test").error("went_wrong", name="\x1b[2JAda", exc_info=exc)
    said = capsys.readouterr().err
    assert r"name=\x1b[2JAda" in said
    assert r"LookupError: \x1b[2Jgone\x9b2J" in said
    assert "\x1b" not in said
    assert "\x9b" not in said
