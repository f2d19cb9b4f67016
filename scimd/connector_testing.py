"""The suite that proves a connector right: what scimd relies on, as tests.

Inherit :class:`ConnectorConformance` in a pytest class, name the connector and give it settings that
reach a real directory with a few known people; fill in the other hooks as far as you can. Every
method ``test_…`` is then one rule of ``scimd.connector_api``. It needs no plugin and no fixture: each
test runs an event loop of its own, so a class for ``unittest`` works as well.
"""
# ruff: noqa: S101, PT017  (a suite asserts, and this one does without pytest)

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from scimd.connector_api import (
    BadEntry,
    BadSetting,
    Capabilities,
    Checked,
    Connector,
    ConnectorError,
    Deadline,
    DirectoryGroup,
    DirectoryUser,
    OpenSource,
    Page,
)

T = TypeVar("T")
_UNKNOWN_KEY = "no_connector_knows_this_key"


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


class ConnectorConformance:
    """Inherit this, set ``connector``, and give ``settings()``.

    ``timeout_s`` bounds every test; ``largest_page`` is how many records scimd takes in one page;
    ``longest_pause_s`` is how long the event loop may stand still while the connector works.
    """

    connector: type[Connector]
    timeout_s: float = 30.0
    largest_page: int = 500
    longest_pause_s: float = 0.5

    # ------------------------------------------------------------------------------------ hooks

    def settings(self) -> Mapping[str, Any]:
        """Settings with which check and read succeed. The directory must hold at least one person."""
        raise AssertionError(f"{type(self).__name__} must give settings()")

    def expected_people(self) -> Collection[str] | None:
        """External ids of exactly the people that a read gives; None where they are not known."""
        return None

    def expected_groups(self) -> Collection[str] | None:
        """External ids of exactly the groups that a read gives; None where they are not known."""
        return None

    def secrets(self) -> Collection[str]:
        """Passwords and tokens, in clear, that the settings lead to."""
        return ()

    def faults(self) -> Mapping[str, Mapping[str, Any]]:
        """Settings by the name of a fault, with which every read must fail as a ConnectorError.

        A wrong password, a port where nobody listens, a base that does not exist, a file cut off.
        """
        return {}

    # ------------------------------------------------------------------------------------ parsing

    def test_parse_refuses_an_unknown_key_by_its_name(self) -> None:
        try:
            self.connector.parse({**self.settings(), _UNKNOWN_KEY: 1})
        except BadSetting as refused:
            assert refused.key == _UNKNOWN_KEY
            assert refused.why.strip()
        else:
            raise AssertionError("parse must refuse a key that it does not know")

    def test_parse_does_no_io(self) -> None:
        settings = self.settings()
        self.connector.parse(settings)  # the first call may still import modules
        allowed = {value[5:] for value in settings.values() if str(value).startswith("file:")}
        with _audited() as events:
            self.connector.parse(settings)
        used = [event for event in events if not (event[0] == "open" and str(event[1]) in allowed)]
        assert not used, f"parse must not touch files, names or sockets; it did: {used}"

    def test_parse_leaves_the_settings_as_they_were(self) -> None:
        settings = dict(self.settings())
        before = dict(settings)
        self.connector.parse(settings)
        assert settings == before

    # ------------------------------------------------------------------------------------ checking

    def test_check_answers_in_one_sentence(self) -> None:
        answer = self._run(lambda source: source.check())
        assert isinstance(answer, Checked)
        for sentence in (answer.summary, *answer.warnings):
            _assert_sentence(sentence)

    def test_capabilities_are_said_before_any_read(self) -> None:
        async def ask(source: OpenSource) -> Capabilities:
            return source.capabilities

        assert isinstance(self._run(ask), Capabilities)

    # ------------------------------------------------------------------------------------ reading

    def test_a_read_ends_with_a_full_end(self) -> None:
        pages = self._read().pages
        assert all(page.end is None for page in pages[:-1]), "only the last page carries the End"
        end = pages[-1].end
        assert end is not None
        assert end.full, "read(None) lists all that exists, or raises"
        assert not [gone for page in pages for gone in page.gone], "a full read says nothing of gone"

    def test_a_read_gives_exactly_the_expected(self) -> None:
        whole = self._read()
        assert whole.users, "the directory of the test must hold at least one person"
        for expected, found in (
            (self.expected_people(), whole.users),
            (self.expected_groups(), whole.groups),
        ):
            if expected is not None:
                assert {record.external_id for record in found} == set(expected)

    def test_external_ids_are_unique_and_not_empty(self) -> None:
        ids = self._read().ids
        assert all(isinstance(external_id, str) and external_id.strip() for external_id in ids)
        assert len(set(ids)) == len(ids), "two records of one read share an external id"

    def test_two_reads_give_the_same(self) -> None:
        async def twice(source: OpenSource) -> tuple[Whole, Whole]:
            return await read_whole(source), await read_whole(source)

        one, two = self._run(twice)
        other = self._read()
        for again in (two, other):
            assert _by_id(one) == _by_id(again), "a directory at rest must read the same each time"

    def test_attributes_hold_values_and_never_none(self) -> None:
        for record in self._read().records:
            for name, value in record.attributes.items():
                assert isinstance(name, str)
                _assert_value(value, f"{record.name}: {name}")

    def test_texts_can_be_stored(self) -> None:
        """Half a character (a lone surrogate) or a NUL breaks the database, long after the read."""
        whole = self._read()
        for record in whole.records:
            for text in (record.external_id, record.name, *record.references, *_texts(record.attributes)):
                _assert_storable(text, record.external_id)
        for group in whole.groups:
            for text in (group.display_name, *group.members):
                _assert_storable(text, group.external_id)

    def test_pages_are_bounded(self) -> None:
        sizes = [len(page.users) + len(page.groups) + len(page.bad) for page in self._read().pages]
        assert max(sizes) <= self.largest_page

    def test_members_refer_to_what_was_read(self) -> None:
        whole = self._read()
        known = set(whole.ids)
        known.update(text for record in whole.records for text in record.references)
        members = [member for group in whole.groups for member in group.members]
        assert all(isinstance(member, str) and member for member in members)
        for group in whole.groups:
            assert len(set(group.members)) == len(group.members), f"{group.name} names a member twice"
            assert group.display_name.strip(), f"{group.name} has no display name"
        assert not members or known.intersection(members), "no member of any group refers to a record"

    def test_groups_come_only_where_they_are_claimed(self) -> None:
        async def ask(source: OpenSource) -> tuple[Capabilities, Whole]:
            return source.capabilities, await read_whole(source)

        capabilities, whole = self._run(ask)
        assert capabilities.groups or not whole.groups
        references = {text for group in whole.groups for text in (group.external_id, *group.references)}
        nested = any(references.intersection(group.members) for group in whole.groups)
        assert capabilities.nested_groups or not nested

    def test_an_incremental_read_goes_on_from_its_cursor(self) -> None:
        async def go_on(source: OpenSource) -> None:
            if source.capabilities.incremental:
                first = (await read_whole(source)).pages[-1].end
                assert first is not None
                assert first.cursor is not None, "who claims incremental reads must give a cursor"
                await read_whole(source, first.cursor)

        self._run(go_on)

    def test_reading_leaves_the_event_loop_free(self) -> None:
        async def beside_a_heart(source: OpenSource) -> float:
            heart = _Heart()
            beating = asyncio.create_task(heart.beat())
            try:
                await asyncio.sleep(0.02)
                await read_whole(source)
                await asyncio.sleep(0.02)
            finally:
                beating.cancel()
            return heart.longest_pause_s

        # A busy machine holds up everybody at times: at fault is who does so each time.
        at_fault = all(self._run(beside_a_heart) > self.longest_pause_s for _ in range(3))
        assert not at_fault, "blocking work belongs in a thread"

    # ------------------------------------------------------------------------------------ ending

    def test_closing_twice_is_allowed_and_unused_too(self) -> None:
        async def close(source: OpenSource) -> None:
            await source.aclose()
            await source.aclose()

        self._run(close)

        async def use_and_close(source: OpenSource) -> None:
            await read_whole(source)
            await close(source)

        self._run(use_and_close)

    def test_after_the_deadline_everything_fails(self) -> None:
        async def too_late(source: OpenSource) -> None:
            for what in (source.check, lambda: read_whole(source)):
                try:
                    await what()
                except ConnectorError as refused:
                    _assert_sentence(refused.why)
                else:
                    raise AssertionError("what begins after the deadline must raise a ConnectorError")

        self._run(too_late, deadline=Deadline.after(-1.0))

    def test_an_abandoned_read_leaves_nothing_running(self) -> None:
        async def abandon(source: OpenSource) -> None:
            pages = source.read(None)
            async for _page in pages:
                break
            await _closed(pages)

        with _nothing_left():
            self._run(abandon)

    def test_a_cancelled_read_leaves_nothing_running(self) -> None:
        async def cancel(source: OpenSource) -> None:
            reading = asyncio.create_task(read_whole(source))
            await asyncio.sleep(0.005)
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading

        with _nothing_left():
            self._run(cancel)

    # ------------------------------------------------------------------------------------ failing

    def test_every_fault_is_a_connector_error(self) -> None:
        for fault, settings in self.faults().items():
            try:
                self._run(read_whole, settings=settings)
            except ConnectorError as refused:
                _assert_sentence(refused.why)
            else:
                raise AssertionError(f"{fault}: a read with this fault must raise, and ended well")

    def test_secrets_appear_nowhere(self) -> None:
        log, said = RecordingLog(), _Collecting()
        logging.getLogger().addHandler(said)
        try:
            texts = list(self._all_texts(log))
        finally:
            logging.getLogger().removeHandler(said)
        texts += [repr(log.lines), *said.texts]
        for secret in self.secrets():
            assert not [text for text in texts if secret in text], "a secret was shown"

    def _all_texts(self, log: RecordingLog) -> Iterator[str]:
        """Give whatever the connector shows to somebody, in good days and bad."""
        for settings in (self.settings(), *self.faults().values()):
            config = self.connector.parse(settings)
            yield from (repr(config), str(config))
            try:
                yield repr(self._run(lambda source: source.check(), settings=settings, log=log))
                self._run(read_whole, settings=settings, log=log)
            except ConnectorError as refused:
                yield _chain(refused)
        try:
            self.connector.parse({**self.settings(), _UNKNOWN_KEY: 1})
        except BadSetting as refused:
            yield _chain(refused)

    # ------------------------------------------------------------------------------------ running

    def _read(self) -> Whole:
        return self._run(read_whole)

    def _run(
        self,
        body: Callable[[OpenSource], Coroutine[Any, Any, T]],
        *,
        settings: Mapping[str, Any] | None = None,
        log: RecordingLog | None = None,
        deadline: Deadline | None = None,
    ) -> T:
        """Parse, open, run the body and close, in an event loop that ends with it."""

        async def session() -> T:
            config = self.connector.parse(self.settings() if settings is None else settings)
            source = self.connector.open(
                config, log or RecordingLog(), deadline or Deadline.after(self.timeout_s)
            )
            try:
                return await asyncio.wait_for(body(source), self.timeout_s + 5)
            finally:
                await source.aclose()

        return asyncio.run(session())


# ---------------------------------------------------------------------------------------- what is held


def _assert_sentence(text: str) -> None:
    assert text.strip() == text, f"no spaces around a sentence: {text!r}"
    assert text, "an admin must be told something"
    assert "\n" not in text, f"one line, please: {text!r}"


def _assert_value(value: object, where: str) -> None:
    if isinstance(value, tuple):
        for item in value:
            _assert_value(item, where)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            assert isinstance(name, str), f"{where}: names of a mapping are texts"
            _assert_value(item, f"{where}.{name}")
    else:
        assert isinstance(value, str | bytes | bool | int | float), f"{where} holds {type(value).__name__}"


def _texts(value: object) -> Iterator[str]:
    """Give every text within a value, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from (*_texts(name), *_texts(item))
    elif isinstance(value, tuple):
        for item in value:
            yield from _texts(item)


def _assert_storable(text: str, whose: str) -> None:
    assert "\0" not in text, f"{whose!r} has a text with NUL: {text!r}"
    assert not any("\ud800" <= character <= "\udfff" for character in text), f"half a character: {text!r}"


def _by_id(whole: Whole) -> dict[str, Any]:
    return {record.external_id: record for record in whole.records}


def _chain(error: BaseException | None) -> str:
    """Give the texts of an error and of all that led to it, as a traceback would show them."""
    texts = []
    while error is not None:
        texts.append(f"{error!r} {error}")
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


async def _closed(pages: AsyncIterator[Page]) -> None:
    aclose = getattr(pages, "aclose", None)
    if aclose is not None:
        await aclose()


# ---------------------------------------------------------------------------------------- observing


class _Heart:
    """Measures how long the event loop stood still, at worst."""

    longest_pause_s = 0.0

    async def beat(self, every_s: float = 0.005) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(every_s)
            now = time.monotonic()
            self.longest_pause_s = max(self.longest_pause_s, now - last - every_s)
            last = now


class _Collecting(logging.Handler):
    def __init__(self) -> None:
        super().__init__(level=0)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


_IO_EVENTS = ("open", "os.", "socket.", "subprocess.", "urllib.", "sqlite3.")
_auditing: dict[int, list[tuple[str, Any]]] = {}
_hooked: list[bool] = []


def _note(event: str, args: tuple[Any, ...]) -> None:
    seen = _auditing.get(threading.get_ident())
    if seen is not None and event.startswith(_IO_EVENTS):
        seen.append((event, args[0] if args else None))


@contextlib.contextmanager
def _audited() -> Iterator[list[tuple[str, Any]]]:
    """Collect this thread's I/O by Python's audit events; the hook itself can never be taken out."""
    if not _hooked:
        sys.addaudithook(_note)
        _hooked.append(True)
    events = _auditing[threading.get_ident()] = []
    try:
        yield events
    finally:
        del _auditing[threading.get_ident()]


@contextlib.contextmanager
def _nothing_left(patience_s: float = 3.0) -> Iterator[None]:
    """Assert that threads and open files are afterwards what they were; tasks end with their loop."""
    before = _running()
    yield
    until = time.monotonic() + patience_s
    while (left := _running() - before) and time.monotonic() < until:
        time.sleep(0.02)
    assert not left, f"still there after the read was given up: {sorted(left)}"


def _running() -> set[str]:
    threads = {f"thread {thread.name} {thread.ident}" for thread in threading.enumerate()}
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        return threads
    files = set()
    for descriptor in descriptors.iterdir():
        with contextlib.suppress(OSError):
            files.add(f"file {descriptor.name} {os.readlink(descriptor)}")
    return threads | files
