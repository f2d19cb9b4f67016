"""What a value of the config may look like, whatever its section."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from scimd.connector_api import BadSetting, Secret, read_secret
from scimd.core.errors import InvalidValue
from scimd.core.words import proper_name

SLUG = r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$"
Slug = Annotated[str, Field(pattern=SLUG)]
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([smhdw]?)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


#: Whatever is longer is a slip: a moment so far away is none that databases know.
_LONGEST = timedelta(days=36_500)
_PATIENCE = timedelta(days=1)
#: What a column of numbers holds.
LARGEST = 2**31 - 1


def _lasts(value: timedelta) -> timedelta:
    if not timedelta(0) < value <= _LONGEST:
        raise ValueError("must be more than 0s, and 36500d at most")
    return value


def _waits(value: timedelta) -> timedelta:
    if not timedelta(0) <= value <= _LONGEST:
        raise ValueError("must be 0s or more, and 36500d at most")
    return value


def _ends(value: timedelta) -> timedelta:
    if not timedelta(0) < value <= _PATIENCE:
        raise ValueError("must be more than 0s, and 1d at most")
    return value


#: How long something is kept or works.
Lasting = Annotated[timedelta, AfterValidator(_lasts)]
#: How long something is put off; not at all is possible.
Delay = Annotated[timedelta, AfterValidator(_waits)]
#: How long something is waited for.
Timeout = Annotated[timedelta, AfterValidator(_ends)]


def _name(value: str) -> str:
    try:
        return proper_name(value, "name")
    except InvalidValue as exc:
        raise ValueError(exc.why) from exc


#: What people read, or something is called by.
Name = Annotated[str, AfterValidator(_name)]

NO_DURATION = 'must be a number of seconds, or a number with a unit: "30s", "15m", "6h", "90d", "2w"'


def duration(value: object) -> object:
    """Seconds as a number, or a number with one of the units s m h d w: ``"90d"``."""
    wrong = ValueError(NO_DURATION)
    if isinstance(value, str):
        said = _DURATION.fullmatch(value)
        if said is None:
            raise wrong
        value = float(said[1]) * _UNITS[said[2] or "s"]
    if isinstance(value, bool) or not isinstance(value, int | float | timedelta):
        raise wrong
    try:
        return value if isinstance(value, timedelta) else timedelta(seconds=value)
    except (OverflowError, ValueError) as exc:
        raise ValueError("is longer than anything lasts: 36500d at most") from exc


def _holds_nul(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_nul, (*value, *value.values())))
    if isinstance(value, list):
        return any(map(_holds_nul, value))
    return isinstance(value, str) and "\0" in value


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _types_are_their_own(cls, value: object, info: Any) -> object:
        """Durations have units; ``true`` is no number, and 0 is not ``false``."""
        annotation = cls.model_fields[info.field_name].annotation
        if isinstance(value, bool):
            if annotation in (int, int | None):
                raise ValueError("must be a whole number")
            if annotation in (float, float | None):
                raise ValueError("must be a number")
        elif isinstance(value, int | float) and annotation is bool:
            raise ValueError("must be true or false")
        return duration(value) if annotation in (timedelta, timedelta | None) else value

    @field_validator("*")
    @classmethod
    def _texts_can_be_stored(cls, value: object) -> object:
        if _holds_nul(value):  # PostgreSQL keeps none, and SQLite shows what stands before it
            raise ValueError("must not hold the character U+0000")
        return value


def _reference(value: object) -> Secret:
    try:
        return read_secret(value, "secret")
    except BadSetting as exc:
        raise ValueError(exc.why) from exc


def text_or_reference(value: object) -> object:
    """What ``env:NAME`` or ``file:PATH`` holds; any other value as it is."""
    if isinstance(value, str) and value.startswith(("env:", "file:")):
        return _reference(value).reveal()
    return value


class SecretSection(Section):
    @field_validator("*", mode="before")
    @classmethod
    def _secrets_are_references(cls, value: object, info: Any) -> object:
        annotation = cls.model_fields[info.field_name].annotation
        if annotation is Secret or annotation == Secret | None:
            return None if value is None else _reference(value)
        if annotation == list[Secret]:
            rows = value if isinstance(value, list) else [value]
            return [_reference(row) for row in rows]
        return value
