"""Many at once who all want a seat: invited, pushed, imported, reactivated by hand and by a push.

``python -m tests.doors.rush URL CROWDS`` does it from a process of its own: says ``ready``, waits for a
line, and prints what was answered. ``CROWDS`` are JSON: ``[[API_TOKEN, SCIM_TOKEN, NAMES], …]``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.doors.company import Answer, Company, Organization, company

KINDS = ("invite", "create", "import", "by-hand", "by-push")


@dataclass(frozen=True)
class Got:
    """What became of one of them. ``status``: of their row, where an answer has rows."""

    kind: str
    name: str
    status: int
    detail: str


@dataclass(frozen=True)
class Asking:
    """Who asks, by which token."""

    doors: Company
    api_token: str
    scim_token: str

    async def api(self, path: str, body: Any = None) -> Answer:
        return await self.doors.send(self.api_token, "POST", f"/api/v1{path}", body)

    async def scim(self, method: str, path: str, body: Any) -> Answer:
        return await self.doors.send(self.scim_token, method, f"/scim/v2{path}", body)

    async def invite(self, name: str) -> Answer:
        return await self.api("/invitations", {"emails": [f"{name}@home.example"]})

    async def create(self, name: str) -> Answer:
        return await self.scim("POST", "/Users", {"userName": f"{name}@home.example"})

    async def bring_in_a_file(self, name: str) -> Answer:
        plan = await self.api("/imports", {"csv": f"email\n{name}@home.example"})
        return await self.api("/imports/apply", {"plan": plan.json["sealed"]})

    async def by_hand(self, person_id: str) -> Answer:
        return await self.api(f"/users/{person_id}/reactivate")

    async def by_push(self, person_id: str) -> Answer:
        on = {"Operations": [{"op": "replace", "value": {"active": True}}]}
        return await self.scim("PATCH", f"/Users/{person_id}", on)

    async def all_at_once(self, names: Sequence[tuple[str, str]]) -> list[Got]:
        """``names``: pairs of kind and name, or the id of whoever is reactivated."""
        ways: dict[str, Callable[[str], Awaitable[Answer]]] = {
            "invite": self.invite,
            "create": self.create,
            "import": self.bring_in_a_file,
            "by-hand": self.by_hand,
            "by-push": self.by_push,
        }
        answers = await asyncio.gather(*(ways[kind](name) for kind, name in names))
        return [_got(kind, name, answer) for (kind, name), answer in zip(names, answers, strict=True)]


def _got(kind: str, name: str, answer: Answer) -> Got:
    status, said = answer.status, answer.json
    if "results" in said:
        (row,) = said["results"]
        status, said = row["status"], row["problem"] or {}
    return Got(kind, name, status, said.get("detail", ""))


async def prepared(
    doors: Company, org: Organization, kinds: Sequence[str], each: int
) -> list[tuple[str, str]]:
    """Who is going to ask, ``each`` of every kind; those who are reactivated are there, and Inactive."""
    asking = Asking(doors, org.api_token, org.scim_token)
    found: list[tuple[str, str]] = []
    for n in range(each):
        for kind in kinds:
            name = f"{kind}-{n}"
            if kind == "by-hand":
                made = (await asking.api("/users", {"email": f"{name}@home.example"})).json["id"]
                assert (await asking.api(f"/users/{made}/deactivate")).done
                name = made
            elif kind == "by-push":
                body = {"userName": f"{name}@home.example", "active": False}
                name = (await asking.scim("POST", "/Users", body)).json["id"]
            found.append((kind, name))
    return found


async def main(url: str, crowds: Sequence[tuple[str, str, list[tuple[str, str]]]]) -> None:
    async with company(url) as doors:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        came = await asyncio.gather(*(Asking(doors, *two).all_at_once(names) for *two, names in crowds))
        print(json.dumps([[asdict(each) for each in got] for got in came]), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
