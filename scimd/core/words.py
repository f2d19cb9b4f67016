"""Sentences that count, and names that are a line of text."""

from __future__ import annotations

from scimd.core.errors import InvalidValue

#: Of what an organization names: projects, teams, licences, roles.
NAME_AT_MOST = 200
#: Of what people are called.
DISPLAY_NAME_AT_MOST = 256


def counted(number: int, one: str, many: str) -> str:
    """``counted(1, "person has", "people have")``: "1 person has"; of 2 or none, "2 people have"."""
    return f"{number} {one if number == 1 else many}"


def of_a_check(said: str) -> str:
    """What pydantic says of a value, as part of a sentence of ours; what our own checks say stays."""
    own = said.removeprefix("Value error, ")
    return own if own != said else said.replace("Input should ", "must ").replace("should ", "must ")


def proper_name(name: str, what: str) -> str:
    """The name without white space around it. Raises InvalidValue for none, or one that is no line."""
    text = name.strip()
    if not text or len(text) > NAME_AT_MOST or not text.isprintable():
        raise InvalidValue(what, f"must be one line of text, {NAME_AT_MOST} characters at most")
    return text


def must_be_line(text: str, most: int, what: str) -> None:
    """Raise InvalidValue, saying which it is, for text that is too long or holds what cannot be seen."""
    if len(text) > most:
        raise InvalidValue(what, f"must be at most {most} characters long")
    if not text.isprintable():
        raise InvalidValue(what, "must be one line of text, without characters that cannot be seen")
