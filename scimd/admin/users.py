"""Users: the list, one of them with every fact, and why their access is what it is."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from scimd.admin.audit import AuditEntry
from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Flag, Id, Input, Listed, ListQuery, Moment, Name, Output, Search, Text
from scimd.core.errors import (
    InvalidValue,
    NotAllowedNow,
    NotFound,
    NotUnique,
    OwnedBySource,
    PoolLimitReached,
    SeatLimitReached,
)
from scimd.core.people import UNSET, PersonId, ProjectId, RoleName, TeamId
from scimd.core.roles import MEMBER, USER
from scimd.org import labels
from scimd.org.audit import audit_reads
from scimd.org.audit.audit_reads import EntryFilter
from scimd.org.users import admin_reads, local_people, my_profile, user_page, user_reads
from scimd.org.users.admin_reads import PersonPage
from scimd.org.users.local_people import Edit, NewPerson, NewServiceAccount
from scimd.org.users.user_reads import UserFilter

Status = Literal["active", "pending", "inactive"]


class Named(Output):
    id: str
    name: str


class UserProject(Output):
    id: str
    name: str
    role: str = Field(description="The strongest role that they have there.")


class User(Output):
    """One line of the list, and what stands first of one user."""

    id: str
    kind: str = Field(description="`person` or `service`.")
    display_name: str
    user_name: str = Field(description="Local and unique; SCIM's may differ.")
    email: str | None = Field(description="The sign-in address.")
    email_verified: bool
    status: Status
    causes: list[str] = Field(description="Why they are not simply active, the strongest first.")
    primary_role: str
    roles: list[str] = Field(description="The whole set, the primary one first.")
    has_seat: bool
    approved: bool
    partners: list[str] = Field(description="Who may approve people of this organization.")
    accepted: bool = Field(description="They have accepted an invitation.")
    team: Named | None
    projects: list[UserProject]
    licences: list[Named]
    source: Named | None = Field(description="The source that owns profile and status; null: local.")
    created_at: datetime
    created_by: str
    changed_at: datetime
    owner: str | None = Field(description="Who answers for a service account; of a person null.")
    expires_at: datetime | None = Field(description="Of a service account; null: it does not end.")
    deleted_at: datetime | None = Field(description="Deleted, and restorable for 30 days.")


class UserRow(User):
    last_login_at: datetime | None


class Profile(Output):
    """What the owner's document says beside access; of whom no source owns, their own."""

    given_name: str | None
    family_name: str | None
    title: str | None
    department: str | None
    employee_number: str | None
    employment_start: str | None = Field(description="As the source gives it.")
    emails: list[str]
    phones: list[str]
    addresses: list[str] = Field(description="On one line each.")
    picture_url: str | None = Field(description="Where the source has one.")


class UserPage(UserRow):
    """One user with all that is known of them."""

    profile: Profile
    has_picture: bool = Field(description="They uploaded one; see `/users/{id}/picture`.")

    @classmethod
    def of_page(cls, page: user_page.UserPage) -> Self:
        row = UserRow.of(page.user)
        return cls.model_validate(
            {**dict(row), "profile": Profile.of(page.profile), "has_picture": page.has_picture}
        )


class Picture(Output):
    kind: str = Field(description="A media type.", examples=["image/png"])
    image: str = Field(description="In base64.")


class Grant(Output):
    """One reason for one thing."""

    kind: Literal["role", "project", "team", "licence"]
    target: str
    name: str
    project_role: str | None
    origin: Literal["manual", "group", "default"]
    by: str
    source_id: str | None
    group_id: str | None
    rule: int | None
    dormant: bool = Field(description="Kept, and without effect for now.")


class Assertion(Output):
    """What one source says of the user."""

    source_id: str
    source_name: str
    external_id: str | None
    user_name: str
    active: bool
    state: str
    document: dict[str, Any]
    changed_at: datetime


class Reason(Output):
    """One line of the explanation: about what, which fact or rule, what became of it, why."""

    about: str
    fact: str
    verdict: str
    why: str


class Explanation(Output):
    id: str
    status: Status
    causes: list[str]
    owner: str | None = Field(description="The id of the source whose word is the status.")
    service_owner: str | None = Field(description="Who answers for a service account; of a person null.")
    roles: list[str]
    projects: dict[str, str] = Field(description="The role in each project, by the project's id.")
    team: str | None
    licences: list[str]
    wants_seat: bool
    has_seat: bool
    unsettled: bool = Field(description="Something changed that is not carried out yet.")
    reasons: list[Reason]
    grants: list[Grant]
    assertions: list[Assertion]
    names: dict[str, str] = Field(description="What the ids above are called.")

    @classmethod
    def from_page(cls, page: PersonPage, names: dict[str, str]) -> Self:
        standing = page.standing
        return cls(
            id=page.person.id,
            status=standing.status.value,
            causes=[str(cause) for cause in standing.causes],
            owner=standing.owner,
            service_owner=page.person.owner,
            roles=list(standing.roles),
            projects=dict(standing.projects),
            team=standing.team,
            licences=sorted(standing.licences),
            wants_seat=standing.wants_seat,
            has_seat=page.person.has_seat,
            unsettled=page.unsettled,
            reasons=[Reason.of(reason) for reason in standing.reasons],
            grants=_grants(page, names),
            assertions=[Assertion.of(each) for each in page.assertions],
            names=names,
        )


def _grants(page: PersonPage, names: dict[str, str]) -> list[Grant]:
    found = [
        Grant(
            kind=grant.kind,
            target=grant.target,
            name=names.get(grant.target, grant.target),
            project_role=grant.project_role,
            origin=grant.origin.kind,
            by=grant.origin.by,
            source_id=grant.origin.source_id,
            group_id=grant.origin.group_id,
            rule=grant.origin.rule,
            dormant=grant.dormant,
        )
        for grant in page.standing.grants
    ]
    return sorted(found, key=lambda grant: (grant.kind, grant.name, grant.origin, grant.rule or 0, grant.by))


class InProject(Input):
    id: Id
    role: Name = Field(MEMBER, description="`owner`, `member` or `viewer`, or one of your own.")


#: What somebody new takes part in.
Projects = Annotated[list[InProject], Field(max_length=100)]


def projects_of(given: list[InProject] | None) -> dict[ProjectId, RoleName] | None:
    """None, and none at all: the organization's default project. Raises InvalidValue for one named twice."""
    found = {ProjectId(each.id): RoleName(each.role) for each in given or ()}
    if len(found) != len(given or ()):
        raise InvalidValue("projects", "name a project twice")
    return found or None


class NewUser(Input):
    email: Text = Field(description="The address to sign in with; the mail goes there.")
    user_name: Text | None = Field(None, description="Null: made of the address.")
    display_name: Text | None = None
    role: Name = USER
    projects: Projects | None = Field(None, description="Null: the organization's default project.")
    team: Id | None = Field(None, description="A team's id.")


class NewService(Input):
    user_name: Name = Field(description="Small letters, digits, dashes.")
    display_name: Name
    owner: Name = Field(description="Who answers for it.")
    role: Name = USER
    expires_at: Moment | None = Field(None, description="Null: never.")


class UserChange(Input):
    user_name: Text | None = Field(None, description="Small letters, digits, dashes.")
    display_name: Text | None = Field(None, description="Null: the address stands in its place.")
    email: Text | None = Field(None, description="The person confirms it; until then it is unproved.")
    owner: Name | None = Field(None, description="Of a service account: who answers for it.")
    expires_at: Moment | None = Field(None, description="Of a service account; null: it does not end.")


class UserQuery(ListQuery):
    q: Search | None = Field(None, description="A part of a name or an address.")
    status: Status | None = None
    role: Text | None = Field(None, description="Primary or among the role set.")
    team: Text | None = Field(None, description="A team's id.")
    project: Text | None = Field(None, description="A project's id.")
    licence: Text | None = Field(None, description="A licence's id.")
    waiting_for: Text | None = Field(
        None, description="The id of a limited project or licence for which they wait."
    )
    source: Text | None = Field(None, description="The id of the source that owns them.")
    local: Flag | None = Field(None, description="Whether no source owns them.")
    kind: Literal["person", "service"] | None = None
    has_seat: Flag | None = None
    approved: Flag | None = None
    deleted: Flag = Field(False, description="Those that are deleted and can be restored, instead.")
    lapsed: Flag = Field(False, description="Those who are here only by an invitation that is over, instead.")
    sort: Literal[
        "created", "-created", "user_name", "-user_name", "display_name", "-display_name", "email", "-email",
        "status", "-status", "role", "-role", "team", "-team", "source", "-source", "changed", "-changed",
        "last_login", "-last_login",
    ] = "created"  # fmt: skip


@endpoint("GET", "/users", needs=("users.read",))
async def index(call: Call, query: UserQuery) -> Listed[UserRow]:
    """List users.

    With `deleted=true` those that can be restored. Whoever is here only by an invitation that was declined,
    withdrawn or has expired is listed with `lapsed=true` alone.
    """
    only = UserFilter(**query.model_dump(include=set(UserFilter.__dataclass_fields__)))
    found = await user_reads.list_users(call.door, call.org_id, only, call.window)
    return Listed.of(found, UserRow.of)


@endpoint("GET", "/users/{id}", needs=("users.read",), etag=True)
async def show(call: Call) -> UserPage:
    """Show a user."""
    return await _page(call)


async def _page(call: Call) -> UserPage:
    return UserPage.of_page(await user_page.get(call.door, call.org_id, call.id))


@endpoint("GET", "/users/{id}/picture", needs=("users.read",))
async def picture(call: Call) -> Picture:
    """Show the picture that a user uploaded."""
    user = await user_reads.get_user(call.door, call.org_id, call.id)
    found = await my_profile.picture_of(call.door, call.org_id, user.id)
    return Picture(kind=found.kind, image=base64.b64encode(found.image).decode())


@endpoint(
    "POST",
    "/users",
    needs=("users.manage",),
    refuses=(InvalidValue, NotUnique, NotFound, PoolLimitReached, SeatLimitReached, NotAllowedNow),
    status=201,
)
async def add(call: Call, body: NewUser) -> User:
    """Add a user directly.

    A link to set a password goes by mail, and works for three hours by default. To let them accept
    first, invite them instead.
    """
    new = NewPerson(
        body.email,
        body.user_name,
        body.display_name,
        RoleName(body.role),
        projects_of(body.projects),
        TeamId(body.team) if body.team else None,
    )
    return await _shown(call, await local_people.add(call.door, call.ctx, new))


@endpoint(
    "POST",
    "/service-accounts",
    needs=("users.manage",),
    refuses=(InvalidValue, NotUnique),
)
async def add_service(call: Call, body: NewService) -> User:
    """Add a service account.

    It has no mail, no password and no seat, and no source ever matches it. It is listed among the
    users, as `kind=service`.
    """
    new = NewServiceAccount(
        body.user_name, body.display_name, body.owner, RoleName(body.role), body.expires_at
    )
    return await _shown(call, await local_people.add_service_account(call.door, call.ctx, new))


@endpoint(
    "PATCH",
    "/users/{id}",
    needs=("users.manage",),
    refuses=(NotFound, InvalidValue, NotUnique, OwnedBySource, NotAllowedNow),
    etag=True,
)
async def change(call: Call, body: UserChange) -> UserPage:
    """Change user name, display name or address; owner or end of a service account.

    What a source owns is refused with its name. A new address is unproved until the person confirms
    it, and ends their sessions. One's own is changed by `POST /me/address`.
    """
    given = body.given()
    for name in ("user_name", "email", "owner"):
        if name in given and given[name] is None:
            raise InvalidValue(name, "cannot be emptied")
    wanted = Edit(**{name: given.get(name, UNSET) for name in UserChange.model_fields})
    await local_people.edit(call.door, call.ctx, PersonId(call.id), wanted, call.unchanged(UserPage.of_page))
    return await _page(call)


async def _shown(call: Call, person_id: str) -> User:
    return User.of(await user_reads.get_user(call.door, call.org_id, person_id))


@endpoint("GET", "/users/{id}/explain", needs=("users.read",))
async def explain(call: Call) -> Explanation:
    """Explain a user's access.

    For each role, project, team, licence, seat and the status: which fact and which rule gave it, which
    lost, which gate blocks; and what each source says of the user.
    """
    # By an id, also one that was merged into another; show_person takes names, too.
    known = await user_reads.get_user(call.door, call.org_id, call.id)
    page = await admin_reads.show_person(call.door, call.org_id, known.id)
    return Explanation.from_page(page, await labels.names_of(call.door, call.org_id, _mentioned(page)))


def _mentioned(page: PersonPage) -> set[str]:
    """The ids that the explanation holds."""
    grants = page.standing.grants
    origins = {part for grant in grants for part in (grant.origin.source_id, grant.origin.group_id) if part}
    owner = {page.standing.owner} if page.standing.owner else set()
    return {grant.target for grant in grants} | set(page.standing.projects) | origins | owner


class HistoryQuery(ListQuery):
    sort: Literal["at", "-at"] = "-at"


@endpoint("GET", "/users/{id}/history", needs=("audit.read",))
async def history(call: Call, query: HistoryQuery) -> Listed[AuditEntry]:
    """List what happened to a user."""
    known = await user_reads.get_user(call.door, call.org_id, call.id)
    only = EntryFilter(target=known.id)
    found = await audit_reads.list_entries(call.door, call.org_id, only, call.window)
    return Listed.of(found, AuditEntry.of)
