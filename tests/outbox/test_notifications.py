"""Notifications (T6), through a real mail server, on both databases."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from scimd.core.errors import Forbidden
from scimd.core.events import Event, EventKind
from scimd.core.notifications import TOPIC_OF
from scimd.core.people import SourceId
from scimd.db import tables as t
from scimd.org.mails import notifications
from scimd.org.runs import runs
from scimd.org.sources import source_states, source_upkeep, sources
from scimd.org.sources.source_upkeep import After
from scimd.org.tokens.tokens import create as create_token
from scimd.org.tx import Tx
from scimd.outbox import notification, relay
from scimd.outbox.mail import mailer_from
from scimd.sync.schedule import following
from tests.org.house import House, house
from tests.outbox.test_relay import PUBLIC, parts
from tests.outbox.test_relay import settings as mail_settings
from tests.support.smtp import Received, SmtpServer

IT = "it@acme.example"


async def told(acme: Any, smtp: SmtpServer) -> list[tuple[str, str]]:
    """What the job and then the relay send now: (recipient, subject), sorted."""
    before = len(smtp.messages)
    await source_upkeep.pause_long_quarantined(acme.door)
    await notifications.notify_all(acme.door, following)
    async with mailer_from(mail_settings(smtp)) as mailer:
        await relay.run_once(acme.door, mailer, PUBLIC)
    return sorted((each.recipients[0], str(each.message["Subject"])) for each in smtp.messages[before:])


async def set_up(
    acme: House, about: list[str] | None = None, to: list[str] | None = None, **more: Any
) -> None:
    rows = [{"to": to or [IT], "about": about or sorted(set(TOPIC_OF.values()))}]
    values = {"notify": rows, **more}
    await acme.execute(
        update(t.organizations).where(t.organizations.c.id == acme.org_id).values(settings=values)
    )


async def directory(acme: House, **config: Any) -> SourceId:
    scheduled = {"schedule": "1h", **config}
    made = await acme.source("hr", kind="connector", connector="file", config=scheduled, declared_in="file")
    await seen(acme, made)
    return made


async def seen(acme: House, source_id: SourceId, **values: Any) -> None:
    given = {"last_success_at": acme.clock(), **values}
    await acme.execute(update(t.sources).where(t.sources.c.id == source_id).values(**given))


async def trouble(acme: House, source_id: SourceId, cause: str | None, failures: int = 0) -> None:
    """A run that ended so: in quarantine with that cause, or out of it."""
    source = await sources.get_source(acme.door, acme.org_id, source_id)
    since = source.quarantined_since or acme.clock() if cause else None
    after = After(failures, acme.clock() + timedelta(hours=1), since, cause)
    await acme.run(lambda tx: source_upkeep._write(tx, source, after), acme.as_sync(source_id))


async def test_by_default_nobody_is_told_and_who_is_named_later_not_of_the_past(
    database_url: str, smtp: SmtpServer
) -> None:
    async with house(database_url) as acme:
        await trouble(acme, await directory(acme), "the password is wrong")
        assert await told(acme, smtp) == []
        await set_up(acme)
        assert await told(acme, smtp) == []


async def test_quarantine_is_told_on_entry_new_cause_weekly_and_when_left(
    database_url: str, smtp: SmtpServer
) -> None:
    async with house(database_url) as acme:
        await set_up(acme)
        hr = await directory(acme)
        await trouble(acme, hr, "the password is wrong")
        assert await told(acme, smtp) == [(IT, "acme: hr is in quarantine")]
        assert "the password is wrong" in parts(smtp.messages[-1])[0]
        await trouble(acme, hr, "the password is wrong")
        assert await told(acme, smtp) == [], "once per occurrence"
        await trouble(acme, hr, "38 of 300 people would go")
        assert await told(acme, smtp) == [(IT, "acme: a new problem with hr")]
        acme.clock.forward(days=7)
        assert await told(acme, smtp) == [(IT, "acme: hr is still in quarantine")]
        assert await told(acme, smtp) == []
        acme.clock.forward(days=7)
        assert await told(acme, smtp) == [(IT, "acme: hr is still in quarantine")]
        assert "2 of 4 weeks" in parts(smtp.messages[-1])[0]
        await trouble(acme, hr, None)
        await seen(acme, hr)
        assert await told(acme, smtp) == [(IT, "acme: hr has recovered")]


async def test_quarantine_of_28_days_pauses_and_an_admin_ends_it(database_url: str, smtp: SmtpServer) -> None:
    async with house(database_url) as acme:
        await set_up(acme)
        hr = await directory(acme)
        await trouble(acme, hr, "the password is wrong")
        await told(acme, smtp)
        acme.clock.forward(days=28, minutes=-1)
        await told(acme, smtp)
        assert (await sources.get_source(acme.door, acme.org_id, hr)).state == "active"
        acme.clock.forward(minutes=1)
        assert await told(acme, smtp) == [(IT, "acme: hr is paused")]
        assert (await sources.get_source(acme.door, acme.org_id, hr)).state == "paused"
        assert hr not in [each for _, each in await source_upkeep.due_sources(acme.door, following)]
        assert await told(acme, smtp) == []
        nobody = replace(acme.as_admin(), permissions=frozenset())
        with pytest.raises(Forbidden):
            await source_upkeep.recover(acme.door, nobody, hr)
        source = await source_upkeep.recover(acme.door, acme.as_admin(), hr)
        assert (source.state, source.quarantined_since, source.failures) == ("active", None, 0)
        assert hr in [each for _, each in await source_upkeep.due_sources(acme.door, following)]
        await seen(acme, hr)
        assert await told(acme, smtp) == [(IT, "acme: hr has recovered")]


async def test_pause_by_quarantine_is_told_once_however_long_it_lasts(
    database_url: str, smtp: SmtpServer
) -> None:
    async with house(database_url) as acme:
        await set_up(acme)
        await trouble(acme, await directory(acme), "the password is wrong")
        await told(acme, smtp)
        acme.clock.forward(days=28)
        assert await told(acme, smtp) == [(IT, "acme: hr is paused")]
        acme.clock.forward(days=91)
        await notifications.forget(acme.door)
        assert await told(acme, smtp) == []


async def test_source_that_an_admin_paused_in_quarantine_is_told_of_no_more(
    database_url: str, smtp: SmtpServer
) -> None:
    async with house(database_url) as acme:
        await set_up(acme)
        hr = await directory(acme)
        await trouble(acme, hr, "the password is wrong")
        await told(acme, smtp)
        await source_states.pause(acme.door, acme.as_admin(), hr)
        for _ in range(6):
            acme.clock.forward(days=7)
            assert await told(acme, smtp) == []


async def test_setting_a_paused_source_active_ends_its_quarantine_too(
    database_url: str, smtp: SmtpServer
) -> None:
    async with house(database_url) as acme:
        hr = await directory(acme)
        await trouble(acme, hr, "the password is wrong")
        acme.clock.forward(days=28)
        await told(acme, smtp)
        await source_states.set_state(acme.door, acme.as_admin(), hr, "active")
        await told(acme, smtp)
        source = await sources.get_source(acme.door, acme.org_id, hr)
        assert (source.state, source.quarantined_since) == ("active", None)


async def test_token_is_told_of_14_3_and_1_days_before_its_end(database_url: str, smtp: SmtpServer) -> None:
    async with house(database_url) as acme:
        await set_up(acme)
        end = acme.clock() + timedelta(days=90)
        await create_token(acme.door, acme.as_admin(), acme.scim, "provisioning", expires_at=end)
        days = []
        for day in range(91):
            if await told(acme, smtp):
                days.append(90 - day)
            acme.clock.forward(days=1)
        assert days == [14, 3, 1]
        text = parts(smtp.messages[0])[0]
        assert "The token provisioning (okta) expires on" in text
        assert "14 at most" in text


async def test_seats_are_told_at_90_percent_full_and_above(database_url: str, smtp: SmtpServer) -> None:
    async with house(database_url, seats_=10, seats_on_scim="allow") as acme:
        await set_up(acme, ["seats"])
        people = [(await acme.create(f"p{n}")).person_id for n in range(8)]
        assert await told(acme, smtp) == []
        people.append((await acme.create("p8")).person_id)
        assert await told(acme, smtp) == [(IT, "acme: 90 % of the seats are taken")]
        assert "9 of 10 seats" in parts(smtp.messages[-1])[0]
        people.append((await acme.create("p9")).person_id)
        assert await told(acme, smtp) == [(IT, "acme: all seats are taken")]
        await acme.create("p10")
        assert await told(acme, smtp) == [(IT, "acme: more seats are taken than there are")]
        assert "11 of 10 seats" in parts(smtp.messages[-1])[0]


async def test_state_that_comes_and_goes_is_told_once_a_day(database_url: str, smtp: SmtpServer) -> None:
    async with house(database_url, seats_=2) as acme:
        await set_up(acme, ["seats"])
        await acme.create("ann")
        bob = (await acme.create("bob")).person_id
        full = [(IT, "acme: all seats are taken")]
        assert await told(acme, smtp) == full
        for _ in range(3):
            await acme.change(bob, active=False)
            assert await told(acme, smtp) == []
            await acme.change(bob, active=True)
            assert await told(acme, smtp) == []
        acme.clock.forward(days=1)
        assert await told(acme, smtp) == full, "it holds still, and the day is over"
        acme.clock.forward(days=3)
        assert await told(acme, smtp) == [], "one that never ended is not told again"


async def test_silence_is_told_for_what_is_read_and_what_is_pushed(
    database_url: str, smtp: SmtpServer
) -> None:
    async with house(database_url) as acme:
        await set_up(acme, ["silent"], silent_after_s=3 * 86_400)
        await create_token(acme.door, acme.as_admin(), acme.scim, "provisioning")
        await directory(acme)
        acme.clock.forward(minutes=119)
        assert await told(acme, smtp) == [], "one that never spoke is not silent"
        acme.clock.forward(minutes=1)
        assert await told(acme, smtp) == [(IT, "acme: hr was not read")]
        await acme.execute(update(t.tokens).values(last_used_at=acme.clock()))
        acme.clock.forward(days=3)
        assert await told(acme, smtp) == [(IT, "acme: okta is silent")]


async def test_silence_counts_from_the_end_of_a_pause_and_from_a_new_schedule(
    database_url: str, smtp: SmtpServer
) -> None:
    async with house(database_url) as acme:
        await set_up(acme, ["silent"])
        hr = await directory(acme)
        await source_states.pause(acme.door, acme.as_admin(), hr)
        acme.clock.forward(days=14)
        await source_states.resume(acme.door, acme.as_admin(), hr)
        acme.clock.forward(minutes=119)
        assert await told(acme, smtp) == []
        changed = Event(EventKind.SOURCE_CHANGED, "source", hr, after={"changed": ["schedule"]})
        await acme.run(lambda tx: tx.record(changed), acme.as_admin())
        acme.clock.forward(minutes=119)
        assert await told(acme, smtp) == []
        acme.clock.forward(minutes=1)
        run = await acme.run(lambda tx: runs.begin(tx, hr, "schedule", "t", 1, full=True), acme.as_sync(hr))
        assert await told(acme, smtp) == [], "it is being read"
        await acme.run(lambda tx: runs.fail(tx, run, "unreachable", "down") and None, acme.as_sync(hr))
        assert await told(acme, smtp) == [(IT, "acme: hr was not read")]


async def test_silence_is_told_once_however_often_the_source_is_tried(
    database_url: str, smtp: SmtpServer
) -> None:
    async with house(database_url) as acme:
        await set_up(acme, ["silent"])
        hr = await directory(acme)
        acme.clock.forward(hours=2)
        assert await told(acme, smtp) == [(IT, "acme: hr was not read")]
        for _ in range(3):
            acme.clock.forward(days=2)
            run = await acme.run(
                lambda tx: runs.begin(tx, hr, "schedule", "t", 1, full=True), acme.as_sync(hr)
            )
            assert await told(acme, smtp) == []
            await acme.run(
                lambda tx, run=run: runs.fail(tx, run, "unreachable", "down") and None,  # type: ignore[misc]
                acme.as_sync(hr),
            )
            assert await told(acme, smtp) == []


async def test_failed_twice_held_and_alarm_are_told_with_figures(database_url: str, smtp: SmtpServer) -> None:
    async with house(database_url) as acme:
        await set_up(acme, ["failed", "alarms"])
        hr = await directory(acme)
        await seen(acme, hr, failures=1)
        assert await told(acme, smtp) == []
        await seen(acme, hr, failures=2)
        assert await told(acme, smtp) == [(IT, "acme: runs of hr fail")]
        await seen(acme, hr, failures=3)
        assert await told(acme, smtp) == []
        people = [(await acme.create(f"p{n}")).person_id for n in range(14)]
        for person_id in people[:6]:
            await acme.delete(person_id)
        assert await told(acme, smtp) == [(IT, "acme: many people were deactivated by okta")]
        assert "6 of 14 people in an hour, more than 5" in parts(smtp.messages[-1])[0]


async def test_jobs_at_once_and_a_crash_between_tell_it_once(database_url: str, smtp: SmtpServer) -> None:
    async with house(database_url) as acme:
        await set_up(acme)
        await trouble(acme, await directory(acme), "the password is wrong")
        await asyncio.gather(*(notifications.notify_all(acme.door, following) for _ in range(8)))
        assert len(await acme.rows(t.deliveries)) == 1
        assert len(await told(acme, smtp)) == 1


async def test_note_and_mail_are_one_transaction(
    database_url: str, smtp: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(database_url) as acme:
        await set_up(acme)
        await trouble(acme, await directory(acme), "the password is wrong")

        def dies(tx: Tx, occurrence: object) -> int:
            raise KeyError("killed here")

        with monkeypatch.context() as patch:
            patch.setattr(notifications, "_recipients", dies)
            with pytest.raises(KeyError):
                await notifications.notify_all(acme.door, following)
        assert await acme.rows(t.notifications) == []
        assert len(await told(acme, smtp)) == 1


async def test_account_admins_are_who_they_are_when_it_leaves(database_url: str, smtp: SmtpServer) -> None:
    async with house(database_url) as acme:
        await set_up(acme, to=["account-admins", IT])
        boss = (await acme.create("boss", preferredLanguage="de-DE")).person_id
        former = (await acme.create("former")).person_id
        await acme.create("ann")
        for made in (boss, former):
            await acme.grant(made, "role", "account-admin")
        await trouble(acme, await directory(acme), "the password is wrong")
        await notifications.notify_all(acme.door, following)
        await acme.execute(
            update(t.grants).where(t.grants.c.person_id == former).values(until=acme.clock.now)
        )
        assert await told(acme, smtp) == [
            ("boss@acme.example", "acme: hr ist in Quarantäne"),
            (IT, "acme: hr is in quarantine"),
        ]


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize(
    "hostile",
    [
        "x\r\nBcc: evil@evil.example\r\n\r\nhttps://evil.example",
        "<script>alert(1)</script>",
        "{{ 7*7 }}{% raw %} %(organization)s %s",
        "\u202eevil\u2028Subject: x",
    ],
)
async def test_no_value_of_a_notification_is_more_than_text(
    database_url: str, smtp: SmtpServer, language: str, hostile: str
) -> None:
    """A11, A12: each text of each notification, with the value in every place."""
    async with house(database_url) as acme:
        at = acme.clock()
        moments = dict.fromkeys(("at", "ends", "last", "happened"), at.isoformat())
        names = (
            "source",
            "name",
            "why",
            "held",
            "weeks",
            "used",
            "limit",
            "failures",
            "left",
            "people",
            "days",
        )
        await set_up(acme, language=language)
        await acme.execute(
            update(t.organizations).where(t.organizations.c.id == acme.org_id).values(name=hostile)
        )
        rows = [
            {
                "org_id": acme.org_id,
                "id": f"d{n}",
                "kind": "mail",
                "template": "notification",
                "address": IT,
                "params": {**dict.fromkeys(names, hostile), **moments, "what": what},
                "state": "due",
                **dict.fromkeys(("first_change_at", "due_at", "created_at"), at),
            }
            for n, what in enumerate(notification.WORDS)
        ]
        await acme.execute(t.deliveries.insert().values(rows))
        await told(acme, smtp)
        assert len(smtp.messages) == len(TOPIC_OF) == len(notification.WORDS)
        for received in smtp.messages:
            _is_text(received, language)


def _is_text(received: Received, language: str) -> None:
    message = received.message
    assert received.recipients == (IT,)
    assert message["Bcc"] is None
    assert message["Content-Language"] == language
    assert len(message.get_all("Subject", [])) == 1
    text, html = parts(received)
    assert "<script" not in html
    assert f'lang="{language}"' in html
    assert "49" not in text.replace(PUBLIC, "")
    assert not any(line.startswith(("Bcc:", "https://evil", "Subject:")) for line in text.splitlines())
    assert "\u202e" not in text
