"""The log tells where something broke, and never what was typed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from scimd import log


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("style", ["json", "text"])
def test_traceback_holds_no_values_of_variables(
    style: Literal["json", "text"], capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("info", style)
    secret = "correct horse " + "battery staple"
    try:
        _breaks(secret)
    except RuntimeError:
        log.get("tests").exception("it_broke")
    said = capsys.readouterr().err
    assert "it_broke" in said
    assert "_breaks" in said
    assert secret not in said


def _breaks(password: str) -> None:
    raise RuntimeError(f"{len(password)} characters")
