"""A whole read put together, and a log that keeps what it is told."""
# ruff: noqa: S101  (a suite asserts, and this one does without pytest)

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from scimd.connector_api import (
    BadEntry,
    DirectoryGroup,
    DirectoryUser,
    OpenSource,
    Page,
)


@dataclass
class RecordingLog:
    """A ``Log`` that keeps everything, to be searched for secrets and for warnings."""

    lines: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def debug(self, event: str, **fields: Any) -> None:
        self.lines.append(("debug", event, fields))

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append(("info", event, fields))

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append(("warning", event, fields))


@dataclass(frozen=True)
class Whole:
    """All that one read gave, put together."""

    pages: tuple[Page, ...]

    @property
    def users(self) -> list[DirectoryUser]:
        return [user for page in self.pages for user in page.users]

    @property
    def groups(self) -> list[DirectoryGroup]:
        return [group for page in self.pages for group in page.groups]

    @property
    def bad(self) -> list[BadEntry]:
        return [bad for page in self.pages for bad in page.bad]

    @property
    def records(self) -> list[DirectoryUser | DirectoryGroup]:
        return [*self.users, *self.groups]

    @property
    def ids(self) -> list[str]:
        return [record.external_id for record in self.records]

    def user(self, name: str) -> DirectoryUser:
        """Find one person by external id or by name."""
        return next(user for user in self.users if name in (user.external_id, user.name))

    def group(self, name: str) -> DirectoryGroup:
        """Find one group by external id, name or display name."""
        return next(g for g in self.groups if name in (g.external_id, g.name, g.display_name))


async def read_whole(source: OpenSource, cursor: str | None = None) -> Whole:
    """Read to the end; raises AssertionError where a read ends without its End."""
    pages = [page async for page in source.read(cursor)]
    assert pages, "a read must give at least one page, which carries its End"
    assert pages[-1].end is not None, "the last page has no End: this read would count as cut off"
    return Whole(tuple(pages))


async def closed(pages: AsyncIterator[Page]) -> None:
    aclose = getattr(pages, "aclose", None)
    if aclose is not None:
        await aclose()
