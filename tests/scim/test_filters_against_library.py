"""Filters as scimd's SQL answers them, against scim2-models' own evaluation of the same tree.

Over HTTP, on both databases: the resources that the server renders are what the library evaluates,
with models that it builds from the server's own /Schemas. Where the library reads RFC 7644 §3.4.2.2
otherwise than scimd, ``AsScimdReads`` says so, difference by difference; nothing else is excused.
"""

from __future__ import annotations

import asyncio
from typing import Any, Union

import pytest
from scim2_models import Extension, Resource, Schema, ScimFilter, ScimPolicy
from scim2_models.path import (
    AttributeBinding,
    AttrPath,
    CompareOperator,
    Comparison,
    FilterNode,
    FilterVisitor,
    LogicalExpr,
    Not,
    Present,
    ValuePath,
)

from scimd.core.attributes import GROUP, GROUP_URN, USER_URN, ResourceKind
from scimd.core.people import fold
from scimd.scim.filters import MAX_LOOKS
from tests.scim.crowd import Crowd, values_in
from tests.scim.declared import DOORS, HR, source_with
from tests.scim.hostile_bodies import declared
from tests.scim.serving import Client, installed

_NOW, _LATER = 1_000, 10_000  # filters a kind, a database: 2,000 in make test, 20,000 in make test-long


class AsScimdReads(FilterVisitor[FilterNode]):
    """The tree as the library has to be given it to mean what scimd means. Each difference is named.

    1. ``eq null`` is "unassigned", and ``ne null`` is ``pr``: null, an empty array and no attribute at all
       are one state (RFC 7643 §2.5). The library asks whether *some* value of several is null, and holds
       an empty string for assigned in a comparison but not in ``pr``.
    2. A single complex attribute with a ``value`` (``manager``) is compared by it, as several are
       (RFC 7644 §3.4.2.2 has it for "complex attributes"; Entra ID filters so). The library follows
       ``value`` for multi-valued attributes only.
    3. A filter inside brackets is about one value: there ``eq null`` asks of that value alone.
    5. A value that does not say ``primary`` is not the primary one (RFC 7643 §2.4).
    """

    def __init__(self, kind: ResourceKind, *, inside: bool = False) -> None:
        self.kind = kind
        self.inside = inside

    def visit_comparison(self, node: Comparison) -> FilterNode:
        path = node.attr_path
        if node.value is None:
            present = Present(path)
            return present if node.op is CompareOperator.ne else Not(present)
        if node.value is False and (path.attr if self.inside else path.sub_attr or "").lower() == "primary":
            marked: FilterNode = Comparison(AttrPath("primary"), CompareOperator.eq, True)
            if not self.inside:
                marked = Not(ValuePath(AttrPath(path.attr, None, path.uri), Not(marked)))
            return marked if node.op is CompareOperator.ne else Not(marked)
        found = self.kind.resolve(path.uri, path.attr, path.sub_attr)
        if found is not None and found.target.type == "complex" and not found.attribute.multi:
            return Comparison(AttrPath(node.attr_path.attr, "value", node.attr_path.uri), node.op, node.value)
        return node

    def visit_present(self, node: Present) -> FilterNode:
        return node

    def visit_not(self, node: Not) -> FilterNode:
        return Not(self.visit(node.expr))

    def visit_logical_expr(self, node: LogicalExpr) -> FilterNode:
        return LogicalExpr(node.op, tuple(self.visit(term) for term in node.terms))

    def visit_value_path(self, node: ValuePath) -> FilterNode:
        return ValuePath(node.attr_path, AsScimdReads(self.kind, inside=True).visit(node.val_filter))


def _compared_by(binding: AttributeBinding, value: str) -> str:
    """How strings are compared is a service provider's own choice (``people.fold``).

    4. All of ``meta`` is case-exact (RFC 7643 §3.1; references are, §2.3.7). The library's own ``Meta``,
       which no /Schemas describes, folds ``location``.
    """
    return (
        value
        if binding.case_exact or ":meta." in binding.urn or binding.urn.startswith("meta.")
        else fold(value)
    )


COMPARED = ScimPolicy(comparison_key=_compared_by, unknown=ScimPolicy.Unknown.forbid)


async def models(client: Client) -> dict[str, Any]:
    """The library's models of what the server says in /Schemas that it serves."""
    served = (await client.get("/Schemas")).json["Resources"]
    tops = {USER_URN: Resource, GROUP_URN: Resource}
    made = {
        each["id"]: tops.get(each["id"], Extension).from_schema(Schema.model_validate(each))
        for each in served
    }
    user, group = made.pop(USER_URN), made.pop(GROUP_URN)
    return {"Users": user[Union[tuple(made.values())]], "Groups": group}  # noqa: UP007 - of a tuple made here


async def everything(client: Client, kind: ResourceKind) -> list[dict[str, Any]]:
    """All resources with all that they have, also what is shown on request only."""
    names = ",".join(map(str, kind.attributes()))
    reply = await client.get(kind.endpoint, params={"attributes": names, "count": "200"})
    assert reply.json["totalResults"] == reply.json["itemsPerPage"]
    return list(reply.json["Resources"])


async def populate(client: Client, crowd: Crowd, how_many: int) -> None:
    ids = []
    for n in range(how_many):
        reply = await client.post("/Users", crowd.user(n))
        assert reply.status == 201, reply.raw
        ids.append(reply.json["id"])
    groups: list[str] = []
    for n in range(how_many // 4):
        members = crowd.chance.sample([*ids, *groups, "not-there-yet"], crowd.chance.randint(0, 4))
        more = {"externalId": f"g-{crowd.word()}-{n}"} if n % 2 else {}
        body = {
            "displayName": f"{crowd.word()}-{n}",
            "members": [{"value": each} for each in members],
            **more,
        }
        reply = await client.post("/Groups", body)
        assert reply.status == 201, reply.raw
        groups.append(reply.json["id"])


async def agree(database_url: str, seed: int, how_many: int) -> None:
    async with installed(database_url) as scimd:
        org = await scimd.organization("acme")
        client = await scimd.client(org, config=source_with(HR, DOORS))
        crowd = Crowd(seed, declared())
        await populate(client, crowd, 24)
        library = await models(client)
        for kind in (declared(), GROUP):
            await _agree_on(client, kind, library[kind.endpoint.strip("/")], Crowd(seed, kind), how_many)


async def _agree_on(client: Client, kind: ResourceKind, model: Any, crowd: Crowd, how_many: int) -> None:
    resources = await everything(client, kind)
    seen = values_in(kind, resources)
    with COMPARED:
        known = {each["id"]: model.model_validate(each) for each in resources}
    texts = [crowd.filter(seen) for _ in range(how_many)]
    limit = asyncio.Semaphore(8)

    async def by_sql(text: str) -> set[str] | None:
        async with limit:
            reply = await client.get(
                kind.endpoint, params={"filter": text, "attributes": "id", "count": "200"}
            )
        if reply.status == 400 and f"more than {MAX_LOOKS} terms" in reply.json["detail"]:
            return None  # as one of ten thousand has
        assert reply.status == 200, (text, reply.raw)
        return {each["id"] for each in reply.json["Resources"]}

    some = 0
    for text, found in zip(texts, await asyncio.gather(*map(by_sql, texts)), strict=True):
        if found is None:
            continue
        node = AsScimdReads(kind).visit(ScimFilter(text).ast)
        with COMPARED:
            bound = ScimFilter[model](node)  # type: ignore[valid-type]
            wanted = {key for key, each in known.items() if bound.match(each, strict=True)}
        assert found == wanted, (text, {key: known[key].model_dump() for key in found ^ wanted})
        some += 0 < len(found) < len(known)
    assert some > how_many / 5  # filters that all find nobody would prove nothing


async def test_sql_finds_what_the_library_finds(database_url: str) -> None:
    await agree(database_url, seed=20_260_101, how_many=_NOW)


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
async def test_sql_finds_what_the_library_finds_in_twenty_thousand(database_url: str, seed: int) -> None:
    await agree(database_url, seed, _LATER // 2)
