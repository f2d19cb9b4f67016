"""A little SCIM server in memory, right by the RFCs until a fault is switched on.

For the doctor's tests: no fault, and every sequence passes; each fault, and the doctor says which.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from tests.cli.scim_values import Refused, matches, patched

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
CORE = "urn:ietf:params:scim:schemas:core:2.0:"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
MESSAGES = "urn:ietf:params:scim:api:messages:2.0:"
TOKEN = "a-token-for-the-doctor"
SLOW_S = 2.0

FAULTS = frozenset(
    """
    unknown_is_404 no_location capitals_refused pathless_refused string_boolean_refused boolean_kept_as_string
    remove_list_wipes rename_refused totals_as_strings html_errors work_address_500 active_ignored
    inactive_vanishes inactive_unlisted put_loses id_changes_on_put re_add_409 re_add_doubles excluded_ignored
    ids_recycled slow_patch silent nulls nulls_in_schemas plain_json values_lowered push_now_refused
    replace_is_additive deleted_stays twin_accepted twin_group_accepted dotted_keys_dropped urn_keys_refused
    manager_string_refused roles_refused null_ref_refused extra_schema_refused no_target group_patch_200
    parallel_lost disabled_leaves_groups deleted_stays_member membership_filter_500 typeless_refused
    case_sensitive redirects html_everywhere huge delete_refused password_returned rename_empties
    paging_ignored no_groups put_refused created_without_answer errors_without_body
    filter_operators_case_sensitive disabled_created_active no_id hangs_up token_echoed
    created_200 created_200_lossy deleted_200 deleted_200_stays user_delete_refused
    refused_but_made slow_create slow_delete user_name_lowered stale_answers partial_answers groups_forbidden
    groups_read_only users_forbidden rate_limited creation_limited_at_first creation_limited
    group_filter_empty schemas_as_number members_as_number escape_codes
    """.split()  # noqa: SIM905 - a table of words
)


class FaultyScim:
    def __init__(self, *faults: str, token: str = TOKEN) -> None:
        assert set(faults) <= FAULTS, set(faults) - FAULTS
        self.faults = frozenset(faults)
        self.token = token
        self.limited = 0
        #: A key of every answer, whatever it holds, and what stands there.
        self.mangled: dict[str, Any] = {}
        self.kinds: dict[str, dict[str, dict[str, Any]]] = {"Users": {}, "Groups": {}}
        self.requests: list[tuple[str, str, Any]] = []
        self.agents: set[str] = set()

    def has(self, fault: str) -> bool:
        return fault in self.faults

    @property
    def left(self) -> list[str]:
        return [
            one.get("userName") or one["displayName"] for kind in self.kinds.values() for one in kind.values()
        ]

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._outermost])
        app.router.add_get("/scim/v2/Schemas", self._schemas)
        for kind in ("Users", "Groups"):
            if kind == "Groups" and self.has("no_groups"):
                continue
            app.router.add_get(f"/scim/v2/{kind}", self._list)
            app.router.add_post(f"/scim/v2/{kind}", self._create)
            app.router.add_get(f"/scim/v2/{kind}/{{id}}", self._read)
            app.router.add_put(f"/scim/v2/{kind}/{{id}}", self._put)
            app.router.add_patch(f"/scim/v2/{kind}/{{id}}", self._patch)
            app.router.add_delete(f"/scim/v2/{kind}/{{id}}", self._delete)
        return app

    # Around every request

    @web.middleware
    async def _outermost(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        self.requests.append((request.method, request.path_qs, body))
        self.agents.add(request.headers.get("User-Agent", ""))
        if strange := await self._strange(request):
            return strange
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return self._error(401, "", f"not your token: {request.headers.get('Authorization')}")
        if refused := self._limit(request) or self._forbid(request):
            return refused
        try:
            return await handler(request)
        except Refused as exc:
            echo = f" ({request.headers['Authorization']})" if self.has("token_echoed") else ""
            if echo and isinstance(body, dict) and "password" in body:
                echo += f" {body}"
            return self._error(exc.status, exc.scim_type, exc.detail + echo)
        except web.HTTPNotFound:
            return self._error(404, "", "no such address")

    async def _strange(self, request: web.Request) -> web.StreamResponse | None:
        if self.has("redirects"):
            return web.Response(status=301, headers={"Location": "https://elsewhere.invalid/"})
        if self.has("html_everywhere"):
            return web.Response(text="<!doctype html><title>Sign in</title>", content_type="text/html")
        if self.has("huge"):
            return web.Response(body=b'["' + b"x" * 6_000_000 + b'"]', content_type="application/scim+json")
        slow = {"slow_patch": "PATCH", "slow_create": "POST", "slow_delete": "DELETE"}
        if self.has("silent") or request.method in {slow[fault] for fault in self.faults & slow.keys()}:
            await asyncio.sleep(SLOW_S)
        if self.has("hangs_up") and request.method == "POST" and request.transport:
            request.transport.abort()
        return None

    def _limit(self, request: web.Request) -> web.Response | None:
        if self.has("rate_limited") and len(self.requests) % 5 == 0:
            return self._error(429, "", "slowly", **{"Retry-After": "0"})
        if self.has("creation_limited") and request.method == "POST":
            return self._error(429, "", "slowly", **{"Retry-After": "3600"})
        if self.has("creation_limited_at_first") and request.method == "POST" and self.limited < 3:
            soon = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
            self.limited += 1
            return self._error(
                429, "", "slowly", **[{"Retry-After": "1"}, {"Retry-After": soon}, {}][self.limited - 1]
            )
        return None

    def _forbid(self, request: web.Request) -> web.Response | None:
        groups = "/Groups" in request.path
        if self.has("users_forbidden") and not groups:
            return self._error(403, "", "This token lacks the scope users:read.")
        if self.has("groups_forbidden") and groups:
            return self._error(403, "", "This token lacks the scope groups:read.")
        if self.has("groups_read_only") and groups and request.method != "GET":
            return self._error(403, "", "This token lacks the scope groups:write.")
        return None

    def _answer(self, body: Any, status: int = 200, **headers: str) -> web.Response:
        body = self._mangled(body)
        kind = "application/json" if self.has("plain_json") else "application/scim+json"
        return web.Response(text=json.dumps(body), status=status, content_type=kind, headers=headers)

    def _mangled(self, body: dict[str, Any]) -> dict[str, Any]:
        body = {key: self.mangled.get(key, value) for key, value in body.items()}
        if self.has("schemas_as_number"):
            body["schemas"] = 5
        if self.has("members_as_number") and "members" in body:
            body["members"] = 5
        rows = body.get("Resources")
        return body | {"Resources": [self._mangled(row) for row in rows]} if isinstance(rows, list) else body

    def _error(self, status: int, scim_type: str, detail: str, **headers: str) -> web.Response:
        if self.has("html_errors"):
            return web.Response(text="<html><h1>Oops</h1></html>", status=status, content_type="text/html")
        if self.has("errors_without_body"):
            return web.Response(status=status)
        body = {"schemas": [MESSAGES + "Error"], "status": str(status), "detail": detail}
        return self._answer(body | ({"scimType": scim_type} if scim_type else {}), status, **headers)

    # Reading

    async def _schemas(self, _: web.Request) -> web.Response:
        rows = [{"id": CORE + "User", "name": "User", "attributes": []}]
        if self.has("nulls_in_schemas"):
            rows[0]["description"] = None  # type: ignore[assignment]
        return self._listing(rows, 1, len(rows))

    def _kind(self, request: web.Request) -> str:
        return request.path.split("/")[3]

    def _rows(self, kind: str, filter_: str | None) -> list[dict[str, Any]]:
        rows = list(self.kinds[kind].values())
        if self.has("inactive_unlisted"):
            rows = [row for row in rows if row.get("active") is not False]
        if not filter_:
            return rows
        if self.has("work_address_500") and "emails[" in filter_:
            raise Refused(500, "", "AttributeError: 'list' object has no attribute 'value'")
        if self.has("membership_filter_500") and "members eq" in filter_:
            raise Refused(500, "", "unsupported")
        if self.has("filter_operators_case_sensitive") and (" Eq " in filter_ or " Co " in filter_):
            raise Refused(400, "invalidFilter", "no such operator")
        if self.has("group_filter_empty") and kind == "Groups":
            return []
        rows = [row for row in rows if matches(filter_, row)]
        if self.has("case_sensitive"):
            rows = [row for row in rows if str(row.get("userName")) in filter_ or kind == "Groups"]
        if self.has("unknown_is_404") and not rows:
            raise Refused(404, "", "nobody found")
        return rows

    async def _list(self, request: web.Request) -> web.Response:
        kind, query = self._kind(request), request.query
        rows = self._rows(kind, query.get("filter"))
        start, count = int(query.get("startIndex", 1)), int(query.get("count", 100))
        if self.has("paging_ignored"):
            start = 1
        page = [self._shown(kind, row, query.get("excludedAttributes")) for row in rows[start - 1 :][:count]]
        return self._listing(page, start, len(rows))

    def _listing(self, page: list[dict[str, Any]], start: int, total: int) -> web.Response:
        body: dict[str, Any] = {"totalResults": total, "startIndex": start, "itemsPerPage": len(page)}
        if self.has("totals_as_strings"):
            body = {key: str(value) for key, value in body.items()}
        return self._answer({"schemas": [MESSAGES + "ListResponse"], **body, "Resources": page})

    def _shown(self, kind: str, row: dict[str, Any], excluded: str | None = None) -> dict[str, Any]:
        shown = {key: value for key, value in row.items() if value not in ([], {})}
        shown["meta"] = {"resourceType": kind[:-1], "location": f"/scim/v2/{kind}/{row['id']}"}
        if not self.has("password_returned"):
            shown.pop("password", None)
        if excluded == "members" and not self.has("excluded_ignored"):
            shown.pop("members", None)
        if self.has("nulls"):
            shown["nickName"] = None
        return shown

    def _one(self, request: web.Request) -> dict[str, Any]:
        row = self.kinds[self._kind(request)].get(request.match_info["id"])
        if row is None or (self.has("inactive_vanishes") and row.get("active") is False):
            raise Refused(404, "", "no such resource")
        return row

    async def _read(self, request: web.Request) -> web.Response:
        row = self._one(request)
        return self._answer(self._shown(self._kind(request), row, request.query.get("excludedAttributes")))

    # Writing

    async def _create(self, request: web.Request) -> web.StreamResponse:
        kind, body = self._kind(request), await request.json()
        self._judge(kind, body)
        row = self._accepted(kind, body) | {"id": self._new_id(kind)}
        if self.has("disabled_created_active") and kind == "Users":
            row["active"] = True
        self._unique(kind, row)
        self.kinds[kind][row["id"]] = row
        if self.has("created_without_answer"):
            raise Refused(500, "", "made, and then fell over")
        if self.has("refused_but_made"):
            raise Refused(400, "invalidValue", "made, and then thought better of")
        shown = self._shown(kind, row)
        if self.has("no_id"):
            del shown["id"]
        if self.has("created_200_lossy"):
            shown = {
                key: value for key, value in shown.items() if key not in ("emails", "externalId", "name")
            }
        if self.has("created_200") or self.has("created_200_lossy"):
            return self._answer(shown, 200)
        where = {} if self.has("no_location") else {"Location": f"{request.url}/{row['id']}"}
        return self._answer(shown, 201, **where)

    def _new_id(self, kind: str) -> str:
        if not self.has("ids_recycled"):
            return uuid.uuid4().hex
        return next(str(n) for n in itertools.count(1) if str(n) not in self.kinds[kind])

    def _judge(self, kind: str, body: dict[str, Any]) -> None:
        if self.has("escape_codes"):
            raise Refused(400, "invalidValue", "\x1b[31mred\x1b]0;title\x07 \ud800\u202e")
        if self.has("roles_refused") and body.get("roles") == []:
            raise Refused(400, "invalidValue", "roles must not be empty")
        if self.has("extra_schema_refused") and len(body["schemas"]) > 1 and kind == "Groups":
            raise Refused(400, "invalidSyntax", f"unknown schema {body['schemas'][1]}")
        if self.has("typeless_refused") and any("type" not in m for m in body.get("members") or []):
            raise Refused(400, "invalidValue", "members.type is required")

    def _accepted(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        row = {key: value for key, value in body.items() if key not in ("id", "meta", "groups")}
        row["schemas"] = [s for s in row["schemas"] if s.startswith("urn:ietf")]
        if self.has("values_lowered"):
            row |= {key: row[key].lower() for key in ("userName", "displayName") if key in row}
        if self.has("user_name_lowered") and kind == "Users":
            row["userName"] = row["userName"].lower()
        if not self.has("password_returned"):
            row.pop("password", None)
        return row

    def _unique(self, kind: str, row: dict[str, Any]) -> None:
        name = "userName" if kind == "Users" else "displayName"
        if self.has("twin_accepted" if kind == "Users" else "twin_group_accepted"):
            return
        for other in self.kinds[kind].values():
            if other["id"] != row["id"] and other[name].lower() == row[name].lower():
                raise Refused(409, "uniqueness", f"{name} is taken")

    async def _put(self, request: web.Request) -> web.Response:
        if self.has("put_refused"):
            raise Refused(501, "", "PUT is not supported")
        kind, old, body = self._kind(request), self._one(request), await request.json()
        row = self._accepted(kind, body) | {"id": old["id"]}
        if self.has("put_loses"):
            row.pop("displayName", None)
            row.pop("name", None)
        if self.has("id_changes_on_put"):
            del self.kinds[kind][old["id"]]
            row["id"] = uuid.uuid4().hex
        return self._stored(kind, old, row)

    async def _patch(self, request: web.Request) -> web.Response:
        kind, old, body = self._kind(request), self._one(request), await request.json()
        for operation in body["Operations"]:
            self._judge_operation(kind, operation)
        before = copy.deepcopy(old)
        if self.has("parallel_lost"):
            await asyncio.sleep(0.02)
        row = patched(before, body["Operations"], self.faults)
        if self.has("rename_empties") and row.get("displayName") != old.get("displayName"):
            row.pop("members", None)
        answer = self._stored(kind, old, row)
        return web.Response(status=204) if kind == "Groups" and not self.has("group_patch_200") else answer

    def _judge_operation(self, kind: str, operation: dict[str, Any]) -> None:
        op, path, value = operation["op"], operation.get("path", ""), operation.get("value")
        if self.has("work_address_500") and "emails[" in path:
            raise Refused(500, "", "AttributeError: 'list' object has no attribute 'value'")
        if self.has("capitals_refused") and op != op.lower():
            raise Refused(400, "invalidSyntax", f"unknown op {op}")
        if self.has("pathless_refused") and not path:
            raise Refused(400, "noTarget", "path is required")
        if self.has("rename_refused") and kind == "Groups" and not path and "id" in value:
            raise Refused(400, "mutability", "id is readOnly")
        if self.has("string_boolean_refused") and path == "active" and isinstance(value, str):
            raise Refused(400, "invalidValue", "active must be a boolean")
        if self.has("push_now_refused") and op == "replace" and value == []:
            raise Refused(400, "invalidValue", "members must not be empty")
        if self.has("urn_keys_refused") and not path and any(key.startswith("urn:") for key in value):
            raise Refused(400, "invalidPath", "unknown attribute")
        if self.has("null_ref_refused") and path == "members" and any("$ref" in row for row in value):
            raise Refused(400, "invalidValue", "$ref must be an address")
        if self.has("typeless_refused") and path == "members" and any("type" not in row for row in value):
            raise Refused(400, "invalidValue", "members.type is required")

    def _stored(self, kind: str, old: dict[str, Any], row: dict[str, Any]) -> web.Response:
        if self.has("active_ignored") and kind == "Users":
            row["active"] = True
        if not self.has("password_returned"):
            row.pop("password", None)
        self._unique(kind, row)
        self.kinds[kind][row["id"]] = row
        if self.has("disabled_leaves_groups") and row.get("active") is False:
            self._leave_groups(row["id"])
        if self.has("stale_answers") and kind == "Users":
            return self._answer(self._shown(kind, old))
        shown = self._shown(kind, row)
        if self.has("partial_answers"):
            shown.pop("emails", None)
        return self._answer(shown)

    def _leave_groups(self, user_id: str) -> None:
        for group in self.kinds["Groups"].values():
            group["members"] = [m for m in group.get("members", []) if m["value"] != user_id]

    async def _delete(self, request: web.Request) -> web.Response:
        kind, row = self._kind(request), self._one(request)
        if self.has("delete_refused") or (self.has("user_delete_refused") and kind == "Users"):
            raise Refused(405, "", "DELETE is not allowed")
        if self.has("deleted_200_stays"):
            return self._answer({})
        if not self.has("deleted_stays"):
            del self.kinds[kind][row["id"]]
        if not self.has("deleted_stays_member"):
            self._leave_groups(row["id"])
        return self._answer({}) if self.has("deleted_200") else web.Response(status=204)
