"""X3: domains are declared by an operator or proven by DNS, and belong to one organization."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import TypeAlias

import pytest

from scimd.core.errors import Forbidden, InvalidValue, NotAllowedNow, NotFound, NotUnique
from scimd.core.people import DecisionId, PersonId
from scimd.db.tables import decisions, deliveries, events, people
from scimd.org.decisions import decisions as decisions_of
from scimd.org.identities import linking, merging, unmerging
from scimd.org.organizations import domains, organizations
from scimd.org.organizations.dns_txt import resolver
from scimd.org.organizations.organizations import NewOrganization
from scimd.org.tx import Actor, Context
from scimd.org.users import admin_reads, gates, local_people
from scimd.org.users.local_people import NewPerson
from tests.org.house import House, house, user
from tests.support.dns import name_server

Step: TypeAlias = Callable[[House, PersonId], Awaitable[None]]
OPERATOR = Actor("operator", "", "root")


@pytest.fixture
async def acme(database_url: str) -> AsyncIterator[House]:
    async with house(database_url) as found:
        yield found


async def beta(acme: House) -> Context:
    org = await organizations.create(acme.door, NewOrganization("beta"), OPERATOR)
    return replace(acme.as_admin(), org_id=org.id)


async def test_a_claim_counts_once_its_record_is_there(acme: House) -> None:
    claimed = await domains.claim(acme.door, acme.as_admin(), "Widgets.Example.")
    assert (claimed.domain, claimed.verified_at) == ("widgets.example", None)
    records: dict[str, list[str]] = {}
    async with name_server(records) as server:
        look_up = resolver([server])
        with pytest.raises(NotAllowedNow, match="there is none yet"):
            await domains.verify(acme.door, acme.as_admin(), "widgets.example", look_up)
        records[claimed.record] = ["something else"]
        with pytest.raises(NotAllowedNow, match="it says 'something else'"):
            await domains.verify(acme.door, acme.as_admin(), "widgets.example", look_up)
        records[claimed.record] = ["something else", claimed.value]
        proven = await domains.verify(acme.door, acme.as_admin(), "widgets.example", look_up)
    assert proven.verified_at is not None
    kinds = [row.kind for row in await acme.rows(events, target_id="widgets.example")]
    assert sorted(kinds) == ["domain.claimed", "domain.verified"]


async def test_a_claim_stands_in_nobodys_way_and_the_first_proof_wins(acme: House) -> None:
    other = await beta(acme)
    mine = await domains.claim(acme.door, acme.as_admin(), "widgets.example")
    theirs = await domains.claim(acme.door, other, "widgets.example")
    assert mine.value != theirs.value
    async with name_server({mine.record: [mine.value, theirs.value]}) as server:
        await domains.verify(acme.door, other, "widgets.example", resolver([server]))
        with pytest.raises(NotUnique, match="another organization"):
            await domains.verify(acme.door, acme.as_admin(), "widgets.example", resolver([server]))
    with pytest.raises(NotUnique):
        await domains.declare(acme.door, Context(acme.org_id, OPERATOR, "cli", "c"), "widgets.example")


async def test_anothers_proof_proves_nothing_here(acme: House) -> None:
    other = await beta(acme)
    await domains.claim(acme.door, acme.as_admin(), "widgets.example")
    theirs = await domains.claim(acme.door, other, "widgets.example")
    async with name_server({theirs.record: [theirs.value]}) as server:
        with pytest.raises(NotAllowedNow):
            await domains.verify(acme.door, acme.as_admin(), "widgets.example", resolver([server]))


async def test_a_name_server_that_does_not_answer_changes_nothing(acme: House) -> None:
    await domains.claim(acme.door, acme.as_admin(), "widgets.example")

    async def away(name: str) -> list[str]:
        return await resolver(["127.0.0.1:9"])(name)

    with pytest.raises(NotAllowedNow, match="name servers gave no answer"):
        await domains.verify(acme.door, acme.as_admin(), "widgets.example", away)


async def test_a_domain_that_is_given_up_may_be_anothers(acme: House) -> None:
    await domains.remove(acme.door, acme.as_admin(), "acme.example")
    other = await beta(acme)
    await domains.declare(acme.door, replace(other, actor=OPERATOR), "acme.example")
    assert [row.domain for row in await domains.list_domains(acme.door, other.org_id)] == ["acme.example"]
    with pytest.raises(NotFound):
        await domains.remove(acme.door, acme.as_admin(), "acme.example")


async def test_only_an_operator_declares(acme: House) -> None:
    with pytest.raises(Forbidden):
        await domains.declare(acme.door, acme.as_admin(), "widgets.example")


@pytest.mark.parametrize(
    "text", ["", "example", "a..example", "-a.example", "a.example/x", "a b.example", "com"]
)
async def test_what_is_no_domain_is_refused(acme: House, text: str) -> None:
    with pytest.raises(InvalidValue):
        await domains.claim(acme.door, acme.as_admin(), text)


async def test_a_domain_of_another_script_is_kept_as_dns_has_it(acme: House) -> None:
    found = await domains.claim(acme.door, acme.as_admin(), "Bücher.example")
    assert found.domain == "xn--bcher-kva.example"


async def closed(acme: House) -> Context:
    """Another organization that has beta.example."""
    other = await beta(acme)
    await domains.declare(acme.door, replace(other, actor=OPERATOR), "beta.example")
    return other


async def addresses(acme: House) -> dict[str, str | None]:
    return {row.local_user_name: row.sign_in_address for row in await acme.rows(people)}


async def test_no_source_gives_an_address_of_another_organizations_domain(acme: House) -> None:
    """X3: a create is never refused for it; the person has no sign-in address, and an admin is asked."""
    await closed(acme)
    mail = "eve@BETA.example"
    await acme.create("eve", mail=mail)
    ldap = await acme.source("ldap")
    await acme.push(user("abe", mail="abe@beta.example"), user("bea"), ctx=acme.as_sync(ldap))
    ann = (await acme.create("ann")).person_id
    assert await addresses(acme) == {
        "eve": None, "abe": None, "bea": "bea@acme.example", "ann": "ann@acme.example",
    }  # fmt: skip
    await acme.change(ann, emails=[{"value": "ann@beta.example", "primary": True}])
    assert (await acme.person(ann)).sign_in_address is None
    seen = await acme.seen(ann)
    assert seen is not None
    assert seen["emails"][0]["value"] == "ann@beta.example"
    items = await acme.rows(decisions, kind="shared_address")
    assert len(items) == 3
    assert all("belongs to another organization" in item.question for item in items)


async def test_who_had_the_address_before_the_domain_was_proven_keeps_it(acme: House) -> None:
    ann = (await acme.create("ann", mail="ann@beta.example")).person_id
    other = await closed(acme)
    await acme.change(ann, title="Lead")
    assert await addresses(acme) == {"ann": "ann@beta.example"}
    bob = (await acme.create("bob", mail="bob@beta.example")).person_id
    (item,) = await acme.rows(decisions, kind="shared_address")
    await _must_wait(acme, item.id)
    await domains.remove(acme.door, other, "beta.example")
    await decisions_of.answer(acme.door, acme.as_admin(), item.id, "again")
    assert (await acme.person(bob)).sign_in_address == "bob@beta.example"


async def _must_wait(acme: House, item_id: str) -> None:
    """Looking again is refused while it would change nothing: nobody would be asked again."""
    with pytest.raises(NotAllowedNow, match=r"The domain of .* still belongs to another organization"):
        await decisions_of.answer(acme.door, acme.as_admin(), DecisionId(item_id), "again")
    assert len(await acme.rows(decisions, id=item_id, state="open")) == 1


async def _deleted(acme: House, ann: PersonId) -> None:
    await gates.delete(acme.door, acme.as_admin(), ann)


async def _restored(acme: House, ann: PersonId) -> None:
    await gates.restore(acme.door, acme.as_admin(), ann)


async def _linked(acme: House, ann: PersonId) -> None:
    """To an entry that has another address."""
    await linking.link(acme.door, acme.as_admin(), ann, "okta", "x-annie")
    await acme.create("annie")
    await acme.change(ann, emails=[{"value": "anna@acme.example", "primary": True}])


async def _unlinked(acme: House, ann: PersonId) -> None:
    await linking.unlink(acme.door, acme.as_admin(), ann, "okta")


async def _merged(acme: House, ann: PersonId) -> None:
    """Into somebody else."""
    bob = await local_people.add(acme.door, acme.as_admin(), NewPerson("bob@acme.example"))
    await merging.merge(acme.door, acme.as_admin(), bob, ann)


async def _unmerged(acme: House, ann: PersonId) -> None:
    await unmerging.unmerge(acme.door, acme.as_admin(), ann)


async def _merged_with_an_entry(acme: House, ann: PersonId) -> None:
    """Their address becomes that of the entry, whose person was merged into them."""
    annie = PersonId((await acme.create("annie")).person_id)
    await merging.merge(acme.door, acme.as_admin(), ann, annie)
    await acme.change(ann, emails=[{"value": "anna@acme.example", "primary": True}])


async def _unmerged_from_it(acme: House, ann: PersonId) -> None:
    (row,) = [each for each in await acme.rows(people) if each.deleted_at is not None]
    await unmerging.unmerge(acme.door, acme.as_admin(), PersonId(row.id))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (_deleted, _restored),
        (_linked, _unlinked),
        (_merged, _unmerged),
        (_merged_with_an_entry, _unmerged_from_it),
    ],
)
async def test_nobody_comes_back_to_an_address_of_another_organizations_domain(
    acme: House, before: Step, after: Step
) -> None:
    """X3: they have none, a question says so, and it gives the address once the domain is nobody's."""
    ann = await local_people.add(acme.door, acme.as_admin(), NewPerson("ann@beta.example"))
    await before(acme, ann)
    other = await closed(acme)
    mails = await acme.rows(deliveries, address="ann@beta.example", template="set_password")
    await after(acme, ann)
    row = await acme.person(ann)
    assert (row.deleted_at, row.sign_in_address, row.sign_in_key) == (None, None, None)
    assert await acme.rows(deliveries, address="ann@beta.example", template="set_password") == mails
    (item,) = await acme.rows(decisions, kind="shared_address", state="open")
    assert "belongs to another organization" in item.question
    await _must_wait(acme, item.id)
    await domains.remove(acme.door, other, "beta.example")
    await decisions_of.answer(acme.door, acme.as_admin(), item.id, "again")
    assert (await acme.person(ann)).sign_in_address == "ann@beta.example"
    assert await admin_reads.check_standing(acme.door, acme.org_id) == []


async def test_who_never_lost_the_address_keeps_it_when_unlinked(acme: House) -> None:
    ann = await local_people.add(acme.door, acme.as_admin(), NewPerson("ann@beta.example"))
    await linking.link(acme.door, acme.as_admin(), ann, "okta", "x-annie")
    await acme.create("annie", mail="ann@beta.example")
    await closed(acme)
    await _unlinked(acme, ann)
    assert (await acme.person(ann)).sign_in_address == "ann@beta.example"
