"""The relay (I2, I4, I8; V13, V15, F14): one mail per invitation, through a real mail server."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from email import message_from_bytes
from email.policy import default as modern
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from scimd import config
from scimd.core.people import PersonId
from scimd.db.tables import deliveries as mails
from scimd.db.tables import events, gates, invitations, metadata, people, unsettled
from scimd.org.authentication import forgotten, sign_in
from scimd.org.invitations import invitation_changes
from scimd.org.invitations import invitations as invited
from scimd.org.mails import deliveries
from scimd.org.sources import sources
from scimd.org.tokens import tokens
from scimd.outbox import relay
from scimd.outbox.mail import HandOver, Mailer, mailer_from
from tests.org.acme import PASSWORD, House
from tests.org.looks import invitations_of
from tests.support.patience import patient
from tests.support.sign_in_links import sign_in_link
from tests.support.smtp import Received, SmtpServer

PUBLIC = "https://scimd.example.com"


def settings(smtp: SmtpServer, **more: Any) -> config.Mail:
    values = {
        "host": smtp.host,
        "port": smtp.port,
        "tls": "none",
        "sender": "Acme Küche <noreply@acme.example>",
    }
    return config.Mail.model_validate(values | patient({})["mail"] | more)


async def run(acme: House, smtp: SmtpServer, **more: Any) -> int:
    async with mailer_from(settings(smtp, **more)) as mailer:
        return await relay.run_once(acme.door, mailer, PUBLIC)


async def pushed(acme: House, user_name: str = "dana@acme.example", *, name: str | None = None) -> PersonId:
    source = await sources.ensure(acme.door, acme.ctx, sources.NewSource("okta", state="active"))
    person = await acme.push(source, user_name)
    if name is not None:
        statement = update(people).where(people.c.id == person).values(display_name=name)
        await acme.write(lambda conn: conn.execute(statement) and None)
    acme.clock.pass_by(minutes=2)
    return person


def parts(received: Received) -> tuple[str, str]:
    plain, html = received.message.get_body(("plain",)), received.message.get_body(("html",))
    assert plain is not None
    assert html is not None
    return plain.get_content(), html.get_content()


def token(received: Received) -> str:
    found = re.search(rf"{re.escape(PUBLIC)}/[a-z-]+/(\S+)", parts(received)[0])
    assert found is not None
    return found[1]


async def test_a_mail_leaves_when_it_is_due_and_once(acme: House, smtp: SmtpServer) -> None:
    okta = await acme.source()
    person = await acme.push(okta)
    assert await run(acme, smtp) == 0
    acme.clock.pass_by(minutes=2)
    assert await run(acme, smtp) == 1
    assert await run(acme, smtp) == 0
    (received,) = smtp.messages
    assert received.recipients == ("dana@acme.example",)
    assert received.sender == "noreply@acme.example"
    (mail,) = await acme.mails()
    assert (mail.state, mail.sent_at, mail.attempts) == ("sent", acme.clock.now, 1)
    assert (await acme.invitation(person)).sent_at == acme.clock.now
    assert "invitation.sent" in await acme.kinds()


async def test_a_push_of_a_person_and_then_changes_gives_one_mail(acme: House, smtp: SmtpServer) -> None:
    person = await acme.push(await acme.source())
    for _ in range(5):
        acme.clock.pass_by(minutes=1)
        await acme.touch(person)
        assert await run(acme, smtp) == 0
    acme.clock.pass_by(minutes=2)
    await run(acme, smtp)
    await acme.touch(person)
    acme.clock.pass_by(hours=1)
    await run(acme, smtp)
    assert len(smtp.messages) == 1


async def test_the_link_in_the_mail_leads_in_and_verifies_the_address(acme: House, smtp: SmtpServer) -> None:
    person = await pushed(acme)
    await run(acme, smtp)
    text, html = parts(smtp.messages[0])
    link = token(smtp.messages[0])
    assert f"{PUBLIC}/invitation/{link}" in text
    assert f'href="{PUBLIC}/invitation/{link}"' in html
    done = await invited.accept(acme.door, link, password=PASSWORD)
    assert done.session is not None
    assert (await acme.person(person)).address_verified_at == acme.clock.now


async def test_the_mail_tells_who_where_and_until_when(acme: House, smtp: SmtpServer) -> None:
    await pushed(acme)
    await run(acme, smtp)
    message = smtp.messages[0].message
    assert message["Subject"] == "You are invited to Acme"
    assert str(message["From"]) == "Acme Küche <noreply@acme.example>"
    assert message["To"] == "Dana <dana@acme.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    for part in parts(smtp.messages[0]):
        assert "okta invites you to join" in part
        assert "General" in part
        assert "9 March 2026" in part
    html = parts(smtp.messages[0])[1]
    assert "style=" in html
    assert "<style" not in html
    assert "<script" not in html


async def test_down_then_up_the_mail_waits_and_the_change_stands(acme: House, smtp: SmtpServer) -> None:
    person = await pushed(acme)
    smtp.stop()
    assert await run(acme, smtp) == 0
    assert (await acme.person(person)).causes == ["invited"]
    (mail,) = await acme.mails()
    assert (mail.state, mail.attempts) == ("due", 1)
    assert mail.last_error
    assert acme.clock.now < mail.due_at <= acme.clock.now + timedelta(minutes=1)
    smtp.start()
    acme.clock.pass_by(minutes=1)
    assert await run(acme, smtp) == 1
    assert len(smtp.messages) == 1
    (mail,) = await acme.mails()
    assert (mail.state, mail.last_error) == ("sent", None)


async def test_mail_that_was_owed_while_the_clock_was_ahead_does_not_wait(
    acme: House, smtp: SmtpServer
) -> None:
    acme.clock.pass_by(days=1)
    await pushed(acme)
    acme.clock.pass_by(days=-1)
    await deliveries.bring_forward(acme.door)
    assert await run(acme, smtp) == 1


async def test_mail_that_was_tried_while_the_clock_was_ahead_is_tried_again(
    acme: House, smtp: SmtpServer
) -> None:
    await pushed(acme)
    smtp.refuse("451 4.3.0 Try again later")
    acme.clock.pass_by(days=6)
    assert await run(acme, smtp) == 0
    acme.clock.pass_by(days=-6)
    smtp.accept()
    await deliveries.bring_forward(acme.door)
    assert await run(acme, smtp) == 0, "whoever tries it may be at it"
    acme.clock.pass_by(minutes=5)
    assert await run(acme, smtp) == 1


async def test_mail_that_waits_by_this_clock_goes_on_waiting(acme: House, smtp: SmtpServer) -> None:
    await pushed(acme)
    due_at = acme.clock.now + timedelta(minutes=2)
    owed = update(mails).values(due_at=due_at)
    await acme.write(lambda conn: conn.execute(owed) and None)
    await deliveries.bring_forward(acme.door)
    assert [mail.due_at for mail in await acme.mails()] == [due_at]


async def test_the_waits_grow_to_a_day_and_no_further(acme: House, smtp: SmtpServer) -> None:
    await pushed(acme)
    source = (await sources.list_sources(acme.door, acme.org.id))[0]
    assert source.name == "okta"
    smtp.refuse("451 4.3.0 Try again later")
    never = update(invitations).values(expires_at=acme.clock.now + timedelta(days=365))
    await acme.write(lambda conn: conn.execute(never) and None)
    waits = []
    for _ in range(14):
        await run(acme, smtp)
        (mail,) = await acme.mails()
        waits.append((mail.due_at - acme.clock.now).total_seconds())
        acme.clock.now = mail.due_at
    assert 30 <= waits[0] <= 60
    assert all(30 * 2**n <= wait <= 60 * 2**n for n, wait in enumerate(waits[:10]))
    assert 43_200 <= waits[-1] <= 86_400
    smtp.accept()
    assert await run(acme, smtp) == 1


async def test_a_server_that_is_down_is_not_asked_for_each_mail(acme: House, smtp: SmtpServer) -> None:
    for n in range(5):
        await pushed(acme, f"p{n}@acme.example")
    smtp.stop()
    await run(acme, smtp)
    assert {(row.state, row.attempts) for row in await acme.mails()} == {("due", 1)}


async def test_refused_for_good_is_not_tried_again_and_says_why(acme: House, smtp: SmtpServer) -> None:
    await pushed(acme)
    smtp.refuse("550 5.1.1 No such user")
    assert await run(acme, smtp) == 0
    smtp.accept()
    acme.clock.pass_by(hours=30)
    assert await run(acme, smtp) == 0
    (row,) = await invitations_of(acme.door, acme.org.id)
    assert row.delivery == "refused"
    assert row.why is not None
    assert "No such user" in row.why
    assert "mail.refused" in await acme.kinds()


async def test_one_refused_recipient_does_not_keep_the_others_waiting(acme: House, smtp: SmtpServer) -> None:
    for n in range(3):
        await pushed(acme, f"p{n}@acme.example")
    smtp.refuse("550 5.7.1 Refused", at="DATA")
    await run(acme, smtp)
    assert {row.state for row in await acme.mails()} == {"refused"}


async def test_a_refused_sender_costs_nobody_their_mail(acme: House, smtp: SmtpServer) -> None:
    await pushed(acme)
    smtp.refuse("553 5.7.1 Not your address", at="MAIL")
    await run(acme, smtp)
    assert [row.state for row in await acme.mails()] == ["due"]


async def test_without_starttls_nothing_is_sent_where_it_is_demanded(acme: House, smtp: SmtpServer) -> None:
    await pushed(acme)
    assert await run(acme, smtp, tls="starttls") == 0
    assert smtp.messages == []
    assert [row.state for row in await acme.mails()] == ["due"]


async def test_a_repeat_after_a_lost_answer_is_recognizable(acme: House, smtp: SmtpServer) -> None:
    """The server took it, and the relay died before it could write that down."""
    await pushed(acme)
    await run(acme, smtp)
    lost = update(mails).values(state="due", due_at=acme.clock.now, sent_at=None)
    await acme.write(lambda conn: conn.execute(lost) and None)
    await run(acme, smtp)
    first, second = smtp.messages
    assert first.message["Message-ID"] == second.message["Message-ID"]
    assert token(first) == token(second)


async def test_relays_at_once_send_each_mail_once(acme: House, smtp: SmtpServer) -> None:
    for n in range(30):
        await pushed(acme, f"p{n}@acme.example")
    sent = await asyncio.gather(*(run(acme, smtp) for _ in range(4)))
    assert sum(sent) == 30
    assert len({received.recipients for received in smtp.messages}) == len(smtp.messages) == 30


async def test_a_relay_that_died_leaves_its_mails_to_the_next(acme: House, smtp: SmtpServer) -> None:
    await pushed(acme)

    class Dies:
        sender = "x@acme.example"
        longest_s = 300.0

        async def send(self, message: Any, hand_over: HandOver) -> None:
            raise asyncio.CancelledError

        async def rest(self) -> None:
            return None

    mailer: Mailer = Dies()
    with pytest.raises(asyncio.CancelledError):
        await relay.run_once(acme.door, mailer, PUBLIC)
    assert await run(acme, smtp) == 0
    acme.clock.pass_by(minutes=5)
    assert await run(acme, smtp) == 1


# ------------------------------------------------------------------------------ checked once more


async def test_nothing_is_sent_for_an_invitation_that_is_over(acme: House, smtp: SmtpServer) -> None:
    withdrawn, accepted = await pushed(acme, "a@acme.example"), await pushed(acme, "b@acme.example")
    await invitation_changes.withdraw(acme.door, acme.ctx, (await acme.invitation(withdrawn)).id)
    await acme.accepted(accepted)
    await pushed(acme, "c@acme.example")
    acme.clock.pass_by(days=7)
    assert await run(acme, smtp) == 0
    assert smtp.messages == []
    assert {row.state for row in await acme.mails()} == {"cancelled"}


async def test_a_mail_waits_while_its_person_is_being_settled(acme: House, smtp: SmtpServer) -> None:
    person = await pushed(acme)
    at = acme.clock.now
    gate = {"org_id": acme.org.id, "person_id": person, "kind": "disabled", "by": "an admin", "at": at}
    mark = {"org_id": acme.org.id, "person_id": person, "turn": 0, "marked_at": at}
    await acme.write(lambda conn: conn.execute(gates.insert().values(**gate)) and None)
    await acme.write(lambda conn: conn.execute(unsettled.insert().values(**mark)) and None)
    assert await run(acme, smtp) == 0
    assert [row.state for row in await acme.mails()] == ["due"]
    await acme.touch(person)
    acme.clock.pass_by(minutes=2)
    assert await run(acme, smtp) == 0
    assert [row.state for row in await acme.mails()] == ["cancelled"]


async def test_staged_mails_stay_whatever_the_relay_does(acme: House, smtp: SmtpServer) -> None:
    await acme.push(await acme.source(state="staged"))
    acme.clock.pass_by(days=1)
    assert await run(acme, smtp) == 0
    assert [row.state for row in await acme.mails()] == ["staged"]


async def test_the_mail_sent_again_has_a_link_of_its_own(acme: House, smtp: SmtpServer) -> None:
    person = await pushed(acme)
    await run(acme, smtp)
    await invitation_changes.resend(acme.door, acme.ctx, (await acme.invitation(person)).id)
    await run(acme, smtp)
    first, second = smtp.messages
    assert token(first) != token(second)
    assert first.message["Message-ID"] != second.message["Message-ID"]


async def test_a_set_password_mail_goes_to_the_stored_address(acme: House, smtp: SmtpServer) -> None:
    person = await pushed(acme)
    await acme.accepted(person)
    await forgotten.ask(acme.door, "dana@acme.example", org_slug="acme", ip="")
    await run(acme, smtp)
    (received,) = smtp.messages
    assert received.recipients == ("dana@acme.example",)
    assert f"{PUBLIC}/set-password/" in parts(received)[0]
    new = "a grey heron waits below"
    done = await sign_in.set_password_by_link(acme.door, token(received), new, ip="", user_agent="")
    assert done.person_id == person


async def test_a_set_password_mail_does_not_follow_an_address_that_changed(
    acme: House, smtp: SmtpServer
) -> None:
    person = await pushed(acme)
    await acme.accepted(person)
    await forgotten.ask(acme.door, "dana@acme.example", org_slug="acme", ip="")
    new = {"sign_in_address": "else@acme.example", "sign_in_key": "else@acme.example"}
    await acme.write(lambda conn: conn.execute(update(people).values(**new)) and None)
    await run(acme, smtp)
    assert smtp.messages == []


# ------------------------------------------------------------------------------ what names can do

NAMES = [
    "Dana\r\nBcc: evil@evil.example",
    "Dana\nSubject: gone",
    "Dana\x00\x0b\x0c\x1c\x85\u2028\u2029Lee",
    'Dana "The" Lee, evil@evil.example',
    "Dana <evil@evil.example>",
    "=?utf-8?q?evil=40evil=2Eexample?=",
    "Dana;evil@evil.example:",
    "\u202eanaD \u200f",
    "Žofie Ďurková",
    "محمد الأحمد",
    "山田 花子",
    "👩🏽‍🚀 Zoë",
    "D" * 2000,
    "",
]


@pytest.mark.parametrize("name", NAMES)
async def test_no_name_writes_a_header_or_adds_a_recipient(acme: House, smtp: SmtpServer, name: str) -> None:
    if "\x00" in name and acme.door.db.dialect == "postgresql":
        name = name.replace("\x00", "")  # PostgreSQL keeps none
    await pushed(acme, name=name)
    assert await run(acme, smtp) == 1
    (received,) = smtp.messages
    assert received.recipients == ("dana@acme.example",)
    message = received.message
    assert [each.addr_spec for each in message["To"].addresses] == ["dana@acme.example"]
    assert message["Bcc"] is None
    assert message["Subject"] == "You are invited to Acme"
    assert len(message.get_all("To", [])) == len(message.get_all("Subject", [])) == 1


async def test_names_of_any_script_arrive(acme: House, smtp: SmtpServer) -> None:
    for n, name in enumerate(("Žofie Ďurková", "山田 花子", "محمد")):
        await pushed(acme, f"p{n}@acme.example", name=name)
    await run(acme, smtp)
    names = [received.message["To"].addresses[0].display_name for received in smtp.messages]
    assert names == ["Žofie Ďurková", "山田 花子", "محمد"]


async def test_html_in_names_is_text(acme: House, smtp: SmtpServer) -> None:
    await pushed(acme, name="<img src=x onerror=alert(1)>")
    await run(acme, smtp)
    text, html = parts(smtp.messages[0])
    assert "<img" not in html
    assert "&lt;img" in html
    assert "<img src=x" in text


@pytest.mark.parametrize(
    "address", ["a@b.example,c@d.example", "a@b.example\r\nRCPT TO:<c@d.example>", "a b@c.example"]
)
async def test_what_is_not_one_address_is_refused(acme: House, smtp: SmtpServer, address: str) -> None:
    """Lesson 18: the store holds one scalar address; here it was spoiled on purpose."""
    person = await pushed(acme)
    spoiled = update(invitations).values(address=address)
    await acme.write(lambda conn: conn.execute(spoiled) and None)
    assert await run(acme, smtp) == 0
    assert smtp.messages == []
    assert [row.state for row in await acme.mails(person_id=person)] == ["refused"]


# ------------------------------------------------------------------------------ the folder


async def test_with_a_folder_each_mail_is_a_file(acme: House, tmp_path: Path) -> None:
    await pushed(acme)
    folder = tmp_path / "mails"
    mail = config.Mail.model_validate({"to": "folder", "folder": folder})
    async with mailer_from(mail) as mailer:
        assert await relay.run_once(acme.door, mailer, PUBLIC, acme.org.id) == 1
    (file,) = folder.iterdir()
    assert file.name.startswith("dana@acme.example-")
    assert file.suffix == ".eml"
    assert file.stat().st_mode & 0o777 == 0o600  # its link lets somebody in
    message = message_from_bytes(file.read_bytes(), policy=modern)
    assert message["Subject"] == "You are invited to Acme"


async def test_a_file_names_an_address_outside_ascii_as_it_is(acme: House, tmp_path: Path) -> None:
    await pushed(acme, "jörg@acme.example")
    mail = config.Mail.model_validate({"to": "folder", "folder": tmp_path / "mails"})
    async with mailer_from(mail) as mailer:
        assert await relay.run_once(acme.door, mailer, PUBLIC, acme.org.id) == 1
    (file,) = (tmp_path / "mails").iterdir()
    assert "To: Jörg <jörg@acme.example>" in file.read_text("utf-8")


async def test_a_folder_that_cannot_be_written_is_tried_again(acme: House, tmp_path: Path) -> None:
    await pushed(acme)
    (tmp_path / "file").touch()
    mail = config.Mail.model_validate({"to": "folder", "folder": tmp_path / "file"})
    async with mailer_from(mail) as mailer:
        assert await relay.run_once(acme.door, mailer, PUBLIC) == 0
    assert [row.state for row in await acme.mails()] == ["due"]


# ------------------------------------------------------------------------------ secrets


async def test_no_token_or_password_is_in_any_table_or_log(
    acme: House, smtp: SmtpServer, capfd: pytest.CaptureFixture[str]
) -> None:
    person = await pushed(acme)
    await run(acme, smtp)
    mailed = token(smtp.messages[0])
    copied = await acme.link(person)
    done = await invited.accept(acme.door, mailed, password=PASSWORD)
    entry = await sign_in_link(acme.door, acme.ctx, person)
    entered = await sign_in.by_link(acme.door, entry, ip="127.0.0.1", user_agent="tests")
    await forgotten.ask(acme.door, "dana@acme.example", org_slug="acme", ip="")
    await run(acme, smtp)
    set_password = token(smtp.messages[1])
    okta = (await sources.list_sources(acme.door, acme.org.id))[0]
    bearer = (await tokens.create(acme.door, acme.ctx, okta.id, "t")).token
    canaries = [
        mailed,
        copied,
        entry,
        set_password,
        bearer,
        entered.session,
        done.session or "-",
        PASSWORD,
    ]

    dump = "\n".join([repr(tuple(row)) for table in metadata.sorted_tables for row in await acme.rows(table)])
    assert len(await acme.rows(events)) > 10
    output = "".join(capfd.readouterr())
    for canary in canaries:
        # A part of one would be as bad; the last signs are those of a MAC or of the random bits.
        assert canary[-20:] not in dump
        assert canary[-20:] not in output
