"""What holds of every text and value that a connector gives."""
# ruff: noqa: S101  (a suite asserts, and this one does without pytest)

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scimd.connector_testing.reading import Whole


def assert_sentence(text: str) -> None:
    assert text.strip() == text, f"no spaces around a sentence: {text!r}"
    assert text, "an admin must be told something"
    assert "\n" not in text, f"one line, please: {text!r}"


def assert_value(value: object, where: str) -> None:
    if isinstance(value, tuple):
        for item in value:
            assert_value(item, where)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            assert isinstance(name, str), f"{where}: names of a mapping are texts"
            assert_value(item, f"{where}.{name}")
    else:
        assert isinstance(value, str | bytes | bool | int | float), f"{where} holds {type(value).__name__}"


def texts(value: object) -> Iterator[str]:
    """Give every text within a value, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from (*texts(name), *texts(item))
    elif isinstance(value, tuple):
        for item in value:
            yield from texts(item)


def assert_storable(text: str, whose: str) -> None:
    assert "\0" not in text, f"{whose!r} has a text with NUL: {text!r}"
    assert not any("\ud800" <= character <= "\udfff" for character in text), f"half a character: {text!r}"


def by_id(whole: Whole) -> dict[str, Any]:
    return {record.external_id: record for record in whole.records}


def chain(error: BaseException | None) -> str:
    """Give the texts of an error and of all that led to it, as a traceback would show them."""
    texts = []
    while error is not None:
        texts.append(f"{error!r} {error}")
        error = error.__cause__ or error.__context__
    return "\n".join(texts)
