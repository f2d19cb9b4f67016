"""The only way to leave a test out: with a reason, and never where everything is required."""

from __future__ import annotations

import os
import shutil

import pytest

REQUIRE_ALL = "SCIMD_TEST_REQUIRE_ALL"


def require(condition: object, reason: str) -> None:
    """Leave the test out unless ``condition`` holds; with SCIMD_TEST_REQUIRE_ALL=1 fail it instead."""
    if condition:
        return
    if os.environ.get(REQUIRE_ALL) == "1":
        pytest.fail(f"left out although {REQUIRE_ALL}=1: {reason}", pytrace=False)
    pytest.skip(reason)


def program(name: str) -> str | None:
    """Where ``name`` is; Debian keeps servers in sbin, which is not on everybody's PATH."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
