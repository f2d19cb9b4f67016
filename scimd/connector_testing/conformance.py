"""The suite itself: a rule of ``scimd.connector_api`` per method."""
# ruff: noqa: S101, PT017  (a suite asserts, and this one does without pytest)

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping
from typing import Any, TypeVar

from scimd.connector_api import (
    BadSetting,
    Capabilities,
    Checked,
    Connector,
    ConnectorError,
    Deadline,
    OpenSource,
)
from scimd.connector_testing.observing import Collecting, Heart, audited, nothing_left
from scimd.connector_testing.reading import RecordingLog, Whole, closed, read_whole
from scimd.connector_testing.values import (
    assert_sentence,
    assert_storable,
    assert_value,
    by_id,
    chain,
    texts,
)

T = TypeVar("T")
_UNKNOWN_KEY = "no_connector_knows_this_key"


class ConnectorConformance:
    """Inherit this, set ``connector``, and give ``settings()``.

    ``timeout_s`` bounds every test, and a tenth of it what may go on after a read was given up;
    ``largest_page`` is how many records scimd takes in one page; ``longest_pause_s`` is how long the event
    loop may stand still while the connector works.
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
        self.connector.parse(settings)
        allowed = {value[5:] for value in settings.values() if str(value).startswith("file:")}
        events = audited(lambda: self.connector.parse(settings), self.timeout_s)
        used = [event for event in events if not (event[0] == "open" and event[1] in allowed)]
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
            assert_sentence(sentence)

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
            assert by_id(one) == by_id(again), "a directory at rest must read the same each time"

    def test_attributes_hold_values_and_never_none(self) -> None:
        for record in self._read().records:
            for name, value in record.attributes.items():
                assert isinstance(name, str)
                assert_value(value, f"{record.name}: {name}")

    def test_texts_can_be_stored(self) -> None:
        """Half a character (a lone surrogate) or a NUL breaks the database, long after the read."""
        whole = self._read()
        for record in whole.records:
            for text in (record.external_id, record.name, *record.references, *texts(record.attributes)):
                assert_storable(text, record.external_id)
        for group in whole.groups:
            for text in (group.display_name, *group.members):
                assert_storable(text, group.external_id)

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
            heart = Heart()
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
                    assert_sentence(refused.why)
                else:
                    raise AssertionError("what begins after the deadline must raise a ConnectorError")

        self._run(too_late, deadline=Deadline.after(-1.0))

    def test_an_abandoned_read_leaves_nothing_running(self) -> None:
        async def abandon(source: OpenSource) -> None:
            pages = source.read(None)
            async for _page in pages:
                break
            await closed(pages)

        with nothing_left(self.timeout_s / 10):
            self._run(abandon)

    def test_a_cancelled_read_leaves_nothing_running(self) -> None:
        async def cancel(source: OpenSource) -> None:
            reading = asyncio.create_task(read_whole(source))
            await asyncio.sleep(0.005)
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading

        with nothing_left(self.timeout_s / 10):
            self._run(cancel)

    # ------------------------------------------------------------------------------------ failing

    def test_every_fault_is_a_connector_error(self) -> None:
        for fault, settings in self.faults().items():
            try:
                self._run(read_whole, settings=settings)
            except ConnectorError as refused:
                assert_sentence(refused.why)
            else:
                raise AssertionError(f"{fault}: a read with this fault must raise, and ended well")

    def test_secrets_appear_nowhere(self) -> None:
        log, said = RecordingLog(), Collecting()
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
                yield chain(refused)
        try:
            self.connector.parse({**self.settings(), _UNKNOWN_KEY: 1})
        except BadSetting as refused:
            yield chain(refused)

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
