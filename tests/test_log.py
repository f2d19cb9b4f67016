"""What a fault's log line may say."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog

from scimd import log
from tests.support.patience import AT_MOST_S
from tests.support.requirement import require


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


@pytest.mark.parametrize("size", [100, 10_000])
def test_log_that_nobody_reads_holds_nobody_up_and_tells_what_it_lost(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(log, "_PATIENCE_S", 0.05)
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as pipe, open(writer, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        log.configure("info", "json")
        many = 2_000_000 // size

        def say() -> None:
            for n in range(many):
                log.get("test").info("said", n=n, text="x" * size)

        saying = threading.Thread(target=say, daemon=True)
        saying.start()
        saying.join(AT_MOST_S)
        assert not saying.is_alive()
        os.set_blocking(reader, False)
        before = pipe.read(10_000_000)
        log.get("test").info("said", n=many)
        found = (before + pipe.read(10_000_000)).decode().splitlines()
    *kept, told, last = found if size == 100 else [*found[:-3], *found[-2:]]  # one line is torn
    assert [json.loads(line)["n"] for line in kept] == list(range(len(kept)))
    assert json.loads(last)["n"] == many
    event = json.loads(told)
    assert (event["event"], event["lines"], event["level"]) == ("log_lines_lost", many - len(kept), "warning")


def test_log_that_is_read_slowly_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_PATIENCE_S", AT_MOST_S)
    reader, writer = os.pipe()
    with open(reader, "rb") as pipe:
        found: list[bytes] = []

        def read() -> None:
            found.extend(pipe)

        reading = threading.Thread(target=read)
        with open(writer, "w") as stderr:
            monkeypatch.setattr(sys, "stderr", stderr)
            log.configure("info", "json")
            reading.start()
            for n in range(3_000):
                log.get("test").info("said", n=n, text="ä" * 1_000)
        reading.join()
    assert [json.loads(line)["n"] for line in found] == list(range(3_000))


@pytest.mark.parametrize("into", ["file", "pipe"])
def test_long_lines_of_several_threads_and_of_libraries_are_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, into: str
) -> None:
    configured: dict[str, Any] = {}
    monkeypatch.setattr(logging, "basicConfig", lambda **given: configured.update(given))
    monkeypatch.setattr(log, "_PATIENCE_S", AT_MOST_S)
    path = tmp_path / "log"
    reader, writer = os.pipe() if into == "pipe" else (-1, os.open(path, os.O_CREAT | os.O_WRONLY))
    found: list[bytes] = []

    def ours() -> None:
        for _ in range(1_000):
            log.get("test").info("said", text="x" * 9_000)

    def a_librarys() -> None:
        for _ in range(1_000):
            handler.handle(logging.LogRecord("asyncio", logging.ERROR, "", 1, "y" * 9_000, (), None))

    def read() -> None:
        with open(reader, "rb") as pipe:
            found.extend(pipe)

    with open(writer, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        log.configure("info", "json")
        (handler,) = configured["handlers"]
        threads = [threading.Thread(target=each) for each in (ours, a_librarys)]
        reading = threading.Thread(target=read if into == "pipe" else str)
        for each in (reading, *threads):
            each.start()
        for each in threads:
            each.join()
    reading.join()
    lines = found or path.read_bytes().splitlines()
    assert sorted(json.loads(line)["event"] for line in lines) == ["library"] * 1_000 + ["said"] * 1_000


def test_a_long_line_that_fits_goes_out_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that processes that share a pipe do not tear each other's."""
    require(sys.platform == "linux", "without waiting, a pipe takes pieces of PIPE_BUF elsewhere")
    written: list[int] = []
    write = log._written

    def once_more(file: int, data: bytes) -> int:
        written.append(write(file, data))
        return written[-1]

    monkeypatch.setattr(log, "_written", once_more)
    reader, writer = os.pipe()
    with open(reader, "rb"), open(writer, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        log.configure("info", "json")
        log.get("test").info("said", text="x" * 30_000)
    assert len(written) == 1
