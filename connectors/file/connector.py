"""A directory kept as files: CSV, JSON Lines or LDIF, as an export of some other system."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

from connectors.file.config import FileConfig, parse
from connectors.file.read import Part, Record, parts, records
from connectors.own_thread import OwnThread
from scimd.connector_api import (
    BadEntry,
    Capabilities,
    Checked,
    Deadline,
    DirectoryGroup,
    DirectoryUser,
    End,
    Log,
    Page,
    Unreachable,
)

T = TypeVar("T")
_PAGE_RECORDS = 200


class FileConnector:
    """The entry point ``file``."""

    @staticmethod
    def parse(settings: Mapping[str, Any]) -> FileConfig:
        return parse(settings)

    @staticmethod
    def open(config: FileConfig, log: Log, deadline: Deadline) -> FileSource:
        return FileSource(config, log, deadline)


class FileSource:
    """Each read has a thread of its own: a file may lie on a share that is slow or gone."""

    def __init__(self, config: FileConfig, log: Log, deadline: Deadline) -> None:
        self._config = config
        self._log = log
        self._deadline = deadline

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(groups=True, nested_groups=True)

    async def check(self) -> Checked:
        """Read the first page, which finds a missing file, a wrong header and a wrong encoding."""
        reading = _Reading(self._config)
        try:
            files = await self._in_time(reading.files())
            first = await self._in_time(reading.page())
        finally:
            reading.close()
        names = " and ".join(part.path.name for part in files)
        warnings = [f"{bad.name}: {bad.why}" for bad in first.bad[:3]]
        if not first.users and not first.groups:
            warnings.append(f"{names}: no people at the beginning of the file")
        return Checked(f"{self._config.path}: {names} can be read.", tuple(warnings))

    async def read(self, cursor: str | None) -> AsyncIterator[Page]:
        """Yield everything; a cursor, which this connector never gives, changes nothing."""
        reading = _Reading(self._config)
        count = 0
        try:
            while True:
                page = await self._in_time(reading.page())
                count += len(page.users) + len(page.groups)
                yield page
                if page.end:
                    break
        finally:
            reading.close()
        self._log.info("file_read", path=str(self._config.path), records=count)

    async def aclose(self) -> None:
        """Nothing is open between two reads, and a read closes its files itself."""

    async def _in_time(self, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._deadline.remaining_s()):
                return await work
        except TimeoutError as exc:
            raise Unreachable(f"{self._config.path} could not be read in the time allowed") from exc


class _Reading:
    """One pass over the files, page by page, in one thread; whoever ends it need not wait for that."""

    def __init__(self, config: FileConfig) -> None:
        self._config = config
        self._records: Iterator[Record] = records(config)
        self._thread = OwnThread("file-read", self._close_files)

    def files(self) -> Awaitable[list[Part]]:
        return self._thread.begin(lambda: parts(self._config))

    def page(self) -> Awaitable[Page]:
        return self._thread.begin(self._page)

    def close(self) -> None:
        """Have the files closed, once a page that is still being read is."""
        self._thread.end()

    def _page(self) -> Page:
        found = list(islice(self._records, _PAGE_RECORDS))
        return Page(
            users=tuple(record for record in found if isinstance(record, DirectoryUser)),
            groups=tuple(record for record in found if isinstance(record, DirectoryGroup)),
            bad=tuple(record for record in found if isinstance(record, BadEntry)),
            end=End(full=True) if len(found) < _PAGE_RECORDS else None,
        )

    def _close_files(self) -> None:
        close = getattr(self._records, "close", None)
        if close is not None:
            close()
