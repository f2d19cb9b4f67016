"""Runs commands as whole processes and says what they took."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Took:
    """One finished process: wall and CPU seconds, peak resident memory of the process itself."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    status: int
    output: str
    errors: str


def run(command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Took:
    """Run to the end; the operating system's own accounting, by wait4."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdout=output, stderr=errors, stdin=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        text, said = output.read().decode("utf-8", "replace"), errors.read().decode("utf-8", "replace")
    cpu = usage.ru_utime + usage.ru_stime
    return Took(wall, cpu, usage.ru_maxrss / 1024, process.returncode, text, said)


def machine() -> str:
    """The machine in one line, for the head of the results."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def say(what: str) -> None:
    """Where the benchmark is, to whoever waits."""
    print(f"… {what}", file=sys.stderr, flush=True)


def verdict(value: float, bar: float, aim: float, *, at_most: bool = False) -> str:
    """A ratio or a time beside its release bar and its aim."""
    reached = [value <= goal if at_most else value >= goal for goal in (bar, aim)]
    return "aim met" if reached[1] else "bar met" if reached[0] else "**not met**"
