"""What is tracked is fit to be cloned anywhere: locked, executable where it must be, tied to no machine."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))

# Split, so that this file does not hold what it forbids.
REGISTRIES = ("pypi" + ".org", "python" + "hosted.org", "npmjs" + ".org", "proxy.golang" + ".org")
# A checkout straight in one of these has no parent that would tell of a machine.
COMMON_PLACES = {"/", "/home", "/opt", "/root", "/srv", "/tmp", "/usr/src", "/var/tmp"}


def _git(*args: str) -> str:
    command = ["git", "-c", f"safe.directory={ROOT}", *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def _tracked() -> list[Path]:
    return [ROOT / name for name in _git("ls-files", "-z").split("\0") if name and (ROOT / name).is_file()]


def faults_of_lock(text: str) -> list[str]:
    """What keeps a lock file from landing: a requirement without version or hash, an address, an option."""
    joined = re.sub(r"\\\n\s*", "", text)
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    pinned = re.compile(r"[A-Za-z0-9._\[\]-]+==\S+( ;.*?)?\s+--hash=sha256:[0-9a-f]{64}")
    return [line[:80] for line in lines if not pinned.match(line) or "://" in line or " @ " in line]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_lock_file_carries_versions_and_hashes_and_no_address(lock: Path) -> None:
    assert faults_of_lock(lock.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "aiohttp==3.14.5",
        f"aiohttp>=3 --hash=sha256:{'0' * 64}",
        "--index-url https://example.org/simple",
        f"aiohttp @ https://example.org/aiohttp.whl --hash=sha256:{'0' * 64}",
    ],
)
def test_fault_in_lock_file_is_found(line: str) -> None:
    assert faults_of_lock(line)


def test_lock_files_are_there() -> None:
    assert {path.stem for path in LOCKS} == {"base", "build", "dev", "ldap", "uv"}


def test_no_tracked_file_names_this_machine_or_a_registry() -> None:
    forbidden = list(REGISTRIES)
    forbidden += [f"{place}/" for place in {ROOT, ROOT.parent} if str(place) not in COMMON_PLACES]
    pattern = re.compile("|".join(rf"(?<![\w.]){re.escape(text)}" for text in forbidden).encode())
    found = {str(path.relative_to(ROOT)) for path in _tracked() if pattern.search(path.read_bytes())}
    assert found == set()


def test_tests_are_left_out_by_require_only() -> None:
    left_out = re.compile(r"pytest\.(skip|importorskip|mark\.(skip|skipif|xfail))\b(?!\.Exception)")
    found = {
        path.name
        for path in _tracked()
        if path.suffix == ".py"
        and path.parts[len(ROOT.parts)] == "tests"
        and left_out.search(path.read_text())
    }
    assert found == {"requirement.py"}


@pytest.mark.parametrize("name", [".ci/run", "requirements/install", "tests/system-packages"])
def test_script_is_executable(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)
    assert _git("ls-files", "-s", name).startswith("100755")
