"""Who counts as approved without a partner's word (U18)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scimd.core import approval

from .people import NOON

OWN = frozenset({"acme.example"})


@pytest.mark.parametrize(
    ("auto", "address", "approved"),
    [
        ("never", "ann@acme.example", False),
        ("domains", "ann@acme.example", True),
        ("domains", "ann@elsewhere.example", False),
        ("domains", "ann@sub.acme.example", False),
        ("domains", "acme.example@elsewhere.example", False),
        ("domains", None, False),
        ("always", None, True),
    ],
)
def test_arrival_gives_it_as_far_as_the_source_is_trusted(auto, address, approved):
    assert approval.on_arrival(auto, address, OWN) is approved


@pytest.mark.parametrize(
    ("same", "days", "survives"),
    [(True, 90, True), (True, 90.1, False), (False, 1, False), (True, None, True)],
)
def test_it_survives_90_days_with_the_same_external_id(same, days, survives):
    left = None if days is None else NOON - timedelta(days=days)
    assert approval.survives(same, left, NOON) is survives
