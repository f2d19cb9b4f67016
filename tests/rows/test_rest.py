"""Rows R16, T3, T6, W5-W7 and X1-X4: what holds for every noun."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import tomllib
from typing import Any

from openapi_spec_validator import OpenAPIV31SpecValidator
from sqlalchemy import update

from scimd.admin import manual
from scimd.admin.endpoints import Endpoint
from scimd.admin.table import TABLE
from scimd.db.tables import events
from scimd.org.mails import notifications
from scimd.org.sources import source_upkeep
from scimd.sync.schedule import following
from tests.cli.test_commands import COMMANDS
from tests.support.daemon import KEY
from tests.support.dns import name_server
from tests.support.installation import PASSWORD, Installation, text_of, user_document

GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"

# ------------------------------------------------------------------------------ R16


async def test_r16_link_unlink_detach_and_merge(acme: Installation) -> None:
    okta = await acme.idp()
    ann = await acme.add("ann")
    alpha = await acme.api.post("/projects", {"name": "Alpha"})
    twin = await acme.add("twin", projects=[{"id": alpha["id"], "role": "owner"}])
    used = (await acme.api.get("/seats"))["used"]
    assert (await acme.cli("user", "link", "ann", "--source", "okta", "--entry", "x-pushed"))[
        "linked"
    ] is False
    pushed = await okta.post("/scim/v2/Users", user_document("pushed", displayName="Ann P."))
    assert pushed["id"] == ann["id"]
    row = await acme.api.get(f"/users/{ann['id']}")
    assert (row["display_name"], row["source"]["name"]) == ("Ann P.", "okta")
    new = (await acme.cli("user", "unlink", "ann", "--source", "okta"))["id"]
    assert new != ann["id"]
    assert (await acme.api.get(f"/users/{new}"))["display_name"] == "Ann P."
    row = await acme.api.get(f"/users/{ann['id']}")
    assert (row["display_name"], row["source"]) == ("Ann", None)
    relinked = await acme.api.post(f"/users/{ann['id']}/link", {"source": "okta", "entry": "x-later"})
    assert relinked["id"] == ann["id"]
    later = await okta.post("/scim/v2/Users", user_document("later"))
    assert later["id"] == ann["id"]
    await acme.api.post(f"/users/{ann['id']}/unlink", {"source": "okta"})
    assert (await acme.cli("user", "show", ann["id"]))["person"]["source"] is None
    await acme.api.post(f"/users/{new}/detach", {"source": "okta"})
    assert (await acme.api.get(f"/users/{new}"))["source"] is None
    told = await acme.api.send("POST", f"/users/{ann['id']}/merge?preview=true", {"other": twin["id"]})
    assert (told.status, told.json["done"]) == (200, False)
    assert (await acme.api.get(f"/users/{twin['id']}"))["id"] == twin["id"]  # only looked at
    await acme.said("user", "merge", "ann", "twin", code=1, answer="n\n")
    assert await acme.cli("user", "merge", "ann", "twin", "--yes") == {"id": ann["id"], "merged": twin["id"]}
    kept = await acme.api.get(f"/users/{ann['id']}")
    assert {each["name"] for each in kept["projects"]} == {"Alpha"}
    assert (await acme.api.get(f"/users/{twin['id']}"))["id"] == ann["id"]  # both ids answer
    assert len(await acme.api.items("/users?has_seat=true")) == (await acme.api.get("/seats"))["used"]
    assert (await acme.api.get("/seats"))["used"] <= used + 1
    kinds = {row["kind"] for row in await acme.cli("audit", "list", "--target", ann["id"])}
    assert {"person.merged", "person.linked"} & kinds, kinds


# ------------------------------------------------------------------------------ T3, T6


async def test_t3_every_action_is_in_the_chain_and_verify_finds_a_change(acme: Installation) -> None:
    team = await acme.api.post("/teams", {"name": "Ops"})
    await acme.cli("user", "add", "ann@acme.example", "--team", "Ops")
    await acme.api.patch(f"/teams/{team['id']}", {"name": "Operations"})
    (entry,) = await acme.cli("audit", "list", "--target", team["id"], "--kind", "team.renamed")
    over_rest = await acme.api.items(f"/audit?target={team['id']}&kind=team.renamed")
    assert [row["id"] for row in over_rest] == [entry["id"]]
    assert (entry["before"]["name"], entry["after"]["name"]) == ("Ops", "Operations")
    assert (entry["actor_name"], entry["door"]) == ("ada@acme.example (token rows)", "api")
    assert entry["correlation_id"]
    await acme.minutes_pass()
    assert (await acme.cli("audit", "verify"))["faults"] == []
    assert (await acme.api.get("/audit/verify"))["faults"] == []

    def change(conn: Any) -> None:
        mine = events.c.id == entry["id"]
        conn.execute(update(events).where(mine).values(body={"after": {"name": "Nothing"}}))

    await acme.door.db.write(change)
    told = (await acme.cli("audit", "verify", code=1))["faults"]
    assert len(told) == 1
    assert entry["id"] in str(told)
    assert len((await acme.api.get("/audit/verify"))["faults"]) == 1


async def test_t6_whoever_is_named_is_told_by_mail(acme: Installation) -> None:
    acme.configure(
        '[[organization.notify]]\nto = ["account-admins", "it@acme.example"]\nabout = ["seats", "tokens"]\n'
    )
    await acme.start_again()
    await acme.idp()
    await acme.cli("token", "create", "--source", "okta", "--org", "acme", "--expires", "10d")

    async def subjects(to: str) -> list[str]:
        await source_upkeep.pause_long_quarantined(acme.door)
        await notifications.notify_all(acme.door, following)
        return [str(mail["Subject"]) for mail in await acme.mails(to)]

    (about_token,) = await subjects("it@acme.example")
    assert "okta" in about_token
    await acme.cli("seats", "set", "1")
    told = await subjects("it@acme.example")
    assert len(told) == 2
    assert any("seat" in subject.lower() for subject in told)
    assert await subjects("ada@acme.example") == told
    assert await subjects("it@acme.example") == told  # once
    for mail in await acme.mails("it@acme.example"):
        assert "scimd_" not in text_of(mail)


# ------------------------------------------------------------------------------ W5, W6, W7


async def test_w5_rest_document_problems_cursors_and_idempotency(acme: Installation) -> None:
    document = await acme.api.get("/api/openapi.json")
    OpenAPIV31SpecValidator(document).validate()
    assert set(document["paths"]) == {row.path for row in TABLE}
    key = {"Idempotency-Key": "one"}
    first = await acme.api.send("POST", "/users", {"email": "ann@acme.example"}, key)
    again = await acme.api.send("POST", "/users", {"email": "ann@acme.example"}, key)
    assert (first.status, again.status, first.json) == (201, 201, again.json)
    other = await acme.api.send("POST", "/users", {"email": "bob@acme.example"}, key)
    assert other.status in (409, 422)
    both = await asyncio.gather(
        *(acme.api.send("POST", "/teams", {"name": "Ops"}, {"Idempotency-Key": "two"}) for _ in range(3))
    )
    assert len(await acme.cli("team", "list")) == 1
    assert 201 in {answer.status for answer in both}
    problem = await acme.api.refused("POST", "/users", {"email": 3, "shoe_size": 4})
    assert problem.keys() >= {"type", "title", "status", "code", "detail", "instance", "errors"}
    assert {fault["field"] for fault in problem["errors"]} == {"/email", "/shoe_size"}
    for name in "cdefg":
        await acme.api.post("/users", {"email": f"{name}{name}@acme.example"})
    found, cursor = [], ""
    while True:
        page = await acme.api.get(f"/users?limit=3{cursor}")
        found += [row["id"] for row in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert found == [row["id"] for row in await acme.cli("user", "list")]
    await acme.cli("user", "edit", "cc", "--display-name", "=HYPERLINK(1)")
    rows = list(csv.DictReader(io.StringIO((await acme.api.send("GET", "/users?format=csv")).text)))
    assert {row["id"] for row in rows} == set(found)
    assert all(not row["display_name"].startswith("=") for row in rows)
    whole = (await acme.api.send("GET", "/users?format=json")).json["items"]
    assert {row["id"] for row in whole} == set(found)


#: Of row W6; backup, restore and simulate are not there yet.
NOUNS = (
    "user", "group", "rule", "invitation", "project", "team", "role", "licence", "seats", "source", "run",
    "token", "session", "login-attempt", "scim-log", "audit", "domain", "org", "partner", "admin",
)  # fmt: skip
VERBS = ("serve", "worker", "migrate", "check", "doctor", "plan", "apply", "sync", "replay")


async def test_w6_a_command_for_every_noun_with_json_and_exit_codes(acme: Installation) -> None:
    known = {path[0] for path, _ in COMMANDS if path}
    assert {*NOUNS, *VERBS, "decide"} <= known
    leaves = {path for path, command in COMMANDS if not hasattr(command, "commands")}
    for noun in sorted(set(NOUNS) - {"seats", "admin"}):
        assert (noun, "list") in leaves, noun
        words = ("--source", "okta") if noun == "rule" else ()
        if noun == "rule":
            await acme.cli("token", "create", "--source", "okta", "--org", "acme")
        found = await acme.cli(noun, "list", *words)
        assert isinstance(found, list | dict)
        assert await acme.said(noun, "list", *words)
    assert "error: " not in (await acme._command("user", "list")).stderr
    for words, code in ((("user", "show", "nobody"), 1), (("user", "list", "--no-such-option"), 1)):
        done = await acme._command(*words)
        assert (done.exit_code != 0, done.stdout) == (bool(code), ""), words


async def test_w7_the_config_is_checked_with_file_key_and_mend(acme: Installation) -> None:
    text = acme.file.read_text("utf-8")
    for wrong, said in (
        ("[server]\nprot = 1\n", "server.prot: unknown key; allowed here: "),
        ('[invitations]\nvalid_for = "soon"\n', "invitations.valid_for"),
        ('[[organization]]\nname = "x"\nseats_on_scim = "maybe"\n', "seats_on_scim"),
    ):
        plain = re.sub(r"\[server\][^[]*", "", text) if wrong.startswith("[server]") else text
        acme.file.write_text(plain + wrong, "utf-8")
        sentence = await acme.cli_refused("user", "list")
        assert str(acme.file) in sentence
        assert said in sentence
    acme.file.write_text(text, "utf-8")
    shop = "https://shop.example/seats"
    await acme.api.patch("/organization", {"get_more_seats_url": shop, "seats_on_scim": "reject"})
    await acme.idp()  # declared in the file, which does not mention these
    kept = await acme.cli("org", "show", "acme")
    assert (kept["get_more_seats_url"], kept["seats_on_scim"], kept["display_name"]) == (
        shop,
        "reject",
        "Acme",
    )
    exported = tomllib.loads(await acme.said("source", "export", "okta"))
    (organization,) = exported["organization"]
    assert (organization["name"], organization["source"][0]["name"]) == ("acme", "okta")


# ------------------------------------------------------------------------------ X1-X4


async def test_x1_organizations_are_airtight(acme: Installation) -> None:
    await acme.cli("org", "create", "globex")
    await acme.cli("admin", "create", "gil@globex.example", "--org", "globex")
    gil = await acme.api_of("gil@globex.example", org="globex")
    okta = await acme.idp()
    dana = (await okta.post("/scim/v2/Users", user_document("dana")))["id"]
    made = await okta.post(
        "/scim/v2/Groups", {"schemas": [GROUP], "displayName": "Ops", "members": [{"value": dana}]}
    )
    token = await acme.cli("token", "create", "--source", "okta", "--org", "globex")
    await acme.cli("source", "release", "globex/okta", "--yes")
    theirs = acme.client(token["token"])
    project = next(row for row in await acme.api.items("/projects") if row["name"] == "Ops")
    for path in (f"/users/{dana}", f"/users/{dana}/explain", f"/projects/{project['id']}",
                 f"/groups/{made['id']}", f"/users/{acme.admin_id}"):  # fmt: skip
        refused = await gil.refused("GET", path)
        assert (refused["status"], refused["code"]) == (404, "not_found"), path
        assert "Dana" not in str(refused)
    for name in ("dana", "ada", "%"):
        assert await gil.items(f"/users?q={name}") == [] if name != "%" else True
    assert (await gil.items(f"/users?project={project['id']}")) == []
    assert (await gil.refused("GET", "/users?organization=acme"))["status"] == 404
    assert (await gil.refused("POST", f"/users/{dana}/disable"))["status"] == 404
    assert (await theirs.refused("GET", f"/scim/v2/Users/{dana}"))["status"] == "404"
    assert (await theirs.get("/scim/v2/Users"))["totalResults"] == 0
    again = await theirs.post("/scim/v2/Users", user_document("dana"))  # no collision across the wall
    assert again["id"] != dana
    await theirs.post(
        "/scim/v2/Groups", {"schemas": [GROUP], "displayName": "Ops", "members": [{"value": dana}]}
    )
    assert [row["display_name"] for row in await gil.items("/users?kind=person&local=false")] == ["Dana"]
    assert len((await acme.api.get(f"/groups/{made['id']}/members"))["items"]) == 1


def _sample(row: Endpoint) -> Any:
    if row.body is None:
        return None
    schema = row.body.model_json_schema()
    return manual.sample(schema, schema.get("$defs", {}))


async def test_x2_permissions_and_scopes_are_least(acme: Installation) -> None:
    ann = await acme.add("ann")
    bearer = await acme.api_of("ann@acme.example")
    for row in TABLE:
        if not row.needs:
            continue
        path = re.sub(r"{\w+}", "nothing", row.path)
        answer = await bearer.send(
            row.method, path, _sample(row), {"If-Match": "*"} if row.needs_if_match else None
        )
        assert (answer.status, answer.json["code"]) == (403, "forbidden"), row.path
    await acme.cli("user", "role", "ann", "--set", "manager")
    assert len(await bearer.items("/users")) == 2
    beyond = await bearer.refused("PUT", f"/users/{ann['id']}/role", {"role": "account-admin"})
    assert beyond["status"] == 403
    assert "users.manage" in beyond["detail"]
    okta = await acme.idp()
    dana = (await okta.post("/scim/v2/Users", user_document("dana")))["id"]
    reader = acme.client(
        (await acme.cli("token", "create", "--source", "okta", "--org", "acme", "--scope", "users:read"))[
            "token"
        ]
    )
    assert (await reader.get(f"/scim/v2/Users/{dana}"))["id"] == dana
    refused = await reader.refused("DELETE", f"/scim/v2/Users/{dana}")
    assert (refused["status"], "users:write" in refused["detail"]) == ("403", True)
    assert (await reader.refused("GET", "/scim/v2/Groups"))["status"] == "403"
    entra = await acme.idp("entra")
    assert (await entra.refused("GET", f"/scim/v2/Users/{dana}"))["status"] == "404"  # not its own
    assert (await entra.refused("GET", f"/scim/v2/Users/{ann['id']}"))["status"] == "404"


async def test_x3_domains_are_proven_and_gate_linking(acme: Installation) -> None:
    okta = await acme.idp()
    ann = await acme.api.post("/users", {"email": "ann@acme.example"})
    refused = await okta.refused("POST", "/scim/v2/Users", user_document("ann"))
    assert (refused["status"], refused["scimType"]) == ("409", "uniqueness")
    (item,) = await acme.api.items("/decisions")
    assert item["kind"] == "collision"
    claimed = await acme.api.post("/domains", {"domain": "acme.example"})
    records: dict[str, list[str]] = {}
    async with name_server(records) as server:
        acme.file.write_text(f'[dns]\nnameservers = ["{server}"]\n' + acme.file.read_text("utf-8"), "utf-8")
        assert "there is none yet" in await acme.cli_refused("domain", "verify", "acme.example")
        records[claimed["record"]] = [claimed["value"]]
        await acme.cli("domain", "verify", "acme.example")
    (domain,) = await acme.api.items("/domains")
    assert (domain["domain"], domain["verified_by"]) == ("acme.example", "dns")
    linked = await okta.post("/scim/v2/Users", user_document("ann"))
    assert linked["id"] == ann["id"]
    assert (await acme.user("ann"))["source"]["name"] == "okta"
    await acme.cli("org", "create", "globex")
    assert "another organization" in await acme.cli_refused(
        "domain", "add", "acme.example", "--declare", "--org", "globex"
    )
    foreign = await acme.cli_refused("user", "add", "eve@acme.example", "--org", "globex")
    assert "belongs to another organization" in foreign


async def test_x4_secrets_are_hashed_shown_once_and_rotated(acme: Installation) -> None:
    first = await acme.cli("token", "create", "--source", "okta", "--org", "acme")
    await acme.cli("source", "release", "acme/okta", "--yes")
    successor = await acme.cli("token", "rotate", first["id"], "--overlap", "1h")
    old, new = acme.client(first["token"]), acme.client(successor["token"])
    for each in (old, new):
        assert (await each.get("/scim/v2/Users"))["totalResults"] == 0
    acme.clock.pass_by(hours=2)
    assert (await old.refused("GET", "/scim/v2/Users"))["status"] == "401"
    assert (await new.get("/scim/v2/Users"))["totalResults"] == 0
    await acme.api.delete(f"/source-tokens/{successor['id']}")
    assert (await new.refused("GET", "/scim/v2/Users"))["status"] == "401"
    listed = str(await acme.api.items("/source-tokens?live=false"))
    listed += str(await acme.cli("token", "list")) + (await acme.api.send("GET", "/audit?format=json")).text
    assert first["token"] not in listed
    assert successor["token"] not in listed
    ann = await acme.api.post("/users", {"email": "ann@acme.example"})
    link = await acme.link("set-password", to="ann@acme.example")
    text = acme.file.read_text("utf-8")
    assert KEY not in text  # by reference
    acme.file.write_text(
        text.replace('key = ["env:SCIMD_TEST_KEY"]', 'key = ["env:SCIMD_NEW", "env:SCIMD_TEST_KEY"]')
    )
    async with acme.browser() as browser:
        await browser.post(link, password=PASSWORD)
        assert browser.status == 200
    assert (await acme.api.get(f"/users/{ann['id']}"))["status"] == "active"
