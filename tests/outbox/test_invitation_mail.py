"""The invitation mail whole (I2): what it tells, in whose language, and what stays text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from scimd.core.errors import Forbidden
from scimd.db import tables as t
from scimd.org.invitations import invitations as invited
from scimd.org.organizations import settings
from scimd.org.tx import Context
from scimd.outbox import relay
from scimd.outbox.mail import mailer_from
from tests.org import acme as by_invitation
from tests.outbox.test_relay import PUBLIC, parts
from tests.outbox.test_relay import settings as mail_settings
from tests.support.smtp import SmtpServer


async def invitation(acme: by_invitation.House, smtp: SmtpServer, **values: Any) -> tuple[str, str]:
    person = await acme.push(await acme.source())
    for table, column in ((t.invitations, t.invitations.c.person_id), (t.people, t.people.c.id)):
        given = {key: value for key, value in values.items() if key in table.c}
        if given:
            statement = update(table).where(column == person).values(**given)
            await acme.write(lambda conn, statement=statement: conn.execute(statement) and None)
    acme.clock.pass_by(minutes=2)
    async with mailer_from(mail_settings(smtp)) as mailer:
        assert await relay.run_once(acme.door, mailer, PUBLIC) == 1
    return parts(smtp.messages[-1])


async def test_invitation_tells_everything_and_leads_to_accept_and_decline(
    database_url: str, smtp: SmtpServer
) -> None:
    async with by_invitation.house(database_url) as acme:
        text, html = await invitation(acme, smtp, message="See you on Monday.\nAda")
        link = text.split("/invitation/")[1].split()[0]
        for part in (text, html):
            for words in (
                "okta invites you to join Acme.",
                "See you on Monday.",
                "Role",
                "User",
                "General, as member",
                "for 7 days, until Monday, 9 March 2026, 09:00 UTC",
                "You are receiving this mail because okta invited dana@acme.example to Acme.",
                f"{PUBLIC}/invitation/{link}/decline",
            ):
                assert words in part
        await invited.decline(acme.door, link)


async def test_organization_s_language_counts_and_the_person_s_before_it(
    database_url: str, smtp: SmtpServer
) -> None:
    async with by_invitation.house(database_url) as acme:
        await settings.change(acme.door, acme.ctx, settings.Change(language="de"))
        text, html = await invitation(acme, smtp)
        assert smtp.messages[-1].message["Subject"] == "Sie sind zu Acme eingeladen"
        assert "Rolle: Nutzer" in text
        for part in (text, html):
            assert "General, als Mitglied" in part
        assert "noch 7 Tage: bis Montag, 9. März 2026, 09:00 Uhr UTC" in text
        assert '<html lang="de">' in html
        person = await acme.push(await acme.source("hr"), "bob@acme.example")
        mine = (t.assertions.c.org_id == acme.org.id) & (t.assertions.c.person_id == person)
        document = b'{"schemas":[],"preferredLanguage":"en-GB"}'
        statement = update(t.assertions).where(mine).values(document=document)
        await acme.write(lambda conn: conn.execute(statement) and None)
        acme.clock.pass_by(minutes=2)
        async with mailer_from(mail_settings(smtp)) as mailer:
            await relay.run_once(acme.door, mailer, PUBLIC)
        assert smtp.messages[-1].message["Subject"] == "You are invited to Acme"


async def test_language_is_audited_and_needs_the_permission(database_url: str) -> None:
    async with by_invitation.house(database_url) as acme:
        wanted = settings.Change(language="de")
        await settings.change(acme.door, acme.ctx, wanted)
        await settings.change(acme.door, acme.ctx, wanted)
        assert (await acme.kinds()).count("organization.changed") == 1
        stored = select(t.organizations.c.settings).where(t.organizations.c.id == acme.org.id)
        assert (await acme.door.read(lambda conn: conn.execute(stored).scalar_one()))["language"] == "de"
        stranger: Context = replace(acme.ctx, door="web")
        with pytest.raises(Forbidden):
            await settings.change(acme.door, stranger, settings.Change(language="en"))


@pytest.mark.parametrize("field", ["message", "invited_by", "display_name"])
@pytest.mark.parametrize(
    "hostile", ["<img src=x onerror=alert(1)>", "{{ 7*7 }} %(address)s %", "a\r\nBcc: evil@evil.example\r\n"]
)
async def test_hostile_values_in_an_invitation_are_text(
    database_url: str, smtp: SmtpServer, field: str, hostile: str
) -> None:
    async with by_invitation.house(database_url) as acme:
        text, html = await invitation(acme, smtp, **{field: hostile})
        message = smtp.messages[-1].message
        assert message["Bcc"] is None
        assert len(message.get_all("Subject", [])) == 1
        assert "<img" not in html
        assert "49" not in text.split("/invitation/")[0]
        if field != "message":
            assert not any(line.startswith("Bcc:") for line in text.splitlines())
