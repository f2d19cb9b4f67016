"""Rules over REST (P8, P11): numbered, previewed, held, changed by one hand at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scimd.admin import rules
from scimd.admin import source_ends as admin_ends
from scimd.core.people import PersonId
from scimd.org.groups import groups
from scimd.org.groups.groups import AssertGroup
from scimd.org.sources import source_ends
from tests.admin.client import Client
from tests.support.patience import AT_MOST_S
from tests.web.site import Site


async def _engineers(acme: Site, many: int) -> tuple[str, list[PersonId]]:
    """A source's id, and the people of its group Engineers, whose external id is eng."""
    okta = await acme.source("okta", invite="never")
    people = await acme.push(okta, *({"userName": f"p{n}@acme.example"} for n in range(many)))
    ctx = replace(acme.ctx, source_id=okta.id, door="scim")
    wish = AssertGroup({"displayName": "Engineers"}, "eng", tuple(people))
    await acme.door.run(ctx, lambda tx: groups.record_groups(tx, [wish]))
    return okta.id, people


RULE = {"group": "eng", "licence": "Studio", "project": "Engine", "project_role": "owner"}


async def test_a_rules_life(acme: Site, api: Client) -> None:
    """P8, P11, W5."""
    source, (person,) = await _engineers(acme, 1)
    at = f"/sources/{source}/rules"
    shown = await api.post(f"{at}/preview", {"add": RULE})
    (moved,) = shown.json["people"]
    assert (moved["person_id"], moved["gains"]) == (person, ["licence Studio", "project Engine as owner"])
    assert (await api.get(at)).json["items"] == []
    made = await api.post(at, RULE, Idempotency_Key="one")
    assert (await api.post(at, RULE, Idempotency_Key="one")).json == made.json
    assert (made.status, made.json["number"], made.json["licence"]) == (201, 1, "Studio")
    assert (await api.get(f"/users/{person}")).json["licences"][0]["name"] == "Studio"
    first = await api.get(f"{at}/1")
    given = {"licence": None, "team": "Red"}
    edited = await api.send("PATCH", f"{at}/1", given, {"If-Match": first.headers["ETag"]})
    assert (edited.status, edited.json["licence"], edited.json["team"]) == (200, None, "Red")
    assert edited.headers["ETag"] == (await api.get(f"{at}/1")).headers["ETag"]
    late = await api.send("DELETE", f"{at}/1", headers={"If-Match": first.headers["ETag"]})
    assert (late.status, late.json["code"]) == (412, "version_mismatch")
    lost = (await api.post(f"{at}/preview", {"remove": 1})).json
    assert (lost["losing"], lost["held"]) == (1, [])
    more = {"change": {"number": 1, "licence": "Studio"}}
    assert (await api.post(f"{at}/preview", more)).json["gaining"] == 1
    assert (await api.send("DELETE", f"{at}/1")).status == 204
    assert (await api.get(f"{at}/1")).status == 404
    assert (await api.get(f"/audit?target={source}&kind=rules.changed&total=true")).json["total"] == 3
    (effective,) = (await api.get(f"/users/{person}/explain")).json["projects"].values()
    assert effective == "member"


async def test_what_is_over_the_limits_is_held_with_the_figures(acme: Site, api: Client) -> None:
    source, _ = await _engineers(acme, 12)
    at = f"/sources/{source}/rules"
    # The rule takes the place of the default: the project Engineers is theirs no more.
    assert "the project Engineers would lose 12 of 12" in (await api.post(at, RULE)).json["detail"]
    assert (await api.post(f"{at}?over_limits=true", RULE)).status == 201
    told = (await api.post(f"{at}/preview", {"remove": 1})).json
    assert any("the licence Studio would lose 12 of 12 members" in each for each in told["held"]), told
    held = await api.send("DELETE", f"{at}/1")
    assert (held.status, held.json["code"]) == (409, "not_allowed_now")
    assert "12 of 12" in held.json["detail"]
    assert "over_limits=true" in held.json["detail"]
    assert len((await api.get(at)).json["items"]) == 1
    assert (await api.send("DELETE", f"{at}/1?over_limits=true")).status == 204
    ended = (await api.get(f"/sources/{source}/end")).json
    assert (ended["losing"], ended["moving"], len(ended["people"])) == (12, 12, 12)
    assert ended["seats"]["after"] == ended["seats"]["before"] - 12
    csv = await api.get(f"{at}?format=csv")
    assert csv.text.startswith('"number","group","pattern"')


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"group": "eng", "pattern": "e*", "team": "Red"}, ""),
        ({"group": "eng"}, ""),
        ({"group": "eng", "role": "boss"}, "/role"),
        ({"group": "eng", "team": "Red", "colour": "red"}, "/colour"),
        ({"group": "eng", "team": "Red", "number": 0}, "/number"),
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused_by_its_field(
    acme: Site, api: Client, body: dict[str, Any], field: str
) -> None:
    source, _ = await _engineers(acme, 1)
    answer = await api.post(f"/sources/{source}/rules", body)
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, field), answer.text
    looked = await api.post(f"/sources/{source}/rules/preview", {"add": body})
    assert (looked.status, looked.json["errors"][0]["field"]) == (422, f"/add{field}"), looked.text
    neither = await api.post(f"/sources/{source}/rules/preview", {})
    assert (neither.status, neither.json["errors"][0]["field"]) == (422, "")


async def test_of_a_large_source_the_first_are_looked_at_and_the_rest_of_its_end_is_the_workers(
    acme: Site, api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "LOOKED_AT", 3)
    monkeypatch.setattr(admin_ends, "LOOKED_AT", 3)
    monkeypatch.setattr(source_ends, "IN_THE_CALL", 2)
    monkeypatch.setattr(source_ends, "_AT_ONCE", 2)
    source, _ = await _engineers(acme, 4)
    told = (await api.post(f"/sources/{source}/rules/preview", {"add": RULE})).json
    assert (told["concerned"], told["looked_at"], told["moving"]) == (4, 3, 3)
    assert "only the first 3" in (await api.get(f"/sources/{source}/end?people=keep")).json["held"][-1]
    at = f"/sources/{source}/end"
    assert (await api.post(at, {"people": "keep"})).status == 409
    begun = (await api.post(f"{at}?over_limits=true", {"people": "keep"})).json
    assert (begun["looked_at"], begun["left"]) == (3, 2)
    shown = (await api.get(f"/sources/{source}")).json
    assert (shown["ending"], shown["user_count"], shown["state"]) == ("keep", 2, "paused")
    await source_ends.go_on_all(acme.door, budget_s=AT_MOST_S)
    assert (await api.get(f"/sources/{source}")).status == 404
