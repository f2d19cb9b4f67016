"""Programs in a Python of their own: what they load, fork or break is not the tests'."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from tests.support.patience import AT_MOST_S


def run_python(program: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, however it ends. ``options``: as ``subprocess.run`` takes them."""
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=AT_MOST_S, check=False, **options)
