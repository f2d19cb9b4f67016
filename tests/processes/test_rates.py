"""Buckets that several processes take from: together no more than one of them alone."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from itertools import cycle
from pathlib import Path

import pytest

from scimd.http.rates import Buckets, Rate, SharedBuckets, counted
from tests.support.requirement import require


@pytest.mark.parametrize("shared", [False, True])
def test_bucket_fills_again_with_time_and_a_refusal_takes_nothing(shared: bool) -> None:
    """``shared``: two that have the same shelf take in turn, and together no more than one alone."""
    now = 100.0
    with SharedBuckets.shelf() as shelf, os.fdopen(os.dup(shelf.fileno()), "r+b") as again:
        alone = Buckets(10, 20, lambda: now)
        both: list[Rate] = [SharedBuckets(10, 20, file, lambda: now) for file in (shelf, again)]
        takers = cycle(both if shared else [alone])

        def take(key: str = "token") -> float:
            return next(takers).take(key)

        assert [take() for _ in range(20)] == [0.0] * 20
        assert [take(), take()] == pytest.approx([0.1, 0.1])
        assert take("another") == 0.0
        now += 0.11
        assert take() == 0.0
        assert take() > 0
        now += 60
        assert [take() for _ in range(20)] == [0.0] * 20
        assert take() > 0


def test_of_many_callers_the_longest_silent_are_forgotten() -> None:
    now = 0.0
    with SharedBuckets.shelf() as shelf:
        buckets = SharedBuckets(1e-9, 1, shelf, lambda: now)
        assert [buckets.take("first"), buckets.take("first") > 0] == [0.0, True]
        for n in range(200_000):
            now += 1e-3
            buckets.take(str(n))
        assert buckets.take("first") == 0.0
        assert os.fstat(shelf.fileno()).st_size < 1 << 20


@pytest.mark.parametrize("in_memory", [True, False])
def test_shelf_has_its_room_from_the_start_and_in_memory_where_it_can(
    in_memory: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes to what a full disk has no room for is killed (SIGBUS), and so is who comes after."""
    if in_memory:
        require(hasattr(os, "memfd_create"), "this system has no such files")
    else:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "away" if in_memory else tmp_path))
    with SharedBuckets.shelf() as shelf:
        assert SharedBuckets(10, 20, shelf).take("token") == 0.0
        there = os.fstat(shelf.fileno())
        assert there.st_size == 24 << 14
        assert in_memory or there.st_blocks * 512 >= there.st_size


def test_whoever_counts_something_else_on_the_same_shelf_has_buckets_of_their_own() -> None:
    with SharedBuckets.shelf() as shelf:
        tokens, failures = (counted(1e-9, 1, shelf, of=of) for of in ("token", "failure"))
        assert [tokens.take("a"), failures.take("a")] == [0.0, 0.0]
        assert min(tokens.take("a"), failures.take("a"), counted(1e-9, 1, shelf, of="token").take("a")) > 0
        assert counted(1e-9, 1, None, of="token").take("a") == 0.0


def test_processes_at_once_take_no_more_than_there_is() -> None:
    with SharedBuckets.shelf() as shelf:
        fork = multiprocessing.get_context("fork")
        counts = fork.Queue()

        def take() -> None:
            buckets = SharedBuckets(1e-9, 1000, shelf, lambda: 1.0)
            counts.put(sum(buckets.take("token") == 0.0 for _ in range(600)))

        processes = [fork.Process(target=take) for _ in range(4)]
        for each in processes:
            each.start()
        taken = [counts.get() for _ in processes]
        for each in processes:
            each.join()
    assert sum(taken) == 1000
    assert len([each for each in taken if each]) > 1
