"""``scimd doctor`` told to end in the middle: it takes away what it made, or names what stays."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.cli.doctor_target import Target, served
from tests.cli.faulty_scim import SLOW_S, TOKEN
from tests.support.patience import AT_MOST_S, until

PROGRAM = "from tests.cli.test_doctor_command import app; app()"


@contextmanager
def playing(target: Target, idp: str = "okta") -> Iterator[subprocess.Popen[str]]:
    options = ["doctor", "--as", idp, "--url", target.url, "--token", TOKEN]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        # A shell has what it starts in the background ignore it, and so their children.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def asked(target: Target, process: subprocess.Popen[str], wanted: str) -> None:
    """Returns once such a request has arrived."""
    requests = target.scim.requests
    until(lambda: any(method == wanted for method, *_ in requests) or process.poll() is not None)
    assert process.poll() is None, process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_removes_what_was_made_and_reports_what_was_done(number: signal.Signals, code: int) -> None:
    with served("slow_patch") as target, playing(target) as process:
        asked(target, process, "PATCH")
        assert target.scim.left
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=AT_MOST_S)
        assert target.scim.left == []
    assert process.returncode == code
    assert "Interrupted: removing what was made." in stderr
    assert "Removed 2" in stdout
    assert "not run" in stdout


def test_what_is_being_made_when_the_interrupt_comes_is_removed_as_well() -> None:
    with served("slow_create") as target, playing(target) as process:
        asked(target, process, "POST")
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=AT_MOST_S)
        time.sleep(SLOW_S)
        assert target.scim.left == []
    assert process.returncode == 130
    assert "Removed 1" in stdout


def test_interrupt_of_the_clean_up_names_what_stays() -> None:
    with served("slow_patch", "slow_delete") as target, playing(target) as process:
        asked(target, process, "PATCH")
        process.send_signal(signal.SIGINT)
        asked(target, process, "DELETE")
        made = target.scim.left
        process.send_signal(signal.SIGINT)
        stdout, _ = process.communicate(timeout=AT_MOST_S)
    assert process.returncode == 130
    assert len(made) == 2
    assert "othing remains" not in stdout
    assert "2 could not be removed" in stdout
    assert set(re.findall(r"user (scimd-doctor-\S+), perhaps: the clean-up was interrupted", stdout)) == set(
        made
    )
