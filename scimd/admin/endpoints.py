"""The table of the REST API: one row per endpoint, from which everything else is made.

A row is written as a decorator above its handler. Method, path, permissions and refusals stand in the
decorator; parameters, body and answer in the handler's annotations; summary and description in its
docstring. The router (``serving``), the permission guard, the validation, the OpenAPI document
(``openapi``) and the readable page come from the row, so that none of them can say something else.

    @endpoint("PATCH", "/teams/{id}", needs=("projects.manage",), refuses=(NotFound, NotUnique), etag=True)
    async def change(call: Call, body: TeamChange) -> Team:
        \"\"\"Rename a team.\"\"\"
        record = await teams.rename(call.door, call.ctx, TeamId(call.id), body.name, call.unchanged(Team.of))
        return Team.of(record)

The modules of the nouns are listed in ``table``; a row in another place is not served.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from inspect import getdoc
from typing import Any, Literal, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

from scimd.admin.models import Download, Input, Listed, ListQuery, NoQuery, Output, Query, Results, Rows
from scimd.config import Config
from scimd.core.errors import Refusal, VersionMismatch
from scimd.core.people import OrgId, PersonId
from scimd.http.visits import Visit
from scimd.org.authentication import sessions
from scimd.org.authentication.sessions import Holder, SessionHolder
from scimd.org.identities import merged
from scimd.org.tx import Context, Door
from scimd.org.windows import Window

#: All paths of the table lie under this.
BASE = "/api/v1"
R = TypeVar("R")
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
_RESULTS: Any = Results
Handler: TypeAlias = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler knows of its request, beside ``query`` and ``body``.

    ``ctx`` acts in the organization that the call is about, for whoever is behind the credential.
    """

    door: Door
    config: Config
    visit: Visit
    ctx: Context
    path: Mapping[str, str]
    window: Window = field(default_factory=Window)
    #: The tags of If-Match; None where the header was not sent.
    if_match: frozenset[str] | None = None

    @property
    def org_id(self) -> OrgId:
        return self.ctx.org_id

    @property
    def id(self) -> str:
        """The ``{id}`` of the path."""
        return self.path["id"]

    @property
    def caller(self) -> Holder:
        """Whoever calls, in their own organization, wherever an operator looks."""
        return replace(
            self.visit.holder, via="api", correlation_id=self.ctx.correlation_id, once=self.ctx.once
        )

    def require_proof(self) -> None:
        """Raise ProofNeeded in a session whose holder has not proved lately who they are.

        A program cannot; what it may make is bounded by its token.
        """
        if isinstance(self.visit.holder, SessionHolder):
            sessions.require_proof(self.door, self.visit.holder)

    def may(self, *any_of: str) -> bool:
        return self.visit.may(*any_of)

    def unchanged(self, render: Callable[[R], Output]) -> Callable[[R], None]:
        """What an edit of the door calls with the record that it has locked and is about to change.

        It raises VersionMismatch where the record's ETag is none that If-Match names.
        """

        def check(record: R) -> None:
            if self.if_match is None or "*" in self.if_match:
                return
            now = etag_of(body_of(render(record)))
            if now not in self.if_match:
                raise VersionMismatch(self.path.get("id", ""), now)

        return check


def body_of(answer: Output) -> bytes:
    return answer.model_dump_json().encode()


def etag_of(body: bytes) -> str:
    """A strong validator: of the very bytes."""
    return f'"{sha256(body).hexdigest()[:32]}"'


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the table."""

    method: Method
    path: str
    handler: Handler
    tag: str
    #: Alternatives; empty: being signed in is enough.
    needs: tuple[str, ...]
    refuses: tuple[type[Refusal], ...]
    summary: str
    description: str
    query: type[Query]
    takes_query: bool
    body: type[Input] | None
    #: None: no content. Of a list, its row.
    answer: type[Output] | None
    is_list: bool
    status: int
    #: The media type of an answer that is a file.
    file: str | None
    #: Answers carry an ETag, reads take If-None-Match, writes take If-Match.
    etag: bool
    #: A write without If-Match is refused.
    needs_if_match: bool
    #: For operators only, and about no single organization.
    of_installation: bool
    #: For operators only, in whichever organization they act.
    operators_only: bool

    @property
    def is_write(self) -> bool:
        return self.method != "GET"

    @property
    def name(self) -> str:
        """The operationId."""
        return f"{self.tag}_{self.handler.__name__}"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in the path."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))

    async def __call__(self, call: Call, **given: Any) -> Any:
        """Handle the call; the id of a user who was merged into another one is that other's."""
        if not self.path.startswith("/users/{id}"):
            return await self.handler(call, **given)

        async def of(person_id: PersonId) -> Any:
            return await self.handler(replace(call, path={**call.path, "id": person_id}), **given)

        return await merged.follow(call.door, call.org_id, PersonId(call.id), of)


def endpoint(
    method: Method,
    path: str,
    *,
    needs: tuple[str, ...] = (),
    refuses: tuple[type[Refusal], ...] = (),
    status: int | None = None,
    file: str | None = None,
    etag: bool = False,
    needs_if_match: bool = False,
    of_installation: bool = False,
    operators_only: bool = False,
) -> Callable[[Handler], Endpoint]:
    """Make a row of the handler below.

    Its parameters: ``call: Call``, and where it has them ``query: SomeQuery`` and ``body: SomeInput``.
    What it gives: an Output, ``Listed[Row]`` for a list, ``Rows[Output]`` where it does many at once, a
    Download with ``file``, or None (204).
    ``refuses``: what it raises beyond what every endpoint may (NotAuthenticated, Forbidden, …).
    """

    def made(handler: Handler) -> Endpoint:
        hints = get_type_hints(handler)
        given = hints.get("return")
        is_list = get_origin(given) is Listed
        answer = get_args(given)[0] if get_origin(given) in (Listed, Rows) else given
        if get_origin(given) is Rows:
            answer = _RESULTS[answer]
        return Endpoint(
            method=method,
            path=path,
            handler=handler,
            tag=handler.__module__.rpartition(".")[2],
            needs=needs,
            refuses=refuses,
            summary=_told(handler)[0],
            description=_told(handler)[1],
            query=hints.get("query", ListQuery if is_list else NoQuery),
            takes_query="query" in hints,
            body=hints.get("body"),
            answer=None if answer in (type(None), Download) else answer,
            is_list=is_list,
            status=status or (204 if answer is type(None) else 200),
            file=file,
            etag=etag,
            needs_if_match=needs_if_match,
            of_installation=of_installation,
            operators_only=operators_only or of_installation,
        )

    return made


def _told(handler: Handler) -> tuple[str, str]:
    first, _, rest = (getdoc(handler) or "").partition("\n")
    return first.rstrip("."), " ".join(rest.split())
