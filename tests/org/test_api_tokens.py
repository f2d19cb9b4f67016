"""API tokens of people and services, rotation of tokens, and what ends soon."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from scimd.core.errors import (
    DatabaseUnavailable,
    Forbidden,
    InvalidValue,
    NotAllowedNow,
    NotFound,
    Overloaded,
    Refusal,
    StorageFull,
)
from scimd.core.people import PersonId, TokenId
from scimd.core.roles import ACCOUNT_ADMIN, BUILT_IN
from scimd.db.tables import access_tokens, events, metadata, unsettled
from scimd.db.tables import api_tokens as rows
from scimd.org.authentication import sessions, sign_in
from scimd.org.mails import expiring
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import NewOrganization
from scimd.org.tokens import api_tokens, oauth, tokens
from scimd.org.tokens.api_tokens import PERMISSIONS
from scimd.org.tx import Actor, Context
from scimd.org.users import admin_reads, first_admins
from tests.org.acme import OPERATOR, PASSWORD, House, opened

WHOLE = BUILT_IN[ACCOUNT_ADMIN].permissions


def as_person(acme: House, person_id: str, permissions: frozenset[str] = frozenset()) -> Context:
    actor = Actor("person", person_id, "ada@acme.example")
    return replace(acme.ctx, actor=actor, permissions=permissions, door="web")


async def admin(acme: House, address: str = "ada@acme.example") -> PersonId:
    await first_admins.create_admin(acme.door, "acme", address, OPERATOR)
    return await admin_reads.find_person(acme.door, acme.org.id, address)


# ------------------------------------------------------------------------------ personal


async def test_a_personal_token_allows_what_its_person_may_now(acme: House) -> None:
    ada = await admin(acme)
    made = await api_tokens.create_personal(acme.door, as_person(acme, ada), ada, "laptop")
    holder = await api_tokens.authenticate(acme.door, made.token)
    assert holder is not None
    assert (holder.person_id, holder.permissions, holder.kind) == (ada, WHOLE, "personal")
    ctx = holder.context(acme.door)
    assert (ctx.actor.kind, ctx.actor.id, ctx.door) == ("person", ada, "api")
    assert ctx.actor.name == "ada@acme.example (token laptop)"

    def demote(conn: Any) -> None:
        conn.execute(metadata.tables["people"].update().values(roles=["auditor"], primary_role="auditor"))

    await acme.write(demote)
    holder = await api_tokens.authenticate(acme.door, made.token)
    assert holder is not None
    assert holder.permissions == {"users.read", "audit.read"}


async def test_a_narrowed_token_never_allows_more_than_it_was_given(acme: House) -> None:
    ada = await admin(acme)
    made = await api_tokens.create_personal(
        acme.door, acme.ctx, ada, "reports", permissions=["users.read", "partner.approve"]
    )
    holder = await api_tokens.authenticate(acme.door, made.token)
    assert holder is not None
    assert holder.permissions == {"users.read"}  # an Account Admin approves for no partner
    # An operator's token in another organization is no operator.
    elsewhere = replace(holder.context(acme.door), actor=Actor("operator", ada, "ada"))
    with pytest.raises(Forbidden):
        await organizations.set_seats(acme.door, elsewhere, 5)


async def test_only_the_person_or_an_operator_makes_a_personal_token(acme: House) -> None:
    ada = await admin(acme)
    with pytest.raises(Forbidden, match="act as that person"):
        await api_tokens.create_personal(acme.door, as_person(acme, "another", WHOLE), ada, "mine")
    with pytest.raises(NotFound):
        await api_tokens.create_personal(acme.door, acme.ctx, PersonId("nobody"), "x")
    person = await acme.push(await acme.source())
    with pytest.raises(NotAllowedNow, match="may not sign in"):
        await api_tokens.create_personal(acme.door, acme.ctx, person, "x")


async def test_a_token_makes_no_other(acme: House) -> None:
    ada = await admin(acme)
    made = await api_tokens.create_personal(acme.door, acme.ctx, ada, "x")
    holder = await api_tokens.authenticate(acme.door, made.token)
    assert holder is not None
    ctx = holder.context(acme.door)
    with pytest.raises(NotAllowedNow, match="cannot create another one"):
        await api_tokens.create_personal(acme.door, ctx, ada, "y")
    with pytest.raises(NotAllowedNow, match="cannot create another one"):
        await api_tokens.create_service(acme.door, ctx, "y", ["users.read"])


@pytest.mark.parametrize(
    "more",
    [
        {"name": ""},
        {"name": "x" * 201},
        {"name": "a\nb"},
        {"permissions": ["everything"]},
        {"permissions": []},
        {"expires_at": "past"},
    ],
)
async def test_name_permissions_and_end_are_checked(acme: House, more: dict[str, Any]) -> None:
    ada = await admin(acme)
    given = {"name": "x"} | more
    if "expires_at" in given:
        given["expires_at"] = acme.clock.now
    with pytest.raises(InvalidValue):
        await api_tokens.create_personal(acme.door, acme.ctx, ada, **given)
    assert await acme.rows(rows) == []


# ------------------------------------------------------------------------------ service


async def test_a_service_may_do_what_it_was_given(acme: House) -> None:
    made = await api_tokens.create_service(acme.door, acme.ctx, "billing", ["users.read", "audit.read"])
    holder = await api_tokens.authenticate(acme.door, made.token)
    assert holder is not None
    assert (holder.person_id, holder.display_name) == (None, "billing")
    assert holder.permissions == {"users.read", "audit.read"}
    ctx = holder.context(acme.door)
    assert (ctx.actor.kind, ctx.actor.id, ctx.actor.name) == ("token", made.id, "billing")
    with pytest.raises(Forbidden):
        await organizations.set_seats(acme.door, ctx, 5)


async def test_nobody_gives_a_service_more_than_they_may(acme: House) -> None:
    maker = as_person(acme, "a", frozenset({"organization.manage", "users.read"}))
    assert await api_tokens.create_service(acme.door, maker, "x", ["users.read"])
    with pytest.raises(Forbidden, match=r"users\.manage"):
        await api_tokens.create_service(acme.door, maker, "y", ["users.read", "users.manage"])
    with pytest.raises(Forbidden, match=r"organization\.manage"):
        await api_tokens.create_service(
            acme.door, as_person(acme, "a", frozenset({"users.read"})), "y", ["users.read"]
        )
    with pytest.raises(InvalidValue):
        await api_tokens.create_service(acme.door, acme.ctx, "y", [])
    assert PERMISSIONS >= WHOLE


# ------------------------------------------------------------------------------ using, ending


async def test_an_api_token_dies_at_its_expiry_exactly(acme: House) -> None:
    until = acme.clock.now + timedelta(hours=1)
    made = await api_tokens.create_service(acme.door, acme.ctx, "x", ["users.read"], expires_at=until)
    acme.clock.now = until - timedelta(microseconds=1)
    assert await api_tokens.authenticate(acme.door, made.token)
    acme.clock.now = until
    assert await api_tokens.authenticate(acme.door, made.token) is None


@pytest.mark.parametrize("why", [StorageFull, DatabaseUnavailable, Overloaded])
async def test_who_reads_needs_no_room_to_write(
    acme: House, monkeypatch: pytest.MonkeyPatch, why: type[Refusal]
) -> None:
    """That somebody came is written down where it can be (F7)."""
    made = await api_tokens.create_service(acme.door, acme.ctx, "x", ["users.read"])
    link = await first_admins.create_admin(acme.door, "acme", "ada@acme.example", OPERATOR)
    signed_in = await sign_in.by_link(acme.door, link, ip="", user_agent="")
    acme.clock.now += timedelta(minutes=10)

    async def refused(*_: Any, **__: Any) -> None:
        raise why

    monkeypatch.setattr(acme.door.db, "write", refused)
    assert await api_tokens.authenticate(acme.door, made.token)
    assert await sessions.by_cookie(acme.door, signed_in.session)


async def test_a_cut_or_changed_token_costs_no_statement(
    acme: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await api_tokens.create_service(acme.door, acme.ctx, "x", ["users.read"])
    text = made.token

    async def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("asked the database")

    monkeypatch.setattr(acme.door, "read", fail)
    wrong = [
        text[:-1],
        text + "a",
        text.swapcase(),
        text.replace("scimdk_", "scimd_"),
        "",
        "scimdk_",
        "é" * 56,
    ]
    for each in wrong:
        assert await api_tokens.authenticate(acme.door, each) is None


async def test_revoking_counts_at_once_and_is_ones_own_or_an_admins(acme: House) -> None:
    ada, bob = await admin(acme), await admin(acme, "bob@acme.example")
    made = await api_tokens.create_personal(acme.door, acme.ctx, ada, "x")
    with pytest.raises(Forbidden):
        await api_tokens.revoke(acme.door, as_person(acme, bob), made.id)
    await api_tokens.revoke(acme.door, as_person(acme, ada), made.id)
    assert await api_tokens.authenticate(acme.door, made.token) is None
    await api_tokens.revoke(acme.door, acme.ctx, made.id)
    service = await api_tokens.create_service(acme.door, acme.ctx, "s", ["users.read"])
    holder = await api_tokens.authenticate(acme.door, service.token)
    assert holder is not None
    await api_tokens.revoke(acme.door, holder.context(acme.door), service.id)  # a leaked one ends itself
    assert await api_tokens.authenticate(acme.door, service.token) is None
    with pytest.raises(NotFound):
        await api_tokens.revoke(acme.door, acme.ctx, TokenId("nobody"))
    kinds = sorted(kind for kind in await acme.kinds() if kind.startswith("api_token"))
    assert kinds == ["api_token.created"] * 2 + ["api_token.revoked"] * 2


async def test_revoking_by_another_process_counts_at_once(acme: House, database_url: str) -> None:
    source = await acme.source()
    scim = await tokens.create(acme.door, acme.ctx, source.id, "t")
    client = await oauth.create_client(acme.door, acme.ctx, source.id, "c")
    proved = await oauth.prove(acme.door, client.client_id, client.secret)
    assert proved is not None
    access = await oauth.issue(acme.door, proved, ["users:read"], timedelta(hours=1), "c-1")
    key = await api_tokens.create_service(acme.door, acme.ctx, "s", ["users.read"])

    async def alive() -> list[bool]:
        found = (
            await tokens.authenticate(acme.door, scim.token),
            await oauth.authenticate(acme.door, access.token),
            await api_tokens.authenticate(acme.door, key.token),
        )
        return [each is not None for each in found]

    assert await alive() == [True, True, True]
    async with opened(database_url) as (other, _):
        await tokens.revoke(other, acme.ctx, scim.id)
        await oauth.revoke_client(other, acme.ctx, client.client_id)
        await api_tokens.revoke(other, acme.ctx, key.id)
        assert await alive() == [False, False, False]


async def test_tokens_of_another_organization_are_not_there(acme: House) -> None:
    made = await api_tokens.create_service(acme.door, acme.ctx, "x", ["users.read"])
    other = await organizations.create(acme.door, NewOrganization("other"), OPERATOR)
    ctx = replace(acme.ctx, org_id=other.id)
    with pytest.raises(NotFound):
        await api_tokens.revoke(acme.door, ctx, made.id)
    assert await api_tokens.list_tokens(acme.door, ctx) == []


async def test_lists_show_everything_but_the_token(acme: House) -> None:
    ada = await admin(acme)
    own = await api_tokens.create_personal(acme.door, acme.ctx, ada, "laptop", permissions=["users.read"])
    service = await api_tokens.create_service(acme.door, acme.ctx, "billing", ["users.read"])
    acme.clock.pass_by(minutes=5)
    await api_tokens.authenticate(acme.door, own.token)
    by_id = {row.id: row for row in await api_tokens.list_tokens(acme.door, acme.ctx)}
    assert by_id.keys() == {own.id, service.id}
    assert by_id[own.id].last_used_at == acme.clock.now
    assert (by_id[own.id].display_name, by_id[own.id].permissions) == ("ada@acme.example", ("users.read",))
    assert (by_id[service.id].display_name, by_id[service.id].last_used_at) == (None, None)
    assert own.token not in repr(by_id)
    (mine,) = await api_tokens.list_tokens(acme.door, as_person(acme, ada), person_id=ada)
    assert mine.id == own.id
    with pytest.raises(Forbidden):
        await api_tokens.list_tokens(acme.door, as_person(acme, ada))
    with pytest.raises(Forbidden):
        await api_tokens.list_tokens(acme.door, as_person(acme, "b"), person_id=ada)


async def test_no_token_is_stored_anywhere(acme: House) -> None:
    ada = await admin(acme)
    made = [
        (await api_tokens.create_personal(acme.door, acme.ctx, ada, "x")).token,
        (await api_tokens.create_service(acme.door, acme.ctx, "x", ["users.read"])).token,
    ]

    def dump(conn: Any) -> str:
        return "".join(repr(list(conn.execute(table.select()))) for table in metadata.sorted_tables)

    text = await acme.door.read(dump)
    assert not any(token in text for token in made)


Ending = Callable[[House, PersonId, Any], Coroutine[Any, Any, None]]


async def _deactivated(acme: House, person_id: PersonId, source: Any) -> None:
    await acme.assert_active(source, person_id, False)


async def _password_changed(acme: House, person_id: PersonId, source: Any) -> None:
    signed = await sign_in.by_password(
        acme.door, "acme", "dana@acme.example", PASSWORD, ip="127.0.0.1", user_agent=""
    )
    holder = await sessions.by_cookie(acme.door, signed.session)
    assert holder is not None
    await sign_in.set_own_password(
        acme.door, holder, "nine slow harbours wait", current=PASSWORD, ip="127.0.0.1"
    )


@pytest.mark.parametrize("ending", [_deactivated, _password_changed])
async def test_what_ends_sessions_ends_personal_tokens_in_the_same_transaction(
    acme: House, ending: Ending
) -> None:
    source = await acme.source()
    person = await acme.push(source)
    await acme.accepted(person)
    bystander = await api_tokens.create_service(acme.door, acme.ctx, "billing", ["users.read"])
    made = await api_tokens.create_personal(acme.door, acme.ctx, person, "x")
    assert await api_tokens.authenticate(acme.door, made.token)
    await ending(acme, person, source)
    assert await api_tokens.authenticate(acme.door, made.token) is None
    (row,) = await acme.rows(rows, id=made.id)
    assert row.revoked_at is not None
    (told,) = [each for each in await acme.rows(events) if each.kind == "api_token.revoked"]
    assert told.target_id == made.id
    # What ended does not come back with the person.
    if ending is _deactivated:
        await acme.assert_active(source, person, True)
        assert await api_tokens.authenticate(acme.door, made.token) is None
    assert await api_tokens.authenticate(acme.door, bystander.token)


async def test_of_an_unsettled_person_the_narrower_standing_counts_for_tokens_too(acme: House) -> None:
    source = await acme.source()
    person = await acme.push(source)
    await acme.accepted(person)
    made = await api_tokens.create_personal(acme.door, acme.ctx, person, "x")

    def deprovision(conn: Any) -> None:
        conn.execute(metadata.tables["assertions"].update().values(active=False))
        conn.execute(
            unsettled.insert().values(org_id=acme.org.id, person_id=person, turn=0, marked_at=acme.clock.now)
        )

    await acme.write(deprovision)
    assert await api_tokens.authenticate(acme.door, made.token) is None


# ------------------------------------------------------------------------------ rotation


async def test_a_rotated_token_works_beside_its_successor_for_the_overlap(acme: House) -> None:
    source = await acme.source()
    end = acme.clock.now + timedelta(days=90)
    old = await tokens.create(acme.door, acme.ctx, source.id, "Okta", "okta", end, ["users:read"])
    acme.clock.pass_by(days=80)
    new = await tokens.rotate(acme.door, acme.ctx, old.id, timedelta(hours=24))
    for text in (old.token, new.token):
        holder = await tokens.authenticate(acme.door, text)
        assert holder is not None
        assert (holder.profile, holder.scopes, holder.token_name) == ("okta", {"users:read"}, "Okta")
    acme.clock.pass_by(hours=24)
    assert await tokens.authenticate(acme.door, old.token) is None
    assert await tokens.authenticate(acme.door, new.token)
    listed = {row.id: row for row in await tokens.list_tokens(acme.door, acme.org.id)}
    assert listed[new.id].expires_at == acme.clock.now - timedelta(hours=24) + timedelta(days=90)
    with pytest.raises(NotAllowedNow, match="has ended already"):
        await tokens.rotate(acme.door, acme.ctx, old.id, timedelta(0))
    assert [kind for kind in await acme.kinds() if kind.startswith("token")] == [
        "token.created",
        "token.rotated",
    ]


async def test_an_overlap_prolongs_nothing_and_zero_ends_at_once(acme: House) -> None:
    source = await acme.source()
    short = await tokens.create(
        acme.door, acme.ctx, source.id, "a", expires_at=acme.clock.now + timedelta(hours=1)
    )
    await tokens.rotate(acme.door, acme.ctx, short.id, timedelta(days=30))
    forever = await tokens.create(acme.door, acme.ctx, source.id, "b")
    next_one = await tokens.rotate(acme.door, acme.ctx, forever.id, timedelta(0))
    assert await tokens.authenticate(acme.door, forever.token) is None
    assert await tokens.authenticate(acme.door, next_one.token)
    acme.clock.pass_by(hours=1)
    assert await tokens.authenticate(acme.door, short.token) is None
    listed = {row.id: row for row in await tokens.list_tokens(acme.door, acme.org.id)}
    assert listed[next_one.id].expires_at is None
    with pytest.raises(NotFound):
        await tokens.rotate(acme.door, acme.ctx, TokenId("nobody"), timedelta(0))
    with pytest.raises(Forbidden):
        await tokens.rotate(acme.door, as_person(acme, "a"), next_one.id, timedelta(0))


@pytest.mark.parametrize("given", [None, timedelta(days=90)])
async def test_a_token_that_is_rotated_twice_has_successors_of_the_same_length(
    acme: House, given: timedelta | None
) -> None:
    source = await acme.source()
    end = None if given is None else acme.clock.now + given
    old = await tokens.create(acme.door, acme.ctx, source.id, "Okta", expires_at=end)
    for _ in range(2):
        new = await tokens.rotate(acme.door, acme.ctx, old.id, timedelta(minutes=10))
        listed = {row.id: row for row in await tokens.list_tokens(acme.door, acme.org.id)}
        assert listed[new.id].expires_at == (None if given is None else acme.clock.now + given)
        acme.clock.pass_by(minutes=3)
    acme.clock.pass_by(minutes=4)
    assert await tokens.authenticate(acme.door, old.token) is None  # ten minutes after the first


# ------------------------------------------------------------------------------ ends, and what is pruned


async def test_what_ends_soon_is_told_of_every_kind(acme: House) -> None:
    source, ada, soon = await acme.source(), await admin(acme), acme.clock.now + timedelta(days=6)
    late = acme.clock.now + timedelta(days=30)
    token = await tokens.create(acme.door, acme.ctx, source.id, "t", expires_at=soon)
    client = await oauth.create_client(acme.door, acme.ctx, source.id, "c", expires_at=soon)
    key = await api_tokens.create_personal(acme.door, acme.ctx, ada, "k", expires_at=soon)
    dead = await tokens.create(acme.door, acme.ctx, source.id, "dead", expires_at=soon)
    await tokens.revoke(acme.door, acme.ctx, dead.id)
    await tokens.create(acme.door, acme.ctx, source.id, "late", expires_at=late)
    await tokens.create(acme.door, acme.ctx, source.id, "never")
    found = await expiring.within(acme.door, timedelta(days=7))
    assert {(each.kind, each.id, each.name, each.source_name, each.person_id) for each in found} == {
        ("token", token.id, "t", "okta", None),
        ("client_secret", client.secret_id, "c", "okta", None),
        ("api_token", key.id, "k", None, ada),
    }
    other = await organizations.create(acme.door, NewOrganization("other"), OPERATOR)
    assert await expiring.within(acme.door, timedelta(days=7), other.id) == []
    assert len(await expiring.within(acme.door, timedelta(days=7), acme.org.id)) == 3
    acme.clock.pass_by(days=6)
    assert await expiring.within(acme.door, timedelta(days=7)) == []  # these have ended


async def test_access_tokens_die_at_their_end_and_are_pruned_a_day_later(acme: House) -> None:
    source = await acme.source()
    made = await oauth.create_client(acme.door, acme.ctx, source.id, "c")
    client = await oauth.prove(acme.door, made.client_id, made.secret)
    assert client is not None
    issued = await oauth.issue(acme.door, client, ["users:read"], timedelta(hours=1), "c-1")
    acme.clock.now = issued.expires_at - timedelta(microseconds=1)
    holder = await oauth.authenticate(acme.door, issued.token)
    assert holder is not None
    assert (holder.token_id, holder.scopes, holder.kind) == (made.client_id, {"users:read"}, "client")
    acme.clock.now = issued.expires_at
    assert await oauth.authenticate(acme.door, issued.token) is None
    assert await oauth.forget_expired(acme.door) == 0
    acme.clock.pass_by(days=1, seconds=1)
    assert await oauth.forget_expired(acme.door) == 1
    assert await acme.rows(access_tokens) == []


async def test_a_client_secret_dies_at_its_expiry_exactly(acme: House) -> None:
    source, end = await acme.source(), acme.clock.now + timedelta(days=1)
    made = await oauth.create_client(acme.door, acme.ctx, source.id, "c", expires_at=end)
    acme.clock.now = end - timedelta(microseconds=1)
    assert await oauth.prove(acme.door, made.client_id, made.secret)
    acme.clock.now = end
    assert await oauth.prove(acme.door, made.client_id, made.secret) is None


async def test_last_use_of_clients_is_written_behind(acme: House) -> None:
    source = await acme.source()
    made = await oauth.create_client(acme.door, acme.ctx, source.id, "c")
    client = await oauth.prove(acme.door, made.client_id, made.secret)
    assert client is not None
    issued = await oauth.issue(acme.door, client, ["users:read"], timedelta(hours=1), "c-1")
    holder = await oauth.authenticate(acme.door, issued.token)
    assert holder is not None
    used = tokens.LastUsed(acme.door)
    used.note(holder)
    assert await used.flush() == 1
    (listed,) = await oauth.list_clients(acme.door, acme.org.id)
    assert listed.last_used_at == acme.clock.now
