"""Every row of the feature table that is about the organization has a test of its number here."""

from __future__ import annotations

import re
from pathlib import Path

ROWS = {
    *(f"u{n}" for n in range(1, 21)),
    *(f"p{n}" for n in range(1, 12)),
    *(f"k{n}" for n in range(1, 7)),
    *(f"i{n}" for n in range(1, 9)),
    *(f"l{n}" for n in range(1, 7)),
    "r16", "t3", "t6", "w5", "w6", "w7", "x1", "x2", "x3", "x4",
}  # fmt: skip


def test_every_row_has_its_test() -> None:
    texts = [file.read_text(encoding="utf-8") for file in Path(__file__).parent.glob("test_*.py")]
    named = {number for text in texts for number in re.findall(r"^async def test_([a-z]\d+)_", text, re.M)}
    assert named == ROWS
