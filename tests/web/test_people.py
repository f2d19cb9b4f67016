"""People on the page: the list, one person's standing with its reasons, the overview."""

from __future__ import annotations

import re

from scimd.org.declared import declared_held
from scimd.org.tx import Tx
from scimd.org.users import local_people
from scimd.org.users.local_people import NewServiceAccount
from tests.web.by_form import get
from tests.web.site import Site

DANA = {"userName": "dana@acme.example", "displayName": "Dana Ortiz", "externalId": "emp-0042"}
YUKO = {"userName": "yuko@acme.example", "displayName": "中村 優子"}


async def test_list_is_searched_by_name_and_address(acme: Site) -> None:
    okta = await acme.source("okta")
    await acme.push(okta, DANA, YUKO)
    async with acme.signed_in() as session:
        page = await get(session, "/people")
        assert "Dana Ortiz" in page
        assert "中村 優子" in page
        assert "has not come in yet" in page
        assert "中村 優子" not in await get(session, "/people?search=ortiz")
        assert "Dana Ortiz" in await get(session, "/people?search=DANA@ACME")
        assert "中村 優子" in await get(session, "/people?search=優子")
        assert "Dana Ortiz" not in await get(session, "/people?status=active")
        assert "Nobody matches" in await get(session, "/people?search=nobody")


async def test_list_pages(acme: Site) -> None:
    okta = await acme.source("okta")
    async with acme.signed_in() as session:
        await acme.push(okta, *({"userName": f"p{n:03}@acme.example"} for n in range(105)))
        first = await get(session, "/people")
        following = first.partition('aria-label="Pages">')[2].partition('href="')[2].partition('"')[0]
        second = await get(session, following.replace("&amp;", "&"))
    wanted = {f"p{n:03}@acme.example" for n in range(105)} | {"ada@acme.example"}
    tables = [page.partition("<tbody")[2] for page in (first, second)]  # their head names who is signed in
    pages = [{address for address in wanted if f">{address}<" in table} for table in tables]
    assert [len(page) for page in pages] == [100, 6]
    assert pages[0] | pages[1] == wanted


async def test_a_name_changes_nothing_but_its_own_place(acme: Site) -> None:
    okta, entra = await acme.source("okta"), await acme.source("entra")
    (ali,) = await acme.push(okta, DANA | {"displayName": "Ali\u202egpj"})
    await acme.group(okta, "Tea\u2067m", ali)
    await acme.push(entra, DANA | {"displayName": "D\u2066ana", "externalId": "x"})
    async with acme.signed_in() as session:
        paths = ["/people", f"/people/{ali}", "/people?search=%E2%80%AE", "/decide"]
        question = re.search(r'/decide/[^"]+', await get(session, "/decide"))
        assert question
        for path in [*paths, question[0]]:
            page = await get(session, path)
            assert not set("\u202e\u2066\u2067") & set(page)
        assert r"entra brings D\u2066ana (dana@acme.example). That address" in page
        page = await get(session, f"/people/{ali}")
    assert r"<h1>Ali\u202egpj</h1>" in page
    assert r"Tea\u2067m" in page
    assert "<bdi>okta</bdi>" in page  # a name in a sentence keeps its direction to itself


async def test_person_shows_why(acme: Site) -> None:
    okta = await acme.source("okta")
    (dana,) = await acme.push(okta, DANA)
    async with acme.signed_in() as session:
        page = await get(session, f"/people/{dana}")
    for words in (
        "Dana Ortiz",
        "emp-0042",
        "okta",
        "Why this access",
        "General",
        "History",
        "Person created:",
        "source okta",
        "Project General",
    ):
        assert words in page


async def test_service_account_shows_its_owner(acme: Site) -> None:
    new = NewServiceAccount("robot", "Robot", owner="Grace Hopper")
    bot = await local_people.add_service_account(acme.door, acme.ctx, new)
    async with acme.signed_in() as session:
        assert "<dt>Owner</dt><dd>Grace Hopper</dd>" in await get(session, f"/people/{bot}")


async def test_person_of_another_organization_is_not_there(acme: Site) -> None:
    async with acme.signed_in() as session:
        for path in ("/people/0193", "/people/01a1ff56-a49f-7e64-a64a-7eb900000000"):
            async with session.get(path) as answer:
                assert answer.status == 404


async def test_overview_shows_sources_seats_and_questions(acme: Site) -> None:
    okta = await acme.source("okta", state="staged")
    await acme.push(okta, DANA)
    await acme.decision()
    async with acme.signed_in() as session:
        page = await get(session, "/")
    for words in ("okta", "Staged", "2</b> of 50 used", "Is the entry uid=dana", "Nothing has run yet"):
        assert words in page


async def test_overview_says_what_of_the_config_file_is_held(acme: Site) -> None:
    await acme.source("okta")
    held = {"okta": "It takes the role.", "its_domains": "One is another's."}

    def hold(tx: Tx) -> None:
        declared_held.note(tx, held)

    await acme.door.run(acme.ctx, hold)
    async with acme.signed_in() as session:
        page = await get(session, "/")
    assert "the config file’s change is held: It takes the role." in page
    assert "the config file’s change of the domains is held: One is another" in page


async def test_empty_organization_says_what_to_do_next(acme: Site) -> None:
    async with acme.signed_in() as session:
        page = await get(session, "/")
        assert "scimd token create --org acme" in page
        assert "Nothing waits for a decision" in await get(session, "/decide")
