"""From which address somebody comes, behind proxies and without."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict
from sqlalchemy import Connection, select

from scimd.config import Server
from scimd.db.tables import login_attempts
from scimd.http.peers import Peers
from tests.web.site import ADMIN, Site, site

_PROXIES = ("10.0.0.0/8", "192.0.2.1", "fd00::/8")


def _seen(peer: str, *lines: str, trusted: tuple[str, ...] = _PROXIES) -> str:
    headers = CIMultiDict([("X-Forwarded-For", line) for line in lines])
    request = make_mocked_request("GET", "/", headers=headers)
    return Peers(trusted).address_of(request.clone(remote=peer))


@pytest.mark.parametrize("peer", ["198.51.100.7", "192.0.2.2", "2001:db8::7"])
def test_who_is_no_proxy_of_ours_says_nothing_of_others(peer: str) -> None:
    assert _seen(peer, "203.0.113.9") == peer
    assert _seen("10.0.0.1", "203.0.113.9", trusted=()) == "10.0.0.1"


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        (["203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9:51234"], "203.0.113.9"),
        (["2001:DB8::9"], "2001:db8::9"),
        (["[2001:db8::9]:443"], "2001:db8::9"),
        (["::ffff:203.0.113.9"], "203.0.113.9"),
        # What the client itself sent stands on the left, whatever it is.
        (["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        (["not an address, 203.0.113.9"], "203.0.113.9"),
        (["x" * 4000 + ",203.0.113.9"], "203.0.113.9"),
        (["10.0.0.9, 203.0.113.9, 192.0.2.1"], "203.0.113.9"),
        (["198.51.100.1", "203.0.113.9", "fd00::2"], "203.0.113.9"),
        (["10.0.0.9, 10.0.0.8"], "10.0.0.9"),
    ],
)
@pytest.mark.parametrize("peer", ["10.0.0.1", "::ffff:10.0.0.1", "fd00::1"])
def test_a_proxy_of_ours_names_the_client(peer: str, lines: list[str], client: str) -> None:
    assert _seen(peer, *lines) == client


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [""],
        ["unknown"],
        ["203.0.113.9,"],
        ["203.0.113.9, , 10.0.0.2"],
        ["203.0.113.999"],
        ["203.0.113.09"],
        ["fe80::1%eth0"],
        ["203.0.113.9:x"],
        ["[203.0.113.9"],
        ["203.0.113.9, <script>"],
        [", ".join(["203.0.113.9", *["10.0.0.2"] * 16])],
    ],
)
def test_what_names_nobody_leaves_the_proxy_itself(lines: list[str]) -> None:
    assert _seen("10.0.0.1", *lines) == "10.0.0.1"


@pytest.mark.parametrize("value", ["::ffff:10.0.0.1", "::ffff:10.0.0.0/104", "10.0.0.0/8"])
def test_a_proxy_may_be_named_as_ipv6_names_ipv4(value: str) -> None:
    trusted = tuple(Server(trusted_proxies=[value]).trusted_proxies)
    for peer in ("10.0.0.1", "::ffff:10.0.0.1"):
        assert _seen(peer, "203.0.113.9", trusted=trusted) == "203.0.113.9"


@pytest.mark.parametrize(
    "value", ["10.0.0.1/8", "0.0.0.0/0", "::/0", "::ffff:0:0/96", "proxy.example", "10.0.0.", ""]
)
def test_a_proxy_is_an_address_or_a_network(value: str) -> None:
    with pytest.raises(ValueError, match=r"must be an address or a network|every address there is"):
        Server(trusted_proxies=[value])


async def _fail(acme: Site, client: str) -> int:
    form = {"address": ADMIN, "password": "wrong wrong wrong wrong"}
    async with (
        acme.browser() as session,
        session.post("/o/acme/sign-in", data=form, headers={"X-Forwarded-For": client}) as answer,
    ):
        return answer.status


async def _recorded(acme: Site) -> set[str]:
    def read(conn: Connection) -> set[str]:
        return set(conn.scalars(select(login_attempts.c.ip)))

    return await acme.door.read(read)


async def test_behind_a_proxy_who_guesses_locks_out_nobody_else(database_url: str) -> None:
    async with site(database_url, sign_in_attempts=1, trusted_proxies=["127.0.0.0/8"]) as acme:
        assert [await _fail(acme, "203.0.113.9") for _ in range(2)] == [401, 429]
        assert await _fail(acme, "203.0.113.9, 198.51.100.1") == 401
        assert await _recorded(acme) == {"203.0.113.9", "198.51.100.1"}


async def test_without_the_list_nobody_escapes_the_limit_by_a_header(database_url: str) -> None:
    async with site(database_url, sign_in_attempts=1) as acme:
        assert [await _fail(acme, "203.0.113.9"), await _fail(acme, "198.51.100.1")] == [401, 429]
        assert await _recorded(acme) == {"127.0.0.1"}
