"""The contract between scimd and a connector: records, protocol, errors.

A connector is a package with an entry point in the group ``scimd.connectors`` that names a class
with the shape of :class:`Connector`. It needs nothing of scimd but this module, which itself needs
nothing but the standard library. ``scimd.connector_testing`` holds the suite that proves a
connector right.

The rule behind everything here: *absent from a complete read* means *gone from the directory*, and
people lose access by it. So a read says that it was complete, or it was not.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

Scalar: TypeAlias = str | bytes | bool | int | float
#: What an attribute may hold: one value, or several in the directory's order. Never None: an
#: attribute without a value is left out.
Value: TypeAlias = Scalar | tuple["Value", ...] | Mapping[str, "Value"]


# ---------------------------------------------------------------------------------------- records


@dataclass(frozen=True, slots=True)
class DirectoryUser:
    """One person's entry, as the directory names things.

    ``external_id`` never changes and is never given to somebody else (entryUUID, objectGUID); the
    source's matching rests on it. ``name`` is what an admin would recognize in a report (a DN, a
    line of a file). ``references`` are the further names by which the members of a group may point
    to this entry (a DN in normal form, ``uid:jsmith`` of a posixGroup); they need not last.
    """

    external_id: str
    name: str
    attributes: Mapping[str, Value]
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DirectoryGroup:
    """One group. ``members`` are external ids or references, of users and of groups alike.

    A member that no entry of the read answers to is kept as unresolved by scimd; a connector need
    not look for it.
    """

    external_id: str
    name: str
    display_name: str
    members: tuple[str, ...]
    attributes: Mapping[str, Value] = field(default_factory=dict)
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BadEntry:
    """An entry that is there but cannot be read. It fails alone, and it is never taken for gone.

    ``external_id`` is None where not even that could be read, or where it stands for a whole part of
    the directory; then scimd takes nobody for gone in this run: anyone could be the one. ``kind`` says
    what it would be, where that is certain; None: whoever has the id so far.
    """

    external_id: str | None
    name: str
    why: str
    kind: Literal["user", "group"] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of a read, in the directory's order; at most a few hundred records."""

    users: tuple[DirectoryUser, ...] = ()
    groups: tuple[DirectoryGroup, ...] = ()
    bad: tuple[BadEntry, ...] = ()
    #: External ids that the directory itself says are deleted (incremental reads only).
    gone: tuple[str, ...] = ()
    end: End | None = None


@dataclass(frozen=True, slots=True)
class End:
    """Closes the last page. A read whose last page has none was cut off.

    ``cursor`` is where the next incremental read goes on, or None. ``full`` says whether the read
    listed all that exists; only then does absence mean anything.
    """

    full: bool
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this opened source can do. scimd asks for nothing that is not claimed here."""

    groups: bool = False
    nested_groups: bool = False
    incremental: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """The answer of a passed check: one sentence an admin understands, and what to be wary of."""

    summary: str
    warnings: tuple[str, ...] = ()


# ---------------------------------------------------------------------------------------- protocol


class Log(Protocol):
    """Where a connector says what it does: a static event name and fields, never a secret."""

    def debug(self, event: str, **fields: Any) -> None: ...
    def info(self, event: str, **fields: Any) -> None: ...
    def warning(self, event: str, **fields: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock after which nobody waits for the answer."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds)

    def remaining_s(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self.at - time.monotonic())

    @property
    def passed(self) -> bool:
        return self.remaining_s() == 0.0


@runtime_checkable
class OpenSource(Protocol):
    """A source opened with its config. All three raise :class:`ConnectorError` and nothing else."""

    @property
    def capabilities(self) -> Capabilities: ...

    async def check(self) -> Checked:
        """Prove address, credentials, scope and read rights, cheaply."""
        ...

    def read(self, cursor: str | None) -> AsyncIterator[Page]:
        """Yield all entries (``cursor`` None), or the changes since the cursor of an earlier End.

        Memory stays bounded whatever the directory's size. Users may come before, after or among
        the groups. A cursor that the directory no longer knows gives a full read, which its End
        says. Raises rather than ends early.
        """
        ...

    async def aclose(self) -> None:
        """Let go of everything; may be called at any time, and twice."""
        ...


class Connector(Protocol):
    """What the entry point names: a class, used without an instance."""

    @staticmethod
    def parse(settings: Mapping[str, Any]) -> Any:
        """Turn the source's ``settings`` into the connector's own config, without any I/O.

        Raises BadSetting for the first key that is wrong, unknown or missing.
        """
        ...

    @staticmethod
    def open(config: Any, log: Log, deadline: Deadline) -> OpenSource:
        """Open the source; connecting may wait for the first use. Everything ends by the deadline."""
        ...


# ---------------------------------------------------------------------------------------- errors


class ConnectorError(Exception):
    """Something outside went wrong; the text is a sentence for the admin, without secrets."""

    kind = "failed"

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class CredentialsRefused(ConnectorError):
    """The directory does not accept who we say we are, or what we may read."""

    kind = "credentials_refused"


class Unreachable(ConnectorError):
    """No connection, a name that does not resolve, a certificate that is not trusted, a time-out."""

    kind = "unreachable"


class RateLimited(ConnectorError):
    """The directory asks us to come back later."""

    kind = "rate_limited"

    def __init__(self, why: str, retry_after_s: float) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


class Incomplete(ConnectorError):
    """The read began, and cannot be finished: a page lost, a limit hit, a file that is cut off."""

    kind = "incomplete"


class BadSetting(Exception):
    """A key of the source's settings is wrong. ``key`` is dotted, as the admin wrote it."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"{key}: {why}")
        self.key = key
        self.why = why


# ---------------------------------------------------------------------------------------- secrets


class Secret:
    """A text that shows itself to nobody by accident. ``reveal()`` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret('********')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def read_secret(value: object, key: str) -> Secret:
    """Follow ``env:NAME`` or ``file:PATH``; a Secret passes as it is.

    Raises BadSetting, which names the key and the reference and never the value.
    """
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise BadSetting(key, "must be a reference: env:NAME or file:PATH")
    scheme, _, rest = value.partition(":")
    if scheme == "env" and rest:
        text = os.environ.get(rest)
        if not text:
            what = "not set" if text is None else "empty"
            raise BadSetting(key, f"the environment variable {rest} is {what}")
        return Secret(text)
    if scheme == "file" and rest:
        try:
            text = Path(rest).read_text(encoding="utf-8").strip("\r\n")
        except (OSError, UnicodeDecodeError) as exc:
            raise BadSetting(key, f"the file {rest} cannot be read: {type(exc).__name__}") from exc
        if not text:
            raise BadSetting(key, f"the file {rest} is empty")
        return Secret(text)
    raise BadSetting(key, "a secret is never written here; use env:NAME or file:PATH")
