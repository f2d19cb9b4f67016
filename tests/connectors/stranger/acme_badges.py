"""Acme's badge system: an SQLite file in which every badge has a number that is never used again.

A stranger's connector: it needs Python and ``scimd.connector_api``, and reads changes since a cursor.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from scimd.connector_api import (
    BadSetting,
    Capabilities,
    Checked,
    CredentialsRefused,
    Deadline,
    DirectoryGroup,
    DirectoryUser,
    End,
    Log,
    Page,
    Secret,
    Unreachable,
    read_secret,
)

T = TypeVar("T")
PAGE = 100


@dataclass(frozen=True)
class BadgeConfig:
    file: str
    pin: Secret


class BadgeConnector:
    @staticmethod
    def parse(settings: Mapping[str, Any]) -> BadgeConfig:
        for key in settings:
            if key not in ("file", "pin"):
                raise BadSetting(key, "the badge system has file and pin")
        if not isinstance(settings.get("file"), str):
            raise BadSetting("file", "must name the database of the badge system")
        return BadgeConfig(settings["file"], read_secret(settings.get("pin"), "pin"))

    @staticmethod
    def open(config: BadgeConfig, log: Log, deadline: Deadline) -> BadgeSource:
        return BadgeSource(config, deadline)


class BadgeSource:
    def __init__(self, config: BadgeConfig, deadline: Deadline) -> None:
        self._config = config
        self._deadline = deadline

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(groups=True, incremental=True)

    async def check(self) -> Checked:
        (count,) = (await self._ask("SELECT count(*) FROM badges"))[0]
        return Checked(f"{self._config.file} holds {count} badges.")

    async def read(self, cursor: str | None) -> AsyncIterator[Page]:
        since = int(cursor) if cursor is not None and cursor.isdecimal() else 0
        (until,) = (await self._ask("SELECT coalesce(max(change), 0) FROM changes"))[0]
        at = ""
        while rows := await self._ask(
            "SELECT number, name, mail FROM badges WHERE number > ? AND change > ? ORDER BY number LIMIT ?",
            at,
            since,
            PAGE,
        ):
            yield Page(users=tuple(_holder(*row) for row in rows))
            at = rows[-1][0]
        doors: dict[str, list[str]] = {}
        for door, number in await self._ask("SELECT door, number FROM doors ORDER BY door, number"):
            doors.setdefault(door, []).append(number)
        gone = await self._ask("SELECT number FROM returned WHERE change > ?", since) if since else []
        yield Page(
            groups=tuple(DirectoryGroup(f"door:{d}", d, d, tuple(numbers)) for d, numbers in doors.items()),
            gone=tuple(number for (number,) in gone),
            end=End(full=not since, cursor=str(until)),
        )

    async def aclose(self) -> None:
        """Every question opens and closes the file."""

    async def _ask(self, question: str, *values: Any) -> list[Any]:
        return await self._in_time(lambda: self._answer(question, values))

    async def _in_time(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(self._deadline.remaining_s()):
                return await asyncio.to_thread(work)
        except TimeoutError as exc:
            raise Unreachable("the badge system did not answer in time") from exc

    def _answer(self, question: str, values: tuple[Any, ...]) -> list[Any]:
        try:
            with closing(sqlite3.connect(f"file:{quote(self._config.file)}?mode=ro", uri=True)) as database:
                (pin,) = database.execute("SELECT pin FROM system").fetchone()
                if pin != self._config.pin.reveal():
                    raise CredentialsRefused("the badge system does not accept the pin")
                return database.execute(question, values).fetchall()
        except sqlite3.Error as exc:
            raise Unreachable(f"{self._config.file} cannot be read: {exc}") from exc


def _holder(number: str, name: str, mail: str | None) -> DirectoryUser:
    attributes: dict[str, Any] = {"name": name} | ({"mail": mail} if mail else {})
    return DirectoryUser(number, f"badge {number}", attributes)
