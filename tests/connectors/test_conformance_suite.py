"""The conformance suite finds what is wrong: a connector with one fault fails the test of that fault."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from scimd.connector_api import (
    BadSetting,
    Capabilities,
    Checked,
    Deadline,
    DirectoryGroup,
    DirectoryUser,
    End,
    Log,
    Page,
    Secret,
    Unreachable,
)
from scimd.connector_testing import ConnectorConformance
from scimd.connector_testing.observing import audited
from tests.support.patience import AT_MOST_S


class Good:
    """A connector without fault, of which the others spoil one thing each."""

    @staticmethod
    def parse(settings: Mapping[str, Any]) -> Any:
        for key in settings:
            if key != "password":
                raise BadSetting(key, "there is only password")
        return settings["password"]

    @classmethod
    def open(cls, config: Any, log: Log, deadline: Deadline) -> Any:
        self = cls()
        self.config, self.log, self.deadline = config, log, deadline  # type: ignore[attr-defined]
        return self

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(groups=True)

    async def check(self) -> Checked:
        self.in_time()
        return Checked("All is well.")

    def in_time(self) -> None:
        if self.deadline.passed:  # type: ignore[attr-defined]
            raise Unreachable("It is too late.")

    async def read(self, cursor: str | None) -> AsyncIterator[Page]:
        self.in_time()
        for page in self.pages():
            await asyncio.sleep(0)
            yield page

    def pages(self) -> list[Page]:
        return [
            Page(users=(DirectoryUser("1", "one", {"a": ("b",)}), DirectoryUser("2", "two", {}))),
            Page(groups=(DirectoryGroup("g", "group", "Group", ("1",)),), end=End(full=True)),
        ]

    async def aclose(self) -> None:
        pass


class TestGood(ConnectorConformance):
    connector = Good

    def settings(self) -> Mapping[str, Any]:
        return {"password": Secret("s3cret-word")}

    def secrets(self) -> tuple[str, ...]:
        return ("s3cret-word",)


def _users(*users: DirectoryUser) -> Callable[[Any], list[Page]]:
    return lambda self: [Page(users=users, end=End(full=True))]


def _one(**attributes: Any) -> Callable[[Any], list[Page]]:
    return _users(DirectoryUser("1", "one", attributes))


def _group(*members: str, name: str = "Group") -> Callable[[Any], list[Page]]:
    return lambda self: [
        Page(users=(DirectoryUser("1", "one", {}),)),
        Page(groups=(DirectoryGroup("g", "g", name, members),), end=End(full=True)),
    ]


async def _leaking(self: Any, cursor: str | None) -> AsyncIterator[Page]:
    stop = threading.Event()
    threading.Thread(target=stop.wait, args=(AT_MOST_S / 2,), daemon=True).start()
    for page in self.pages():
        yield page
    stop.set()


async def _blocking(self: Any, cursor: str | None) -> AsyncIterator[Page]:
    time.sleep(0.7)
    for page in self.pages():
        yield page


async def _shouting(self: Any, cursor: str | None) -> AsyncIterator[Page]:
    self.log.info("connected", password=self.config.reveal())
    for page in self.pages():
        yield page


async def _raising(self: Any, cursor: str | None) -> AsyncIterator[Page]:
    raise KeyError(cursor)
    yield Page()


def _reading_parse(settings: Mapping[str, Any]) -> Any:
    Path(__file__).read_bytes()
    return Good.parse(settings)


async def _silent_check(self: Any) -> Checked:
    self.in_time()
    return Checked("")


def test_looking_for_io_leaves_no_hook_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python never takes an audit hook out again: one left here would run in whatever comes later."""
    hooks: list[object] = []
    monkeypatch.setattr(sys, "addaudithook", hooks.append)
    TestGood().test_parse_does_no_io()
    assert not hooks


def test_a_call_that_fails_while_it_is_watched_is_said() -> None:
    with pytest.raises(AssertionError, match="failed in the copy"):
        audited(lambda: 1 / 0, timeout_s=AT_MOST_S)


@pytest.mark.parametrize(
    ("test", "fault"),
    [
        ("test_parse_refuses_an_unknown_key_by_its_name", {"parse": staticmethod(lambda s: s["password"])}),
        ("test_parse_does_no_io", {"parse": staticmethod(_reading_parse)}),
        ("test_check_answers_in_one_sentence", {"check": _silent_check}),
        ("test_a_read_ends_with_a_full_end", {"pages": lambda self: [Page()]}),
        ("test_a_read_ends_with_a_full_end", {"pages": lambda self: [Page(end=End(full=False))]}),
        ("test_a_read_gives_exactly_the_expected", {"pages": _users()}),
        (
            "test_external_ids_are_unique_and_not_empty",
            {"pages": _users(DirectoryUser("1", "a", {}), DirectoryUser("1", "b", {}))},
        ),
        ("test_external_ids_are_unique_and_not_empty", {"pages": _users(DirectoryUser(" ", "a", {}))}),
        (
            "test_two_reads_give_the_same",
            {"pages": lambda self: _users(DirectoryUser(str(time.monotonic_ns()), "a", {}))(self)},
        ),
        ("test_attributes_hold_values_and_never_none", {"pages": _one(a=None)}),
        ("test_attributes_hold_values_and_never_none", {"pages": _one(a={"b": ("c", None)})}),
        ("test_attributes_hold_values_and_never_none", {"pages": _one(a=["list"])}),
        ("test_texts_can_be_stored", {"pages": _users(DirectoryUser("\ud800", "a", {}))}),
        ("test_texts_can_be_stored", {"pages": _one(a=({"b": "\udfff"},))}),
        ("test_texts_can_be_stored", {"pages": _one(a="\0")}),
        (
            "test_pages_are_bounded",
            {"pages": _users(*(DirectoryUser(str(n), "n", {}) for n in range(501)))},
        ),
        ("test_members_refer_to_what_was_read", {"pages": _group("nobody")}),
        ("test_members_refer_to_what_was_read", {"pages": _group("1", "1")}),
        ("test_members_refer_to_what_was_read", {"pages": _group("1", name=" ")}),
        ("test_groups_come_only_where_they_are_claimed", {"capabilities": Capabilities()}),
        ("test_groups_come_only_where_they_are_claimed", {"pages": _group("g")}),
        (
            "test_an_incremental_read_goes_on_from_its_cursor",
            {"capabilities": Capabilities(groups=True, incremental=True)},
        ),
        ("test_reading_leaves_the_event_loop_free", {"read": _blocking}),
        ("test_after_the_deadline_everything_fails", {"in_time": lambda self: None}),
        ("test_an_abandoned_read_leaves_nothing_running", {"read": _leaking}),
        ("test_every_fault_is_a_connector_error", {}),
        ("test_secrets_appear_nowhere", {"read": _shouting}),
        ("test_secrets_appear_nowhere", {"parse": staticmethod(lambda s: s["password"].reveal())}),
    ],
)
def test_one_fault_fails_its_test(test: str, fault: dict[str, Any]) -> None:
    suite = TestGood()
    suite.connector = type("Spoilt", (Good,), fault)
    suite.faults = lambda: {"a fault": suite.settings()}  # type: ignore[method-assign]
    if test != "test_every_fault_is_a_connector_error":
        suite.faults = dict  # type: ignore[method-assign]
    with pytest.raises(AssertionError):
        getattr(suite, test)()


def test_an_error_of_another_kind_is_not_taken_for_a_connector_error() -> None:
    suite = TestGood()
    suite.connector = type("Spoilt", (Good,), {"read": _raising})
    suite.faults = lambda: {"a fault": suite.settings()}  # type: ignore[method-assign]
    with pytest.raises(KeyError):
        suite.test_every_fault_is_a_connector_error()
