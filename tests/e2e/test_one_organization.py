"""The first day of an organization, by the command line and over HTTP, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.clients import Browser, idp, link_in, seats, standing_is_right, token
from tests.e2e.stored import let_mails_be_due
from tests.support.daemon import Daemon
from tests.support.patience import AT_MOST_S, until
from tests.support.smtp import SmtpServer

CONFIG = """
[server]
port = PORT
public_url = "http://127.0.0.1:PORT"
worker = {worker}
[database]
url = "{database}"
[secrets]
key = ["env:SCIMD_TEST_KEY"]
[mail]
host = "127.0.0.1"
port = {smtp}
tls = "none"
sender = "scimd <scimd@acme.example>"
[invitations]
mail_delay = 0
mail_delay_at_most = 0
[log]
format = "json"
"""


def config(database: str, smtp: int, *, worker: bool = True) -> str:
    return CONFIG.format(database=database, smtp=smtp, worker=str(worker).lower())


def test_pushed_people_are_invited_once_the_source_is_released_though_the_mail_server_was_down(
    daemons: Callable[..., Daemon], database_url: str, tmp_path: Path, smtp: SmtpServer
) -> None:
    daemon: Daemon = daemons(tmp_path, config(database_url, smtp.port))
    daemon.start()
    made = daemon.ok("org", "create", "acme", "--seats", "5")
    assert (made["name"], made["seats"]) == ("acme", 5)
    text = token(daemon, "okta", "--profile", "okta")
    with idp(daemon, text) as scim:
        status, dana = scim.create("dana", title="Engineer")
        assert status == 201
        assert dana["meta"]["location"] == f"{daemon.url}/scim/v2/Users/{dana['id']}"
        status, changed = scim.patch(dana["id"], title="Lead")
        assert (status, changed["title"]) == (200, "Lead")

    (listed,) = daemon.ok("user", "list")
    assert (listed["email"], listed["status"]) == ("dana@acme.example", "pending")
    shown = daemon.ok("user", "show", "dana@acme.example")
    assert shown["person"]["has_seat"] is True
    assert shown["standing"]["reasons"]
    assert smtp.messages == []  # a new source is staged: everything counts, mails wait

    smtp.stop()
    released = daemon.ok("source", "release", "okta", "--yes")
    assert (released["people"], released["mails"]) == (1, 1)
    waits_for_the_mail_server(daemon)
    assert daemon.ok("source", "list")[0]["state"] == "active"  # the change stands
    smtp.start()
    let_mails_be_due(database_url)
    (mail,) = smtp.wait_for(1)
    assert mail.recipients == ("dana@acme.example",)

    body = mail.message.get_body(("plain",))
    assert body is not None
    link = link_in(body.get_content(), "invitation")
    assert link.startswith(f"{daemon.url}/")
    assert Browser().post(link, name="", password="four unlikely words in a row").status == 200
    assert daemon.ok("user", "show", "dana@acme.example")["person"]["status"] == "active"

    an_address_that_is_held_is_decided_by_a_person(daemon, text)
    standing_is_right(daemon)
    assert daemon.stop() == 0
    subjects = [str(each.message["Subject"]) for each in smtp.messages]
    assert subjects.count(str(mail.message["Subject"])) == 1, subjects  # what came besides are notices


def waits_for_the_mail_server(daemon: Daemon) -> None:
    """Until a mail was tried in vain, as the log says."""
    until(lambda: "mail_server_unavailable" in daemon.output.read_text(), "no mail was tried")


def an_address_that_is_held_is_decided_by_a_person(daemon: Daemon, text: str) -> None:
    """Another source brings the same address: refused, one item to decide, and linked by the answer."""
    other = token(daemon, "entra", "--profile", "entra")
    with idp(daemon, other) as scim:
        for _ in range(2):  # an identity provider retries; the item stays one
            status, refused = scim.create("dana")
            assert (status, refused["scimType"]) == (409, "uniqueness")
    (item,) = daemon.ok("decide", "list")
    shown = daemon.ok("decide", "show", item["id"])
    answers = [option["answer"] for option in shown["options"]]
    assert "link" in answers
    assert daemon.ok("decide", "answer", item["id"], "link")["state"] == "answered"
    with idp(daemon, other) as scim, idp(daemon, text) as first:
        status, linked = scim.create("dana")
        assert status == 201
        assert linked["id"] in {user["id"] for user in first.everybody().values()}
    assert len(daemon.ok("user", "show", "dana@acme.example")["assertions"]) == 2


def test_two_servers_on_one_database_give_out_no_seat_twice(
    daemons: Callable[..., Daemon], postgres_url: str, tmp_path: Path
) -> None:
    servers: list[Daemon] = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        servers.append(daemons(tmp_path / name, config(postgres_url, 1, worker=name == "one")).start())
    servers[0].ok("org", "create", "acme", "--seats", "10")
    text = token(servers[0])
    statuses: list[int] = []
    together = threading.Barrier(64)

    def create(number: int) -> None:
        with idp(servers[number % 2], text) as scim:
            together.wait(AT_MOST_S)
            status, _ = scim.create(f"p{number:02}")
            statuses.append(status)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(AT_MOST_S)
    assert statuses == [201] * 64
    assert seats(servers[1], "acme") == 10
    people: list[dict[str, Any]] = servers[1].ok("user", "list")
    assert sum(row["has_seat"] for row in people) == 10
    assert sum("waiting_for_seat" in row["causes"] for row in people) == 54
    standing_is_right(servers[1])
