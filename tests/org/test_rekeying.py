"""A change of the master key cuts nobody off, and says when the old one may go (X4)."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import pytest

from scimd.core.errors import SecondFactorUnreadable
from scimd.db.tables import signing_keys
from scimd.org.invitations import invitations
from scimd.org.tokens import rekeying
from scimd.org.tokens.rekeying import Use
from scimd.org.tokens.secrets import Keyring
from tests.org.acme import House
from tests.org.looks import attempts_of
from tests.org.test_second_factors import code_of, enrolled, first_step, second
from tests.support.sign_in_links import sign_in_link

OLD, NEW = b"a key of the tests, thirty-two bytes and more", b"another key, thirty-two bytes and more"


def under(acme: House, *keys: bytes) -> House:
    """The same house after a restart with these keys."""
    again = copy(acme.door)
    again.keys = Keyring(keys)
    return replace(acme, door=again)


async def test_apps_and_recovery_codes_outlast_the_key_that_they_were_made_under(acme: House) -> None:
    _, secret, renewed = await enrolled(acme)
    both = under(acme, NEW, OLD)
    assert await rekeying.follow(both.door) == 11
    assert await rekeying.follow(both.door) == 0
    alone = under(acme, NEW)
    await second(alone, await first_step(alone), code_of(secret, acme.clock.now))
    await second(alone, await first_step(alone), renewed.codes[0], "recovery")


async def test_what_lies_under_a_key_that_is_gone_is_refused_with_a_sentence_and_counted(
    acme: House,
) -> None:
    _, secret, renewed = await enrolled(acme)
    alone = under(acme, NEW)
    assert await rekeying.follow(alone.door) == 0
    assert await rekeying.uses(alone.door) == [Use(None, 1, 10)]
    for by, code in (("totp", code_of(secret, acme.clock.now)), ("recovery", renewed.codes[0])):
        with pytest.raises(SecondFactorUnreadable, match="its key is gone"):
            await second(alone, await first_step(alone), code, by)
    failed = [each.reason for each in await attempts_of(acme.door, acme.org.id) if not each.success]
    assert failed.count("second factor kept under a key that is gone") == 2


async def test_which_key_is_needed_by_what_is_told_until_it_is_not(acme: House) -> None:
    await enrolled(acme)
    await rekeying.follow(acme.door)
    person = await acme.push(await acme.source("entra"), "invited@acme.example")
    link, open_until = await acme.link(person), (await acme.invitation(person)).expires_at
    acme.clock.pass_by(minutes=16)
    both = under(acme, NEW, OLD)
    assert await rekeying.uses(both.door) == [Use(2, 1, 10, 1, open_until)]
    await rekeying.follow(both.door)
    acme.clock.pass_by(minutes=1)
    await both.push(await both.source("other"), "later@acme.example")
    await sign_in_link(both.door, both.ctx, person)
    assert await rekeying.uses(both.door) == [Use(2, 0, 0, 1, open_until)]
    await invitations.look(both.door, link)
    acme.clock.now = open_until
    assert await rekeying.uses(both.door) == [Use(2, 0, 0)]


async def test_a_key_that_signs_since_the_clock_was_put_back_is_noted_once(acme: House) -> None:
    acme.clock.pass_by(hours=5)
    await rekeying.follow(acme.door)
    acme.clock.pass_by(hours=-5)
    both = under(acme, NEW, OLD)
    for _ in range(3):
        await rekeying.follow(both.door)
        acme.clock.pass_by(minutes=1)
    noted = sorted(await acme.rows(signing_keys), key=lambda row: row.since)
    assert [row.key_id for row in noted] == [acme.door.keys.ids()[0], both.door.keys.ids()[0]]
