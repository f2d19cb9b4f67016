"""What a source may put into ``roles`` and ``entitlements``: the resources of /Roles and /Entitlements.

Shaped by draft-ietf-scim-roles-entitlements-01, or as Okta reads them (developer.okta.com, guide
"Build a SCIM 2.0 server with entitlements", 2026-11), who knows its own URN and ``displayName`` only.
Either way ``id`` is the value itself: it is what Okta sends in a user, and what a rule names. Numbers
of assignments are not served: nothing limits them, and a source is not told of people of others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from scimd.core.attributes import Attribute, ResourceKind, Schema
from scimd.core.facts import Rules
from scimd.core.people import SourceId, fold
from scimd.core.roles import OrgRole, SourceRule, above_ceiling, is_account_admin

#: What a role of Entra ID is that comes whole. A PATCH leaves it out, and would make a second one of the same
#: value.
ENTRA_APP_ROLE: Final = "WindowsAzureActiveDirectoryRole"
#: Whose form: the draft's or Okta's.
Form: TypeAlias = Literal["draft", "okta"]


@dataclass(frozen=True, slots=True)
class Offered:
    """A value that a source may send. ``supported``: a rule of the source makes something of it."""

    value: str
    display: str
    type: str
    supported: bool


# ------------------------------------------------------------------------------ what is offered


def roles(rules: Rules, source_id: SourceId, ruled: Sequence[SourceRule]) -> list[Offered]:
    """The organization's roles that this source may give, and the values that its rules name."""
    named = {rule.scim_role: rule for rule in ruled if rule.scim_role is not None}
    own = [role for role in rules.roles.values() if _may_give(role, rules, source_id, ruled)]
    listed = [(str(role.name), role.label, "role") for role in own]
    return _offered(listed, named.values(), [str(name) for name in named])


def entitlements(licences: Iterable[str], ruled: Sequence[SourceRule]) -> list[Offered]:
    """The organization's licences, and the values that this source's rules name."""
    named = {rule.entitlement: rule for rule in ruled if rule.entitlement is not None}
    listed = [(name, name, "licence") for name in licences]
    return _offered(listed, named.values(), [str(name) for name in named])


def _offered(
    listed: Iterable[tuple[str, str, str]], ruled: Iterable[SourceRule], named: Sequence[str]
) -> list[Offered]:
    known = {fold(name) for name in named}
    found = {fold(value): Offered(value, label, of, fold(value) in known) for value, label, of in listed}
    for name, rule in zip(named, ruled, strict=True):
        found.setdefault(fold(name), Offered(name, name, _gives(rule), supported=True))
    return sorted(found.values(), key=lambda each: fold(each.value))


def _may_give(role: OrgRole, rules: Rules, source_id: SourceId, ruled: Sequence[SourceRule]) -> bool:
    """Up to the ceiling; Account Admin where some rule of the source was allowed to give it."""
    if is_account_admin(role):
        return any(rule.role == role.name and (source_id, rule.number) in rules.admin_rules for rule in ruled)
    source = rules.sources.get(source_id)
    return source is not None and not above_ceiling(role.name, source.ceiling, rules.roles)


def _gives(rule: SourceRule) -> str:
    for kind, what in (("role", rule.role), ("licence", rule.licence), ("team", rule.team)):
        if what is not None:
            return kind
    return "project"


# ------------------------------------------------------------------------------ schemas


def _told(name: str, description: str, *, required: bool = False) -> Attribute:
    return Attribute(name, description, mutability="readOnly", required=required)


def _flag(name: str, description: str) -> Attribute:
    return Attribute(name, description, "boolean", mutability="readOnly")


def _draft(name: Literal["Role", "Entitlement"], what: str) -> Schema:
    return Schema(
        f"urn:ietf:params:scim:schemas:core:2.0:{name}",
        name,
        f"{what} that a user may be given",
        (
            _told("value", f"What stands in a user's {name.lower()}s.", required=True),
            _told("display", "The name to show."),
            _told("type", "What the value gives."),
            _flag("supported", "Whether a rule of this source makes something of the value."),
            _flag("limitedAssignmentsPermitted", "Whether only so many users may have it; none is limited."),
        ),
    )


def _okta(name: Literal["Role", "Entitlement"], what: str) -> Schema:
    return Schema(
        f"urn:okta:scim:schemas:core:1.0:{name}",
        name,
        f"{what} that a user may be given",
        (
            _told("displayName", "The name to show.", required=True),
            _told("type", "What the value gives."),
            _told("description", "What scimd makes of it."),
        ),
    )


_ROLE, _ENTITLEMENT = "A role", "An entitlement"
ROLE: dict[Form, ResourceKind] = {
    "draft": ResourceKind("Role", "/Roles", _draft("Role", _ROLE)),
    "okta": ResourceKind("Role", "/Roles", _okta("Role", _ROLE)),
}
ENTITLEMENT: dict[Form, ResourceKind] = {
    "draft": ResourceKind("Entitlement", "/Entitlements", _draft("Entitlement", _ENTITLEMENT)),
    "okta": ResourceKind("Entitlement", "/Entitlements", _okta("Entitlement", _ENTITLEMENT)),
}


def resource(offered: Offered, kind: ResourceKind, location: str) -> dict[str, object]:
    """The resource as its schema has it."""
    said: dict[str, object] = {
        "value": offered.value,
        "display": offered.display,
        "displayName": offered.display,
        "type": offered.type,
        "description": f"Gives a {offered.type}" if offered.supported else "No rule makes anything of it yet",
        "supported": offered.supported,
        "limitedAssignmentsPermitted": False,
    }
    shown = {row.name: said[row.name] for row in kind.schema.attributes}
    meta = {"resourceType": kind.name, "location": location}
    return {"schemas": [kind.schema.id], "id": offered.value, **shown, "meta": meta}
