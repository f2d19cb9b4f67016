"""What a value of the config may look like, whatever its section."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from scimd.connector_api import BadSetting, Secret, read_secret

SLUG = r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$"
Slug = Annotated[str, Field(pattern=SLUG)]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def duration(value: object) -> object:
    """Seconds as a number, or a number with one of the units s m h d w: ``"90d"``."""
    if isinstance(value, str) and value.replace(".", "", 1).isdigit():
        return timedelta(seconds=float(value))
    if isinstance(value, str) and value[:-1].replace(".", "", 1).isdigit() and value[-1:] in _UNITS:
        return timedelta(seconds=float(value[:-1]) * _UNITS[value[-1]])
    if isinstance(value, bool | str):
        raise ValueError(
            'must be a number of seconds, or a number with a unit: "30s", "15m", "6h", "90d", "2w"'
        )
    return value


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _durations_have_units(cls, value: object, info: Any) -> object:
        annotation = cls.model_fields[info.field_name].annotation
        return duration(value) if annotation in (timedelta, timedelta | None) else value


def _reference(value: object) -> Secret:
    try:
        return read_secret(value, "secret")
    except BadSetting as exc:
        raise ValueError(exc.why) from exc


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


def base_url(value: str) -> str:
    if not value.startswith(("http://", "https://")) or any(c in value for c in ' \r\n\t?#@"\\'):
        raise ValueError("must be an address such as https://scimd.example.com, without query or credentials")
    return value.rstrip("/")


def https_address(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        host = parts.hostname or ""
        named = bool(host) and parts.username is None and parts.port != 0
    except ValueError:
        named = False
    if named and not parts.fragment and parts.scheme == "https":
        return value
    if named and parts.scheme == "http" and host in ("127.0.0.1", "::1"):
        return value
    raise ValueError("must be an https address without credentials; http only on 127.0.0.1 and [::1]")
