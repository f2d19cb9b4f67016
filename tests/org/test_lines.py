"""Waiting in line: who is taken together, who waits, who is turned away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from scimd.core.errors import Overloaded
from scimd.org.lines import AT_ONCE, Line, Waiter

Batch = Sequence[Waiter[str, str]]


class Desk:
    """Notes each batch, and is slow until ``open`` is set."""

    def __init__(self, most: int = 100, patience_s: float = 600.0, hands: int = 1) -> None:
        self.batches: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self.empty = 0
        self.line: Line[str, str] = Line(self.serve, self.left, most, patience_s, hands)

    async def serve(self, batch: Batch) -> Exception | None:
        self.batches.append("".join(each.wish for each in batch))
        await self.open.wait()
        for each in batch:
            each.tell(KeyError(each.wish) if each.wish == "!" else each.wish.upper())
        return Overloaded() if any(each.wish == "?" for each in batch) else None

    def left(self) -> None:
        self.empty += 1

    def join(self, wish: str, *claims: str, weight: int = 1) -> asyncio.Task[str]:
        return asyncio.ensure_future(self.line.join(wish, claims or (wish,), weight))


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_arrives_in_one_turn_is_one_batch_and_each_is_told_their_own() -> None:
    desk = Desk()
    said = await asyncio.gather(*(desk.join(each) for each in "ab!c"), return_exceptions=True)
    assert said[:2] == ["A", "B"]
    assert isinstance(said[2], KeyError)
    assert said[3] == "C"
    assert desk.batches == ["ab!c"]
    assert desk.empty == 1


async def test_who_comes_meanwhile_gathers_for_the_next_batch() -> None:
    desk = Desk()
    desk.open.clear()
    first = desk.join("a")
    await turns()
    later = [desk.join(each) for each in "bcd"]
    await turns()
    assert desk.batches == ["a"]
    desk.open.set()
    assert await asyncio.gather(first, *later) == ["A", "B", "C", "D"]
    assert desk.batches == ["a", "bcd"]


async def test_who_waits_behind_a_batch_in_vain_is_told_the_same_and_the_next_is_tried() -> None:
    desk = Desk()
    desk.open.clear()
    first = desk.join("?")
    await turns()
    later = [desk.join(each) for each in "bc"]
    await turns()
    desk.open.set()
    assert await first == "?"
    assert [type(each) for each in await asyncio.gather(*later, return_exceptions=True)] == [Overloaded] * 2
    assert await desk.join("d") == "D"
    assert desk.batches == ["?", "d"]


async def test_who_is_about_the_same_waits_behind_and_nobody_of_theirs_overtakes() -> None:
    desk = Desk()
    await asyncio.gather(
        desk.join("a", "x"), desk.join("b", "x", "y"), desk.join("c", "y"), desk.join("d", "z")
    )
    assert desk.batches == ["ad", "b", "c"]


async def test_two_hands_do_two_batches_at_the_same_time_and_no_third() -> None:
    desk = Desk(hands=2)
    desk.open.clear()
    said = [desk.join("a")]
    await turns()
    said += [desk.join("b"), desk.join("c")]
    await turns()
    said += [desk.join("d"), desk.join("e")]
    await turns()
    assert desk.batches == ["a", "bc"]
    desk.open.set()
    assert await asyncio.gather(*said) == ["A", "B", "C", "D", "E"]
    assert desk.batches == ["a", "bc", "de"]
    assert desk.empty == 1


async def test_what_is_too_much_for_one_batch_is_the_other_hands() -> None:
    desk = Desk(hands=2)
    desk.open.clear()
    said = [desk.join(each, weight=AT_ONCE // 2) for each in "abcde"]
    await turns()
    await turns()
    assert desk.batches == ["ab", "cd"]
    desk.open.set()
    assert await asyncio.gather(*said) == ["A", "B", "C", "D", "E"]
    assert desk.batches == ["ab", "cd", "e"]


async def test_the_other_hand_leaves_alone_what_is_under_way() -> None:
    desk = Desk(hands=2)
    desk.open.clear()
    said = [desk.join("a", "x")]
    await turns()
    said += [desk.join("b", "x"), desk.join("c", "y"), desk.join("d", "x", "z")]
    await turns()
    said += [desk.join("e", "z")]
    await turns()
    assert desk.batches == ["a", "c"]
    desk.open.set()
    assert await asyncio.gather(*said) == ["A", "B", "C", "D", "E"]
    assert desk.batches == ["a", "c", "b", "d", "e"]


async def test_a_hand_that_finds_nothing_to_do_comes_back_for_the_next() -> None:
    desk = Desk(hands=2)
    desk.open.clear()
    said = [desk.join("a", "x")]
    await turns()
    said += [desk.join("b", "x")]
    await turns()
    said += [desk.join("c", "y")]
    await turns()
    assert desk.batches == ["a", "c"]
    desk.open.set()
    assert await asyncio.gather(*said) == ["A", "B", "C"]
    assert desk.empty == 1


async def test_a_batch_has_a_weight_and_one_who_is_heavier_goes_alone() -> None:
    desk = Desk()
    await asyncio.gather(*(desk.join(each, weight=AT_ONCE // 2) for each in "abc"), desk.join("d", weight=99))
    assert desk.batches == ["ab", "c", "d"]


async def test_who_has_gone_is_passed_over() -> None:
    desk = Desk()
    gone, stays = desk.join("a"), desk.join("b")
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == "B"
    assert desk.batches in (["b"], ["ab"])
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_a_full_line_takes_nobody() -> None:
    desk = Desk(most=2)
    desk.open.clear()
    inside = desk.join("a")
    await turns()
    waiting = [desk.join("b"), desk.join("c")]
    await turns()
    with pytest.raises(Overloaded):
        await desk.line.join("d", (), 1)
    desk.open.set()
    assert await asyncio.gather(inside, *waiting) == ["A", "B", "C"]


async def test_who_has_waited_too_long_is_turned_away() -> None:
    desk = Desk(patience_s=-1.0)
    with pytest.raises(Overloaded):
        await desk.join("a")
    assert desk.batches == []
