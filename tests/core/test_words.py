from __future__ import annotations

import pytest

from scimd.core.words import counted


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 people have"), (1, "1 person has"), (2, "2 people have"), (21, "21 people have")],
)
def test_one_is_singular_and_all_else_is_plural(number: int, said: str) -> None:
    assert counted(number, "person has", "people have") == said
