"""What an organization decides about itself, by hand: name, default project, approval, seats by SCIM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update

from scimd.config.addresses import web_address
from scimd.core.errors import InvalidValue, NotFound
from scimd.core.events import Event, EventKind
from scimd.core.languages import Language, language_of
from scimd.core.people import UNSET, OrgId, ProjectId, Unset
from scimd.core.seats import Policy
from scimd.core.words import must_be_line, proper_name
from scimd.db.locks import lock_row
from scimd.db.tables import organizations, partner_queues, projects, seat_pools
from scimd.org import permissions
from scimd.org.declared import declared_keys
from scimd.org.generation import bump
from scimd.org.organizations.organizations import OrganizationRecord, current
from scimd.org.sources.sources import mark_everyone
from scimd.org.tx import Context, Door, Tx

LABEL_AT_MOST = 40
_IN_THE_FILE = {"name": "display_name", "default_project_id": "default_project"}


@dataclass(frozen=True, slots=True)
class Change:
    """What to change; UNSET stays. ``default_project`` None: people without a project wait."""

    display_name: str | Unset = UNSET
    default_project: ProjectId | Unset | None = UNSET
    seats_on_scim: Policy | Unset = UNSET
    get_more_seats_url: str | Unset | None = UNSET
    approval_required: bool | Unset = UNSET
    language: Language | Unset = UNSET
    #: What people read in place of "Active"; None: "Active".
    active_label: str | Unset | None = UNSET

    def given(self) -> dict[str, Any]:
        pairs = {
            "name": self.display_name,
            "default_project_id": self.default_project,
            "seats_on_scim": self.seats_on_scim,
            "get_more_seats_url": self.get_more_seats_url,
            "approval_required": self.approval_required,
        }
        return {name: value for name, value in pairs.items() if not isinstance(value, Unset)}

    def settings(self, was: Mapping[str, Any]) -> dict[str, Any]:
        """Those that differ among the settings that are kept together. Raises InvalidValue."""
        found: dict[str, Any] = {}
        if not isinstance(self.language, Unset) and self.language != language_of(was.get("language")):
            found["language"] = self.language
        if not isinstance(self.active_label, Unset):
            label = _label(self.active_label)
            if label != was.get("active_label"):
                found["active_label"] = label
        return found


async def active_label(door: Door, org_id: OrgId) -> str | None:
    """What people read in place of "Active"; None: that."""
    query = select(organizations.c.settings).where(organizations.c.id == org_id)
    found = await door.read(lambda conn: conn.execute(query).scalar_one())
    label: str | None = found.get("active_label")
    return label


async def change(
    door: Door,
    ctx: Context,
    wanted: Change,
    check: Callable[[OrganizationRecord], None] | None = None,
    *,
    file: str = declared_keys.THE_FILE,
) -> None:
    """Change settings. A new default project, or approval, settles everybody anew.

    Where approval begins to be required, those who are here already count as approved: so while a partner
    sees the queue, only an operator ends it. Raises Forbidden, InvalidValue, NotFound for a project,
    NotAllowedNow for what ``file`` declares, and what ``check`` raises of the organization.
    """
    permissions.require(ctx, "organization.manage")
    given = wanted.given()
    if "name" in given:
        given["name"] = proper_name(given["name"], "display_name")
    if "get_more_seats_url" in given:
        try:
            web_address(given["get_more_seats_url"])
        except ValueError as exc:
            raise InvalidValue("get_more_seats_url", str(exc)) from exc

    def body(tx: Tx) -> None:
        lock_row(tx.conn, organizations, id=tx.org_id)
        if check is not None:
            check(current(tx))
        was = tx.conn.execute(select(organizations).where(organizations.c.id == tx.org_id)).one()
        new = {name: value for name, value in given.items() if getattr(was, name) != value}
        before = {name: getattr(was, name) for name in new}
        after = dict(new)
        if settings := wanted.settings(was.settings):
            new["settings"] = {**was.settings, **settings}
            before |= {name: was.settings.get(name) for name in settings}
            after |= settings
        if not new:
            return
        declared_keys.must_not_hold(tx, [_IN_THE_FILE.get(name, name) for name in after], file)
        if new.get("default_project_id"):
            _must_be_there(tx, new["default_project_id"])
        if new.get("approval_required") is False:
            _no_partner_is_passed(tx)
        tx.conn.execute(update(organizations).where(organizations.c.id == tx.org_id).values(**new))
        if "seats_on_scim" in new:
            tx.conn.execute(
                update(seat_pools)
                .where(seat_pools.c.org_id == tx.org_id)
                .values(allow_overage=new["seats_on_scim"] == "allow")
            )
        bump(tx)
        if {"default_project_id", "approval_required"} & new.keys():
            mark_everyone(tx)
        tx.record(Event(EventKind.ORGANIZATION_CHANGED, "organization", tx.org_id, before, after))

    await door.run(ctx, body)


def _no_partner_is_passed(tx: Tx) -> None:
    """Raise Forbidden where a partner decides who comes in, for whoever is no operator."""
    queue = select(partner_queues.c.since).where(partner_queues.c.customer_id == tx.org_id).limit(1)
    if tx.conn.execute(queue).first() is not None:
        permissions.require_operator(tx.ctx, "organization.manage")


def _label(text: str | None) -> str | None:
    text = (text or "").strip()
    must_be_line(text, LABEL_AT_MOST, "active_label")
    return text or None


def _must_be_there(tx: Tx, project_id: str) -> None:
    query = select(projects.c.id).where(
        projects.c.org_id == tx.org_id, projects.c.id == project_id, projects.c.archived_at.is_(None)
    )
    if tx.conn.execute(query).first() is None:
        raise NotFound("project", project_id)
