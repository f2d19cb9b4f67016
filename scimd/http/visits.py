"""Who looks at which organization, for the page and the REST API alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlencode

from aiohttp import web

from scimd.core.errors import NotAuthenticated, NotFound
from scimd.core.people import OrgId
from scimd.http import guard, request_id
from scimd.http.keys import DOOR
from scimd.org.authentication.sessions import Holder
from scimd.org.organizations import organizations
from scimd.org.organizations.organizations import OrganizationRecord
from scimd.org.tx import Actor, Context, Door, DoorName

#: Whoever may see sources, audit or people may see what the runs did.
SEE_RUNS = ("sources.manage", "audit.read", "users.read")


@dataclass(frozen=True, slots=True)
class Visit:
    """Who calls, by session or API token, and the organization that they look at.

    People see their own. An operator sees the one that ``?org=`` names; every link of the page keeps
    it, so two tabs can look at two organizations.
    """

    holder: Holder
    organization: OrganizationRecord
    form_token: str
    correlation_id: str

    @property
    def org_id(self) -> OrgId:
        return self.organization.id

    @property
    def is_elsewhere(self) -> bool:
        """An operator in an organization that is not the operators' own."""
        return self.holder.org_id != self.organization.id

    def may(self, *any_of: str) -> bool:
        return not self.holder.permissions.isdisjoint(any_of)

    def context(self, door: Door, via: DoorName = "web") -> Context:
        """On whose behalf the door acts; an operator elsewhere is audited as one."""
        ctx = replace(self.holder.context(door, via), correlation_id=self.correlation_id)
        if not self.is_elsewhere:
            return ctx
        return replace(ctx, org_id=self.org_id, actor=Actor("operator", ctx.actor.id, ctx.actor.name))

    def url(self, path: str, **query: object) -> str:
        """The path with its query, and with the organization where it is not the visitor's own."""
        found = {name: value for name, value in query.items() if value not in (None, "")}
        if self.is_elsewhere and path.startswith("/"):
            found["organization" if path.startswith("/api/") else "org"] = self.organization.slug
        return f"{path}?{urlencode(found)}" if found else path


async def visit_of(request: web.Request, parameter: str = "org") -> Visit:
    """Who looks at what. NotFound for another organization than one's own, which need not be told apart.

    ``parameter`` of the query names the organization: ``org`` on pages, ``organization`` in the API.
    """
    holder, session = request[guard.CALLER], request[guard.SESSION]
    if holder is None:
        raise NotAuthenticated
    door = request.app[DOOR]
    slug = request.query.get(parameter, holder.org_slug)
    if slug != holder.org_slug and not holder.is_operator:
        raise NotFound("organization", slug)
    organization = await organizations.by_slug(door, slug)
    form_token = guard.form_token(door, session) if session is not None else ""
    return Visit(holder, organization, form_token, request_id.of(request))
