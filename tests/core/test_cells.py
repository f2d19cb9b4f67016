"""No cell of an export is a formula, whatever it holds (A10)."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimd.core.cells import cell, line

PAYLOADS = [
    "=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\u00a0=1", "\ufeff=1", "＝1",
    '=HYPERLINK("http://127.0.0.1","x")', "=cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0",
]  # fmt: skip


@pytest.mark.parametrize("payload", PAYLOADS)
def test_formula_is_text_also_in_a_list(payload: str) -> None:
    for value in (payload, [payload, "x"], ("x", payload), [[payload]]):
        (row,) = csv.reader(io.StringIO(line([value])), strict=True)
        assert f"'{payload}" in row[0].replace("\n", "\n")
        assert not row[0].strip().startswith(("=", "+", "-", "@", "＝"))


def test_values_are_what_a_reader_expects() -> None:
    now = datetime(2027, 1, 31, 9, 0, tzinfo=UTC)
    assert [cell(value) for value in (None, True, 5, "ä", now, ["a", None, "b"], {"a": [1]})] == [
        "", "true", "5", "ä", "2027-01-31T09:00:00+00:00", "a, , b", '{"a": [1]}',
    ]  # fmt: skip


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",))), min_size=1))
def test_every_text_comes_back_but_for_the_apostrophe(values: list[str]) -> None:
    (row,) = csv.reader(io.StringIO(line(values), newline=""))
    assert [
        found if found == value else found[1:] for found, value in zip(row, values, strict=True)
    ] == values
    assert not any(found.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for found in row)
