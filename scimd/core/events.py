"""Events: what happened, as the audit keeps it and as feeds, mails and webhooks read it.

Names are static and dotted, the noun first. The *audit* audience is the organization's admins; the
*feed* goes to whoever subscribes as well (pages, webhooks), so it holds nothing that is secret even
from a product's own integrations: sign-ins, tokens and settings stay in the audit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from scimd.core.people import PersonId
from scimd.core.roles import USER
from scimd.core.standing import Grant, Standing

Audience = Literal["audit", "feed"]


_FED = frozenset({"person", "grant", "seat", "seats", "invitation", "group", "project", "run", "decision"})


class EventKind(StrEnum):
    #: Everything is in the audit; ``feed`` is published besides.
    audience: Audience

    def __init__(self, name: str) -> None:
        self.audience = "feed" if name.partition(".")[0] in _FED else "audit"

    PERSON_CREATED = "person.created"
    PERSON_UPDATED = "person.updated"
    PERSON_STATUS_CHANGED = "person.status_changed"
    PERSON_ROLES_CHANGED = "person.roles_changed"
    PERSON_OWNER_CHANGED = "person.owner_changed"
    PERSON_LINKED = "person.linked"
    PERSON_DETACHED = "person.detached"
    PERSON_RETURNED = "person.returned"
    PERSON_DEACTIVATED = "person.deactivated"
    PERSON_REACTIVATED = "person.reactivated"
    PERSON_DISABLED = "person.disabled"
    PERSON_ENABLED = "person.enabled"
    PERSON_APPROVED = "person.approved"
    PERSON_APPROVAL_LAPSED = "person.approval_lapsed"
    PERSON_DELETED = "person.deleted"
    PERSON_RESTORED = "person.restored"
    PERSON_PURGED = "person.purged"
    PERSON_MOVED = "person.moved"
    PERSON_MERGED = "person.merged"
    PERSON_UNMERGED = "person.unmerged"
    PERSON_UNLINKED = "person.unlinked"
    GRANT_GIVEN = "grant.given"
    GRANT_TAKEN = "grant.taken"
    GRANT_DORMANT = "grant.dormant"
    GRANT_WOKEN = "grant.woken"
    SEAT_TAKEN = "seat.taken"
    SEAT_FREED = "seat.freed"
    SEAT_WAITING = "seat.waiting"
    SEATS_LIMIT_CHANGED = "seats.limit_changed"
    SEATS_OVER_LIMIT = "seats.over_limit"
    INVITATION_CREATED = "invitation.created"
    INVITATION_SENT = "invitation.sent"
    INVITATION_RESENT = "invitation.resent"
    INVITATION_LINK_COPIED = "invitation.link_copied"
    INVITATION_ACCEPTED = "invitation.accepted"
    INVITATION_DECLINED = "invitation.declined"
    INVITATION_EXPIRED = "invitation.expired"
    INVITATION_CANCELLED = "invitation.cancelled"
    INVITATION_DELETED = "invitation.deleted"
    INVITATION_EDITED = "invitation.edited"
    GROUP_CREATED = "group.created"
    GROUP_UPDATED = "group.updated"
    GROUP_RENAMED = "group.renamed"
    GROUP_DELETED = "group.deleted"
    GROUP_MEMBERS_CHANGED = "group.members_changed"
    PROJECT_CREATED = "project.created"
    PROJECT_RENAMED = "project.renamed"
    PROJECT_ORPHANED = "project.orphaned"
    PROJECT_ARCHIVED = "project.archived"
    PROJECT_RESTORED = "project.restored"
    PROJECT_LIMIT_CHANGED = "project.limit_changed"
    TEAM_CREATED = "team.created"
    TEAM_RENAMED = "team.renamed"
    TEAM_DELETED = "team.deleted"
    LICENCE_CREATED = "licence.created"
    LICENCE_RENAMED = "licence.renamed"
    LICENCE_DELETED = "licence.deleted"
    LICENCE_LIMIT_CHANGED = "licence.limit_changed"
    ROLE_CREATED = "role.created"
    ROLE_CHANGED = "role.changed"
    ROLE_DELETED = "role.deleted"
    RUN_ASKED = "run.asked"
    RUN_FINISHED = "run.finished"
    RUN_HELD = "run.held"
    RUN_FAILED = "run.failed"
    PLAN_APPROVED = "plan.approved"
    PLAN_REJECTED = "plan.rejected"
    DECISION_OPENED = "decision.opened"
    DECISION_ANSWERED = "decision.answered"
    DECISION_CLOSED = "decision.closed"
    SOURCE_CREATED = "source.created"
    SOURCE_CHANGED = "source.changed"
    SOURCE_RELEASED = "source.released"
    SOURCE_PAUSED = "source.paused"
    SOURCE_ALARM = "source.alarm"
    SOURCE_QUARANTINED = "source.quarantined"
    SOURCE_QUARANTINE_CAUSE = "source.quarantine_cause"
    SOURCE_RECOVERED = "source.recovered"
    SOURCE_ENDED = "source.ended"
    RULES_CHANGED = "rules.changed"
    TOKEN_CREATED = "token.created"  # noqa: S105 - a name of an event
    TOKEN_ROTATED = "token.rotated"  # noqa: S105
    TOKEN_REVOKED = "token.revoked"  # noqa: S105
    OAUTH_CLIENT_CREATED = "oauth_client.created"
    OAUTH_CLIENT_ROTATED = "oauth_client.rotated"
    OAUTH_CLIENT_REVOKED = "oauth_client.revoked"
    ACCESS_TOKEN_ISSUED = "access_token.issued"  # noqa: S105
    API_TOKEN_CREATED = "api_token.created"  # noqa: S105
    API_TOKEN_REVOKED = "api_token.revoked"  # noqa: S105
    SECOND_FACTOR_ADDED = "second_factor.added"
    SECOND_FACTOR_REMOVED = "second_factor.removed"
    RECOVERY_CODES_MADE = "recovery_codes.made"
    RECOVERY_CODE_USED = "recovery_codes.used"
    SESSION_RENEWED = "session.renewed"
    TOKEN_TRACED = "token.traced"  # noqa: S105
    SESSION_STARTED = "session.started"
    SESSION_ENDED = "session.ended"
    SIGN_IN_SUCCEEDED = "sign_in.succeeded"
    SIGN_IN_FAILED = "sign_in.failed"
    LINK_CREATED = "link.created"
    LINK_USED = "link.used"
    PASSWORD_SET = "password.set"  # noqa: S105
    PASSWORD_DROPPED = "password.dropped"  # noqa: S105
    ORGANIZATION_CREATED = "organization.created"
    ORGANIZATION_CHANGED = "organization.changed"
    CONFIG_HELD = "config.held"
    PARTNER_ASSIGNED = "partner.assigned"
    PARTNER_UNASSIGNED = "partner.unassigned"
    DOMAIN_CLAIMED = "domain.claimed"
    DOMAIN_VERIFIED = "domain.verified"
    DOMAIN_REMOVED = "domain.removed"
    ADMIN_CREATED = "admin.created"
    MAIL_REFUSED = "mail.refused"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one target. ``before`` and ``after`` are JSON values, None: nothing."""

    kind: EventKind
    target_kind: str
    target_id: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    note: str = ""


def changes(
    person_id: PersonId, before: Standing | None, after: Standing, given: Collection[Grant] = ()
) -> list[Event]:
    """What settling writes for a person whose standing was ``before`` (None: they are new).

    ``given``: what a hand gave to somebody new, which it told itself. Status first, then owner, roles and
    grants, these in a fixed order. Nothing where nothing changed. Seats are not among them: one that is
    *held* is settled apart.
    """
    found: list[Event] = []

    def changed(kind: EventKind, old: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        if old != new:
            found.append(Event(kind, "person", person_id, old, new))

    changed(EventKind.PERSON_STATUS_CHANGED, _status(before) if before else None, _status(after))
    changed(
        EventKind.PERSON_OWNER_CHANGED,
        {"owner": before.owner if before else None},
        {"owner": after.owner},
    )
    changed(
        EventKind.PERSON_ROLES_CHANGED,
        {"roles": list(before.roles) if before else [USER]},
        {"roles": list(after.roles)},
    )
    return found + grant_changes(person_id, before.grants if before else frozenset(given), after.grants)


def _status(standing: Standing) -> dict[str, Any]:
    return {"status": str(standing.status), "causes": [str(cause) for cause in standing.causes]}


def grant_changes(person_id: PersonId, before: frozenset[Grant], after: frozenset[Grant]) -> list[Event]:
    """What is told of grants that come, go, fall dormant or wake."""
    if before == after:
        return []
    old, new = ({_key(grant): grant for grant in grants} for grants in (before, after))
    found: list[Event] = []
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key), new.get(key)
        if was != now:
            old_values, new_values = (grant_values(grant) if grant else None for grant in (was, now))
            found.append(Event(_grant_kind(was, now), "person", person_id, old_values, new_values))
    return found


def _grant_kind(was: Grant | None, now: Grant | None) -> EventKind:
    if was is None:
        return EventKind.GRANT_GIVEN
    if now is None:
        return EventKind.GRANT_TAKEN
    return EventKind.GRANT_DORMANT if now.dormant else EventKind.GRANT_WOKEN


def _key(grant: Grant) -> tuple[str, ...]:
    origin = grant.origin
    rule = "" if origin.rule is None else f"{origin.rule:08}"
    parts = (grant.project_role, origin.kind, origin.by, origin.source_id, origin.group_id)
    return (grant.kind, grant.target, *(part or "" for part in parts), rule)


def grant_values(grant: Grant) -> dict[str, Any]:
    """A grant as JSON: what is absent does not apply."""
    origin = grant.origin
    values = {
        "kind": grant.kind,
        "target": grant.target,
        "project_role": grant.project_role,
        "origin": origin.kind,
        "by": origin.by or None,
        "source": origin.source_id,
        "group": origin.group_id,
        "rule": origin.rule,
        "dormant": grant.dormant,
    }
    return {name: value for name, value in values.items() if value is not None}
