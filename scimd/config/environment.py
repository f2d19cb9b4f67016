"""The environment over the file: ``SCIMD_SERVER__PORT`` is ``port`` under ``[server]``."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, get_origin

from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

PREFIX, NESTED = "SCIMD_", "__"
_REFERENCE = "env:"
#: What names the file, and what Kubernetes tells of services whose names begin with scimd.
_OTHERS = re.compile(r"SCIMD_(CONFIG|(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_\w+))")


class Environment(EnvSettingsSource):
    """Lists and sections are JSON; a list of one may be its text alone."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            is_list = field is not None and get_origin(field.annotation) is list
            return [value] if is_list else value  # else it is said what it should be


def variable(place: Sequence[str | int]) -> str | None:
    """The variable that says what stands at the place, or what it stands in; None where the file does."""
    words = [str(part) for part in place]
    there = {name.upper(): name for name in os.environ}
    names = (PREFIX + NESTED.join(words[:length]).upper() for length in range(len(words), 0, -1))
    return next((there[name] for name in names if name in there), None)


def referred(body: object) -> frozenset[str]:
    """The variables to which the file's values refer (``env:NAME``): they hold its secrets."""
    match body:
        case str():
            return frozenset((body[len(_REFERENCE) :],)) if body.startswith(_REFERENCE) else frozenset()
        case dict():
            return frozenset().union(*map(referred, body.values()))
        case list():
            return frozenset().union(*map(referred, body))
        case _:
            return frozenset()


def misspelt(sections: Iterable[str], body: object) -> list[str]:
    """A sentence for each variable that means a section which is not there, but for the file's secrets."""
    secrets = referred(body)
    known = sorted(sections)
    return [
        f"{name}: there is no section {section}; there are: {', '.join(known)}"
        for name in sorted(os.environ)
        if name.upper().startswith(PREFIX) and NESTED in name and name not in secrets
        if (section := name[len(PREFIX) :].partition(NESTED)[0].lower()) not in known
    ]


def unheard(sections: Collection[str], body: object) -> list[str]:
    """The variables that are ours by name and say nothing, nor hold one of the file's secrets."""
    secrets = referred(body)
    names = {section.upper() for section in sections}
    ours = {
        name: name[len(PREFIX) :] for name in os.environ if name.startswith(PREFIX) and NESTED not in name
    }
    return [
        name
        for name, rest in sorted(ours.items())
        if rest not in names and name not in secrets
        # SCIMD_SERVER_PORT is a slip, whoever else might mean something by it.
        if rest.partition("_")[0] in names or not _OTHERS.fullmatch(name)
    ]
