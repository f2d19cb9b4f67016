"""The organization's own settings; and, for operators, all organizations of the installation."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import WHOLE, Flag, Id, Input, Listed, ListQuery, Name, Output, Text
from scimd.core.errors import InvalidValue, NotAllowedNow, NotFound, NotUnique
from scimd.core.languages import Language
from scimd.core.people import UNSET, ProjectId
from scimd.org.organizations import organizations, settings
from scimd.org.organizations.organizations import NewOrganization
from scimd.org.tx import Actor
from scimd.org.windows import part

Policy = Literal["hold", "reject", "allow"]
#: It becomes a link in answers and mails, so that nothing but a web address will do.
Link = Annotated[str, StringConstraints(max_length=1000, pattern=r"^https?://[^\s\u0000]+$")]


class Organization(Output):
    id: str
    slug: str
    display_name: str
    kind: Literal["customer", "partner", "system"]
    default_project_id: str | None = Field(description="Null: people without a project wait.")
    seats_on_scim: Policy = Field(description="What a push finds where no seat is free.")
    get_more_seats_url: str | None
    approval_required: bool = Field(description="A partner approves newcomers.")
    language: str = Field(description="Of mails, and of the pages of an invitation.")
    active_label: str | None = Field(description="What people read in place of `Active`; null: that.")
    created_at: datetime
    declared: list[str] = Field(description="What the config file says, which is changed there alone.")
    held: dict[str, str] = Field(
        description="What of the config file is held, why, and what to do, by the name of a source, "
        "`default_project` or `its_domains`; until then what was before counts."
    )


class OrganizationLine(Organization):
    seats: int | None = Field(description="Null: no limit.")
    seats_used: int
    seats_waited_for: int


class OrganizationChange(Input):
    display_name: Name | None = None
    default_project_id: Id | None = Field(None, description="Null: people without a project wait.")
    seats_on_scim: Policy | None = None
    get_more_seats_url: Link | None = None
    approval_required: bool | None = Field(
        None, description="Where it begins, those who are here already count as approved."
    )
    language: Language | None = None
    active_label: Text | None = Field(
        None, description="Such as `Participating`, 40 characters at most; null or empty: `Active`."
    )


class NewOrganizationValues(Input):
    slug: Text = Field(description="Small letters, digits and dashes.")
    display_name: Name | None = None
    seats: Annotated[int, Field(ge=0, le=1_000_000_000), WHOLE] | None = Field(
        None, description="Null: no limit."
    )
    seats_on_scim: Policy = "hold"
    default_project: Name | None = Field("General", description="Null: people without a project wait.")
    get_more_seats_url: Link | None = None


class OrganizationQuery(ListQuery):
    partner: Flag | None = Field(None, description="Partners only, or none of them.")
    sort: Literal["slug", "-slug"] = "slug"


async def _shown(call: Call) -> Organization:
    return Organization.of(await organizations.by_slug(call.door, call.visit.organization.slug))


@endpoint("GET", "/organization", needs=("organization.manage", "users.read"), etag=True)
async def show(call: Call) -> Organization:
    """Show the organization's settings."""
    return await _shown(call)


@endpoint(
    "PATCH",
    "/organization",
    needs=("organization.manage",),
    refuses=(InvalidValue, NotFound, NotAllowedNow),
    etag=True,
)
async def change(call: Call, body: OrganizationChange) -> Organization:
    """Change the organization's settings.

    What the config file declares is refused (409). A new default project, or approval, counts for everybody
    at once. While a partner sees who waits,
    an operator alone turns `approval_required` off.
    """
    given = body.given()
    for name in ("display_name", "seats_on_scim", "approval_required", "language"):
        if name in given and given[name] is None:
            raise InvalidValue(name, "cannot be emptied")
    await settings.change(call.door, call.ctx, _change(given), call.unchanged(Organization.of))
    return await _shown(call)


def _change(given: dict[str, Any]) -> settings.Change:
    project = given.get("default_project_id", UNSET)
    return settings.Change(
        given.get("display_name", UNSET),
        ProjectId(project) if isinstance(project, str) else project,
        given.get("seats_on_scim", UNSET),
        given.get("get_more_seats_url", UNSET),
        given.get("approval_required", UNSET),
        given.get("language", UNSET),
        given.get("active_label", UNSET),
    )


# ------------------------------------------------------------------------------ for operators


@endpoint("GET", "/organizations", needs=("organization.manage",), of_installation=True)
async def index(call: Call, query: OrganizationQuery) -> Listed[OrganizationLine]:
    """List the organizations of the installation."""
    found = await organizations.list_organizations(call.door)
    if query.partner is not None:
        found = [row for row in found if (row.kind == "partner") == query.partner]
    return Listed.of(part(found, call.window, lambda row: row.slug), OrganizationLine.of)


@endpoint(
    "POST",
    "/organizations",
    needs=("organization.manage",),
    refuses=(InvalidValue, NotUnique),
    of_installation=True,
)
async def create(call: Call, body: NewOrganizationValues) -> OrganizationLine:
    """Make an organization."""
    made = await organizations.create(
        call.door, NewOrganization(**dict(body)), operator_of(call), "api", call.ctx.once
    )
    return OrganizationLine.of(made)


def operator_of(call: Call) -> Actor:
    """Whoever calls, as the audit of an organization that is not their own names them."""
    return Actor("operator", call.ctx.actor.id, call.ctx.actor.name)
