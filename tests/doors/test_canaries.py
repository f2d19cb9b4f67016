"""V18, A46: canaries go in by every door, and everything that comes out is searched for them.

*Secrets*: what opens something. They stand in no log, table, error, audit entry or export, but in the one
answer that hands them out. *Personal data*: in no log, and in the log of SCIM requests as pseudonyms.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from scimd import log
from scimd.connector_api import BadEntry, CredentialsRefused, DirectoryUser, End
from scimd.core.errors import Refusal
from scimd.db import tables as t
from scimd.org.authentication import sessions, sign_in
from scimd.org.invitations import invitations
from scimd.org.sources import sources
from scimd.org.users import my_profile
from scimd.sync import run as sync_run
from tests.doors.company import Answer, Company, Organization
from tests.sync.world import Person

#: Personal: every value of a person that is sent begins so, in some spelling.
PERSONAL = "canaryperson"
#: Secrets that a client chooses; those that scimd makes are caught as they are handed out.
CHOSEN = ("canarysecret-password-1-of-three", "canarysecret-password-2-of-three", "canarysecret-wrong-one")
#: What no log may do: begin a line of its own, or colour it (A46).
BREAKS = "\r\n\x1b[31mforged=line"


@dataclass
class Flock:
    """What went in, and what came out."""

    doors: Company
    org: Organization
    secrets: set[str] = field(default_factory=set)
    answers: list[Answer] = field(default_factory=list)

    async def scim(self, method: str, path: str, body: Any = None) -> Answer:
        return self.seen(await self.doors.scim(self.org, method, path, body))

    async def api(self, method: str, path: str, body: Any = None) -> Answer:
        return self.seen(await self.doors.api(self.org, method, path, body))

    async def as_whoever(self, headers: dict[str, str], path: str, body: Any = None) -> Answer:
        method = "GET" if body is None else "POST"
        return self.seen(await self.doors.send("", method, path, body, headers))

    def seen(self, answer: Answer) -> Answer:
        assert answer.status < 500, answer
        self.answers.append(answer)
        return answer

    async def hands_out(self, path: str, body: Any, name: str) -> str:
        """An answer that shows a secret, this once."""
        answer = await self.doors.api(self.org, "POST", path, body)
        assert answer.done, answer
        text: str = answer.json[name]
        self.secrets.add(text.rpartition("/")[2])
        return text

    async def tried(self, work: Any) -> Any:
        try:
            return await work
        except Refusal as exc:
            self.answers.append(Answer(400, f"{exc} {exc.detail}".encode()))
            return None


def person(n: int, **more: Any) -> dict[str, Any]:
    name = f"{PERSONAL}{n}"
    return {
        "userName": f"{name}@home.example",
        "externalId": f"x-{name}",
        "displayName": f"{name} Name{BREAKS}",
        "name": {"givenName": name, "familyName": name.upper()},
        "emails": [{"value": f"{name}@home.example", "primary": True}],
        "phoneNumbers": [{"value": f"+49 {name}"}],
        "password": CHOSEN[2],
        **more,
    }


async def by_scim(flock: Flock) -> None:
    made = (await flock.scim("POST", "/Users", person(1))).json["id"]
    path = f"/Users/{made}"
    group = {"displayName": f"{PERSONAL} group", "members": [{"value": made}, {"value": f"x-{PERSONAL}"}]}
    await flock.scim("POST", "/Groups", group)
    await flock.scim("PUT", path, person(1, title=PERSONAL))
    # Refused in as many ways as there are: taken, mistyped, cut, unknown, too deep, no JSON.
    for body in (
        person(1),
        person(2, emails=[[f"{PERSONAL}@"]]),
        person(3, active=f"{PERSONAL}"),
        person(4, externalId=["x", PERSONAL]),
        {"userName": {f"{PERSONAL}@home.example": CHOSEN[2]}},
        f'{{"userName": "{PERSONAL}", "password": "{CHOSEN[2]}"'.encode(),
        b"\xff\xfe" + PERSONAL.encode(),
        b"[" * 5000 + PERSONAL.encode(),
    ):
        assert not (await flock.scim("POST", "/Users", body)).done
    value = {"password": CHOSEN[2], "nickName": PERSONAL, f"{PERSONAL}@home.example": CHOSEN[2]}
    for operation in (
        {"op": "replace", "value": value},
        {"op": "replace", "path": "password", "value": CHOSEN[2]},
        {"op": "add", "path": f'emails[value eq "{PERSONAL}@x"].value', "value": f"{PERSONAL}@y"},
        {"op": "remove", "path": f'emails[value eq "{PERSONAL}'},
        {"op": PERSONAL, "value": CHOSEN[2]},
    ):
        await flock.scim("PATCH", path, {"Operations": [operation]})
    for text in (
        f'userName eq "{PERSONAL}"',
        f'password eq "{CHOSEN[2]}"',
        f"userName eq {PERSONAL}",
        f'"{PERSONAL}',
    ):
        await flock.scim("POST", "/Users/.search", {"filter": text, "sortBy": "displayName"})
    bulk = {"method": "POST", "path": "/Users", "bulkId": PERSONAL, "data": person(5)}
    await flock.scim("POST", "/Bulk", {"Operations": [bulk, bulk | {"path": f"/{PERSONAL}"}]})
    await flock.scim("GET", f"/Users/{PERSONAL}")
    await flock.scim("DELETE", path)


async def by_tokens_and_addresses(flock: Flock) -> None:
    """Secrets where they do not belong: other schemes, the query, cookies, paths, half and doubled."""
    real = flock.org.scim_token
    for headers in (
        {"Authorization": f"Bearer {real}x"},
        {"Authorization": f"Basic {CHOSEN[2]}"},
        {"Authorization": f"bearer  {real} {real}"},
        {"Cookie": f"__Host-scimd={flock.org.admin_cookie}; token={real}"},
        {"X-Api-Key": real, "User-Agent": CHOSEN[2]},
    ):
        for path in ("/scim/v2/Users", "/api/v1/users", f"/scim/v2/Users?access_token={real}"):
            await flock.as_whoever(headers, path)
    link = await flock.hands_out(f"/invitations/{await invited(flock)}/copy-link", None, "url")
    token = link.rpartition("/")[2]
    for path in (f"/invitation/{token[:-1]}x", f"/set-password/{token}", f"/{token}", f"/api/v1/{token}"):
        await flock.as_whoever({}, path)
    # The page behind the link has it in its form.
    assert (await flock.doors.send("", "GET", f"/invitation/{token}")).done


async def invited(flock: Flock) -> str:
    body = {"emails": [f"{PERSONAL}9@home.example"], "message": f"{PERSONAL}"}
    row = (await flock.api("POST", "/invitations", body)).json["results"][0]
    return str(row["answer"]["invitation_id"])


async def by_admins(flock: Flock) -> None:
    flock.secrets.add(
        (await flock.doors.send(
            flock.org.api_token, "POST", "/api/v1/source-tokens", {"source": flock.org.scim.id, "name": "n"},
            {"Idempotency-Key": "once"},
        )).json["token"]
    )  # fmt: skip
    body = {"source": flock.org.scim.id, "name": "client"}
    secret = await flock.hands_out("/oauth-clients", body, "secret")
    form = f"grant_type=client_credentials&client_id=x&client_secret={secret}".encode()
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    await flock.as_whoever(kind, "/oauth/token", form)
    added = (await flock.api("POST", "/users", {"email": f"{PERSONAL}6@home.example"})).json["id"]
    await flock.api("POST", "/users", {"email": f"{PERSONAL}6@home.example"})
    await flock.api("POST", "/users", {"email": f"{PERSONAL} no address", "password": CHOSEN[2]})
    await flock.api("PATCH", f"/users/{added}", {"display_name": f"{PERSONAL}{BREAKS}"})
    await flock.api("PATCH", f"/users/{added}", {"user_name": PERSONAL.upper()})
    await flock.api("POST", "/imports", {"csv": f"email\n{PERSONAL}7@home.example\n{PERSONAL}\n"})
    await flock.api("GET", f"/users?q={PERSONAL}&sort={PERSONAL}")
    await flock.api("POST", "/invitations", f'{{"emails": ["{PERSONAL}"'.encode())


async def by_people(flock: Flock) -> None:
    door, where = flock.doors.door, {"ip": "203.0.113.9", "user_agent": f"{PERSONAL}{BREAKS}"}
    flock.doors.clock.forward(minutes=20)
    await flock.doors.jobs(flock.org)
    letters = {each.to: each for each in flock.doors.letters.arrived}
    flock.secrets |= {each.token for each in flock.doors.letters.arrived}
    ours = letters[f"{PERSONAL}9@home.example"].token
    await flock.tried(invitations.accept(door, ours, password="short", **where))
    come = await flock.tried(
        invitations.accept(door, ours, password=CHOSEN[0], name=f"{PERSONAL} Nine", **where)
    )
    flock.secrets.add(come.session)
    welcome = letters[f"{PERSONAL}6@home.example"].token
    set_ = await flock.tried(sign_in.set_password_by_link(door, welcome, CHOSEN[1], **where))
    flock.secrets.add(set_.session)
    for address in (f"{PERSONAL}9@home.example", f"{PERSONAL}nobody@home.example", f"{PERSONAL}{BREAKS}"):
        for password in (CHOSEN[2], CHOSEN[0]):
            found = await flock.tried(sign_in.by_password(door, flock.org.slug, address, password, **where))
            flock.secrets |= {found.session} if found else set()
    holder = await sessions.by_cookie(door, come.session)
    assert holder is not None
    await flock.tried(sign_in.set_own_password(door, holder, CHOSEN[1], current=CHOSEN[2], ip=where["ip"]))
    await flock.tried(my_profile.edit(door, holder, display_name=f"{PERSONAL} Ten", phone=PERSONAL))
    await flock.tried(my_profile.ask_confirmation(door, holder, f"{PERSONAL}10@home.example"))
    await flock.doors.jobs(flock.org)
    flock.secrets |= {each.token for each in flock.doors.letters.arrived}


async def by_directories(flock: Flock) -> None:
    script = flock.org.script
    script.people = {
        f"x-{PERSONAL}{n}": Person(f"{PERSONAL}{n}", f"{PERSONAL}{n}@x.example") for n in (20, 21)
    }
    script.people[f"x-{PERSONAL}22"] = Person(f"{PERSONAL}20", f"{PERSONAL}{BREAKS}")
    script.groups = {"g": (f"{PERSONAL} crew", [f"x-{PERSONAL}20", f"x-{PERSONAL}"])}
    script.bad = [BadEntry(f"x-{PERSONAL}23", f"cn={PERSONAL}", "no userName")]
    script.extra = [DirectoryUser(f"x-{PERSONAL}24", f"cn={PERSONAL}24", {"mail": PERSONAL})]
    script.end = End(full=True)
    for fault in (None, CredentialsRefused("The directory refused the name and password.")):
        script.fault = fault
        source = await sources.get_source(flock.doors.door, flock.org.id, "hr")
        await flock.tried(sync_run.sync_source(flock.doors.door, source))


async def stored(flock: Flock) -> dict[str, str]:
    """Every table as text, bytes as what they spell."""

    def body(conn: Any) -> dict[str, str]:
        return {
            table.name: "\n".join(_text(value) for row in conn.execute(table.select()) for value in row)
            for table in t.metadata.tables.values()
        }

    return await flock.doors.door.read(body)


def _text(value: Any) -> str:
    return bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)


async def exported(flock: Flock) -> str:
    """Every list of the REST API as a file, and every run's report."""
    paths = [
        f"/{each}?format={kind}"
        for each in ("users", "invitations", "groups", "audit", "runs", "login-attempts", "sessions",
                     "scim-requests", "source-tokens", "api-tokens", "oauth-clients", "decisions", "sources")
        for kind in ("csv", "json")
    ]  # fmt: skip
    runs = (await flock.doors.api(flock.org, "GET", "/runs")).json["items"]
    paths += [f"/runs/{run['id']}/report.{kind}" for run in runs for kind in ("csv", "json")]
    found = [await flock.doors.api(flock.org, "GET", path) for path in paths]
    assert all(answer.done for answer in found), found
    return "\n".join(answer.raw.decode() for answer in found)


async def test_canaries_are_in_no_output(open_doors: Company, capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("debug", "json")
    try:
        flock = Flock(open_doors, await open_doors.organization(), set(CHOSEN))
        flock.secrets |= {flock.org.scim_token, flock.org.api_token, flock.org.admin_cookie}
        for way in (by_scim, by_tokens_and_addresses, by_admins, by_people, by_directories):
            await way(flock)
        await asyncio.sleep(0)
        logged = "".join(capsys.readouterr())
    finally:
        structlog.reset_defaults()
    assert "run_ended" in logged, "something is logged"
    outputs = await stored(flock)
    outputs["what is exported"] = await exported(flock)
    outputs["logs"] = logged
    for n, answer in enumerate(flock.answers):
        outputs[f"answer {n} {answer.status}"] = answer.raw.decode()
    found = {(where, secret) for where, text in outputs.items() for secret in flock.secrets if secret in text}
    assert found == set()
    for where in ("logs", "scim_requests"):
        text = outputs[where].lower()
        assert PERSONAL not in text, text[max(0, text.find(PERSONAL) - 200) :][:400]
    assert "forged=line" not in logged
    assert "\x1b" not in logged
