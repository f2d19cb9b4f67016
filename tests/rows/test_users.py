"""Rows U1-U20 of the feature table: what is done through one door is looked at through another."""

from __future__ import annotations

from tests.support.installation import Installation


async def test_smoke(acme: Installation) -> None:
    ann = await acme.add("ann")
    assert ann["status"] == "active"
    assert len(await acme.cli("user", "list")) == 2
