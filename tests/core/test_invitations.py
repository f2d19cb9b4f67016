"""Invitations: every step, every refusal, the clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimd.core.errors import InvitationClosed, LinkInvalid
from scimd.core.invitations import (
    Invitation,
    InvitationStatus,
    accept,
    copy_link,
    decline,
    expire,
    link_for,
    mail_due,
    resend,
    verifies_address,
    withdraw,
)
from scimd.core.people import InvitationId, OrgId, PersonId

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WEEK = timedelta(days=7)
MINUTE = timedelta(minutes=1)
OPEN = Invitation(InvitationId("i1"), OrgId("acme"), PersonId("dana"), NOON + WEEK)
LINK = link_for(OPEN, "mail")
CLOSED = ["accepted", "declined", "cancelled"]


def at(status: str) -> Invitation:
    return replace(OPEN, status=InvitationStatus(status))


@pytest.mark.parametrize(("step", "status"), [(accept, "accepted"), (decline, "declined")])
def test_link_opens_a_pending_invitation_once(step, status):
    done = step(OPEN, LINK, NOON)
    assert done.status == status
    with pytest.raises(InvitationClosed) as refused:
        step(done, LINK, NOON)
    assert refused.value.status == status


@pytest.mark.parametrize("step", [accept, decline])
@pytest.mark.parametrize("status", [*CLOSED, "expired"])
def test_closed_invitation_cannot_be_used(step, status):
    with pytest.raises(InvitationClosed) as refused:
        step(at(status), LINK, NOON)
    assert refused.value.status == status


@pytest.mark.parametrize("step", [accept, decline])
@pytest.mark.parametrize(
    ("moment", "works"), [(NOON + WEEK - MINUTE, True), (NOON + WEEK, False), (NOON + WEEK + MINUTE, False)]
)
def test_invitation_is_dead_at_its_expiry_exactly_with_the_job_off(step, moment, works):
    if works:
        assert step(OPEN, LINK, moment).status != InvitationStatus.PENDING
    else:
        with pytest.raises(InvitationClosed) as refused:
            step(OPEN, LINK, moment)
        assert refused.value.status == "expired"


@pytest.mark.parametrize(
    "wrong",
    [
        {"generation": 0},
        {"generation": 2},
        {"org": "other"},
        {"record": "i2"},
        {"purpose": "password"},
    ],
)
@pytest.mark.parametrize("status", ["pending", *CLOSED])
def test_link_of_anything_else_tells_nothing(wrong, status):
    with pytest.raises(LinkInvalid):
        accept(at(status), replace(LINK, **wrong), NOON)


def test_withdrawn_invitation_cannot_be_accepted():
    with pytest.raises(InvitationClosed):
        accept(withdraw(OPEN), LINK, NOON)


@pytest.mark.parametrize("status", [*CLOSED, "expired"])
def test_only_a_pending_invitation_is_withdrawn(status):
    with pytest.raises(InvitationClosed):
        withdraw(at(status))


def test_expire_writes_what_the_clock_says():
    assert expire(OPEN, NOON) == OPEN
    assert expire(OPEN, NOON + WEEK).status is InvitationStatus.EXPIRED
    assert expire(at("accepted"), NOON + WEEK) == at("accepted")


@pytest.mark.parametrize("before", [OPEN, at("expired")])
def test_resent_invitation_has_a_new_generation_and_older_links_die(before):
    again = resend(before, NOON + WEEK, WEEK)
    assert (again.status, again.generation, again.expires_at) == ("pending", 2, NOON + 2 * WEEK)
    with pytest.raises(LinkInvalid):
        accept(again, LINK, NOON)
    assert accept(again, link_for(again, "mail"), NOON).status is InvitationStatus.ACCEPTED


@pytest.mark.parametrize("status", CLOSED)
def test_closed_invitation_is_neither_resent_nor_copied(status):
    with pytest.raises(InvitationClosed):
        resend(at(status), NOON, WEEK)
    with pytest.raises(InvitationClosed):
        copy_link(at(status), NOON, WEEK)


def test_copied_link_has_the_same_generation_and_does_not_verify_the_address():
    same, link = copy_link(OPEN, NOON, WEEK)
    assert same == OPEN
    assert (link.generation, link.channel) == (1, "copy")
    assert accept(same, link, NOON).status is InvitationStatus.ACCEPTED
    assert verifies_address(LINK)
    assert not verifies_address(link)


def test_copying_the_link_of_an_expired_invitation_renews_it():
    renewed, link = copy_link(OPEN, NOON + WEEK, WEEK)
    assert (renewed.status, renewed.expires_at) == ("pending", NOON + 2 * WEEK)
    assert accept(renewed, link, NOON + WEEK).status is InvitationStatus.ACCEPTED


@pytest.mark.parametrize(("last", "due"), [(0, 2), (1, 3), (12, 14), (13, 15), (14, 15), (60, 15)])
def test_mail_leaves_two_minutes_after_the_last_change_and_fifteen_at_most(last, due):
    assert mail_due(NOON, NOON + last * MINUTE) == NOON + due * MINUTE


@given(st.timedeltas(timedelta(0), timedelta(hours=1)), st.timedeltas(timedelta(0), timedelta(hours=1)))
def test_mail_leaves_no_sooner_than_the_delay_and_no_later_than_the_longest(last, delay):
    due = mail_due(NOON, NOON + last, delay, 15 * MINUTE)
    soonest = min(NOON + last + delay, NOON + 15 * MINUTE)
    assert soonest <= due <= min(soonest + delay / 24 + delay.resolution, NOON + 15 * MINUTE)


def test_changes_of_one_push_put_the_mail_off_to_one_moment():
    dues = {mail_due(NOON, NOON + timedelta(seconds=seconds)) for seconds in (0.001, 1, 4.9, 5)}
    assert dues == {NOON + 2 * MINUTE + timedelta(seconds=5)}


STEPS = {
    "accept": lambda i, now: accept(i, link_for(i, "mail"), now),
    "decline": lambda i, now: decline(i, link_for(i, "mail"), now),
    "withdraw": lambda i, now: withdraw(i),
    "expire": expire,
    "resend": lambda i, now: resend(i, now, WEEK),
    "copy": lambda i, now: copy_link(i, now, WEEK)[0],
}


@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 5))))
def test_whatever_is_tried_an_end_is_an_end_and_generations_only_grow(tries) -> None:
    invitation, now, ended = OPEN, NOON, None
    for name, days in tries:
        now += timedelta(days=days)
        before = invitation
        try:
            invitation = STEPS[name](invitation, now)
        except InvitationClosed:
            assert invitation == before
        assert invitation.generation - before.generation == (
            1 if name == "resend" and invitation != before else 0
        )
        assert ended in (None, invitation.status)
        if invitation.status in CLOSED:
            ended = invitation.status
