"""Sentences that count."""

from __future__ import annotations


def counted(number: int, one: str, many: str) -> str:
    """``counted(1, "person has", "people have")``: "1 person has"; of 2 or none, "2 people have"."""
    return f"{number} {one if number == 1 else many}"
