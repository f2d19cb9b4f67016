"""My profile (U14): one's own name, phone, address, sessions and picture, by page."""

from __future__ import annotations

import base64
import re

import pytest
from playwright.async_api import Browser
from sqlalchemy import select, update

from scimd.core import pictures
from scimd.core.errors import InvalidValue, TooLarge
from scimd.db.tables import people
from tests.web.browser import tab
from tests.web.by_form import get, post, value_after, value_of
from tests.web.site import ADMIN, Site

PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"
    b"\x00\x00\x00\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\x00\x05\x00\x01\xff\x89\x99=\x1d\x00\x00\x00\x00IEND\xaeB`\x82"
)


async def test_own_name_and_phone_are_changed_and_hostile_ones_are_text(acme: Site) -> None:
    async with acme.signed_in() as session:
        status, path, page = await post(session, "/my", display_name="Ada <b>L</b>", phone="+44 20 7946 0000")
        assert (status, path) == (200, "/my?said=profile")
        assert "Ada &lt;b&gt;L&lt;/b&gt;" in page
        assert "+44 20 7946 0000" in page
        assert "<b>L" not in page
        status, _, page = await post(session, "/my", display_name="Ada", phone="x" * 41)
        assert (status, "at most 40 characters" in page) == (422, True)


@pytest.mark.parametrize(
    ("path", "field", "value", "says"),
    [
        ("/my", "phone", "+44 20 " + "1" * 40, "It must be at most 40 characters long."),
        ("/my", "display_name", "Ada\u200b", "It must be one line of text, without characters that cannot"),
        ("/my/address", "address", "ada@", "It must be one mail address, such as"),
    ],
)
async def test_what_is_refused_stays_in_its_field_and_says_why_there(
    acme: Site, path: str, field: str, value: str, says: str
) -> None:
    async with acme.signed_in() as session:
        typed = {"display_name": "Ada L", "phone": "+44 1", field: value}
        status, _, page = await post(session, path, **typed)
        assert (status, f'<p class="fault" id="{field}-says">{says}' in page) == (422, True)
        shown = value.replace("\u200b", r"\u200b")
        assert f'value="{shown}"' in page
        assert path != "/my" or 'value="Ada' in page
        async with session.get(path) as answer:
            assert (answer.status, answer.url.path) == (200, "/my")


async def test_a_name_that_the_page_spells_out_stays_what_it_was(acme: Site) -> None:
    """As a source brought it that is not the owner any more: nobody typed it."""
    name = "Ada\u200e"
    mine = people.c.sign_in_address == ADMIN
    async with acme.signed_in() as session:
        await acme.door.run(
            acme.ctx, lambda tx: tx.conn.execute(update(people).where(mine).values(display_name=name))
        )
        shown = value_after(await get(session, "/my"), 'name="display_name" type="text" value="')
        assert shown == r"Ada\u200e"
        status, _, page = await post(session, "/my", display_name=shown, phone="+44 1")
        assert (status, "+44 1" in page) == (200, True)
    assert (
        await acme.door.read(lambda conn: conn.execute(select(people.c.display_name).where(mine)).scalar())
        == name
    )


async def test_what_a_source_owns_is_refused_with_its_name(acme: Site) -> None:
    okta = await acme.source("okta", invite="never")
    (dana,) = await acme.push(okta, {"userName": "dana@acme.example", "displayName": "Dana"})
    token = await acme.sign_in_link_of(dana)
    async with acme.browser() as session:
        await session.post(f"/sign-in/{token}")
        assert "okta manages your name" in await get(session, "/my")
        for path, fields in (
            ("/my", {"display_name": "Other", "phone": ""}),
            ("/my", {"display_name": "Dana", "phone": "1"}),
            ("/my/address", {"address": "other@acme.example"}),
        ):
            status, _, page = await post(session, path, **fields)
            assert (status, "okta" in page) == (403, True)


async def test_own_sessions_are_listed_and_ended_and_nobody_elses(acme: Site) -> None:
    async with (
        acme.signed_in() as one,
        acme.signed_in() as other,
        acme.signed_in("grace@acme.example") as grace,
    ):
        page = await get(one, "/my")
        (theirs,) = re.findall(r"/my/sessions/([^/]+)/end", page)
        status, _, _ = await post(grace, f"/my/sessions/{theirs}/end")
        assert status == 404
        await post(one, f"/my/sessions/{theirs}/end")
        async with other.get("/") as answer:
            assert answer.url.path == "/sign-in"


async def test_picture_is_kept_by_what_it_holds(acme: Site) -> None:
    async with acme.signed_in() as session:
        token = value_of(await get(session, "/my"), "form_token")

        async def put(image: str) -> int:
            headers = {"X-Form-Token": token}
            async with session.put("/api/v1/me/picture", json={"image": image}, headers=headers) as answer:
                return answer.status

        for wrong in (b"<svg onload=alert(1)>", b"<html>", b"GIF89a", b""):
            assert await put(base64.b64encode(wrong).decode()) == 422
        assert await put("no base64!") == 422
        assert await put(base64.b64encode(PNG).decode()) == 204
        async with session.get("/my/picture") as answer:
            assert (await answer.read(), answer.content_type) == (PNG, "image/png")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert (await post(session, "/my/picture/remove"))[0] == 200
        async with session.get("/my/picture") as answer:
            assert answer.status == 404


async def test_picture_is_uploaded_in_a_real_browser(acme: Site, browser: Browser) -> None:
    async with tab(browser, acme.url) as (page, seen):
        await page.goto(f"/sign-in/{await acme.sign_in_link()}")
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url("**/password")
        await page.goto("/my")
        picture = page.get_by_label("PNG, JPEG or WebP")
        await picture.set_input_files({"name": "p.png", "mimeType": "image/png", "buffer": PNG})
        await page.get_by_role("button", name="Upload").click()
        await page.get_by_text("Saved.").wait_for()
        assert page.url.endswith("/my?said=profile")
    assert seen.complaints == []


def test_pictures_are_bounded() -> None:
    with pytest.raises(TooLarge):
        pictures.kind_of(PNG + b"x" * pictures.AT_MOST)
    with pytest.raises(InvalidValue, match="pixels"):
        pictures.kind_of(PNG[:16] + (5000).to_bytes(4, "big") + PNG[20:])
    assert pictures.kind_of(b"\xff\xd8\xff\xe0") == "image/jpeg"
    assert pictures.kind_of(b"RIFF\x00\x00\x00\x00WEBPVP8 ") == "image/webp"
