"""What a fault's log line may say."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Literal

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
