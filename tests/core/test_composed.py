"""Unicode's composed form, and folding by it: right, and soon done."""

from __future__ import annotations

import random
import time
import unicodedata

import pytest

from scimd.core.composed import composed
from scimd.core.people import fold


def test_text_is_composed_as_unicode_has_it_however_many_marks_stand_side_by_side() -> None:
    seed = random.Random(1)
    marks = "\u0315\u0300\u0327\u0345\u0344\u0f73\u0f71\u05b0\u093c\U0001d165"
    for length in (1, 49, 50, 51, 99, 100, 101, 400):
        for _ in range(20):
            text = "".join(letter + "".join(seed.choices(marks, k=length)) for letter in "eé각ǖ")
            assert composed(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("marks", ["\u0315\u0300", "\u0f73", "\u0344\u0315"])
def test_a_megabyte_of_marks_is_folded_in_a_moment(marks: str) -> None:
    """V19: ``unicodedata`` puts them in order by insertion, for a quarter of an hour."""
    began = time.process_time()
    assert fold("a" + marks * 250_000) == fold("A" + marks * 250_000)
    assert time.process_time() - began < 30
