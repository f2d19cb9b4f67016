"""An organization's sources."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from scimd.config.extensions import Extension
from scimd.config.signed_tokens import Jwt
from scimd.config.values import LARGEST, Lasting, Name, Section, Slug
from scimd.core import extensions
from scimd.core.approval import AutoApprove


class Mapping(Section):
    """CEL expressions over ``entry`` (attributes of the directory, lists of values) by SCIM path."""

    user: dict[str, str] = Field({})
    #: An expression that says whether an entry is a person to bring in.
    scope: str | None = None
    required: list[str] = Field(["userName"])


class MappingTest(Section):
    """An entry and what must come out of it; run before the source becomes active."""

    entry: dict[str, Any]
    expect: dict[str, Any]


class Groups(Section):
    #: project: each group is a project of its name. none: only what the rules name.
    default: Literal["project", "none"] | None = None
    #: Shell patterns on names; where given, only these groups are read at all.
    only: list[str] = Field([])


class Limits(Section):
    """Above these a plan is held. Percentages are of the people linked at the start of 24 hours."""

    removals_count: int = Field(5, ge=0, le=LARGEST)
    removals_percent: float = Field(10, ge=0, le=100)
    removals_most: int = Field(200, ge=0, le=LARGEST)
    removals_half_from: int = Field(4, ge=1, le=LARGEST)
    groups_count: int = Field(3, ge=0, le=LARGEST)
    groups_percent: float = Field(20, ge=0, le=100)
    members_percent: float = Field(50, ge=0, le=100)
    members_from: int = Field(10, ge=1, le=LARGEST)
    reactivations_count: int = Field(5, ge=0, le=LARGEST)
    reactivations_percent: float = Field(10, ge=0, le=100)
    addresses_count: int = Field(5, ge=0, le=LARGEST)
    addresses_percent: float = Field(10, ge=0, le=100)
    new_admins: int = Field(0, ge=0, le=LARGEST)
    #: Where removals are held, may the rest of the plan go on?
    apply_additions: bool = True


def _braces_hold_name(value: str | None) -> str | None:
    for found in re.findall(r"\{[^{}]*\}", value or ""):
        if found != "{name}":
            raise ValueError(f"{found} stands for nothing; {{name}} is the group's name, or the value")
    return value


class Rule(Section):
    """A numbered rule: a group, or a value of roles or entitlements, gives a project, a role, …"""

    number: int = Field(ge=1, le=LARGEST)
    group: str | None = None
    pattern: str | None = None
    scim_role: str | None = Field(None, min_length=1, max_length=500)
    entitlement: str | None = Field(None, min_length=1, max_length=500)
    project: Annotated[Name | None, AfterValidator(_braces_hold_name)] = None
    project_role: Literal["owner", "member", "viewer"] = "member"
    role: Slug | None = None
    team: Name | None = None
    licence: Name | None = None
    may_give_account_admin: bool = False

    @model_validator(mode="after")
    def _matches_and_gives(self) -> Rule:
        matches = (self.group, self.pattern, self.scim_role, self.entitlement)
        if sum(each is not None for each in matches) != 1:
            raise ValueError(
                "a rule names one of group (an external id), pattern (of names), scim_role and entitlement"
            )
        if not any((self.project, self.role, self.team, self.licence)):
            raise ValueError("a rule gives at least one of project, role, team, licence")
        return self


class Source(Section):
    name: Slug
    #: scim, or the entry point's name of a connector.
    connector: str = "scim"
    state: Literal["shadow", "staged", "active", "paused"] = "staged"
    invite: Literal["immediate", "never"] = "immediate"
    auto_approve: AutoApprove = "never"
    #: A source that states none comes after all others, for which there is room beyond.
    priority: int | None = Field(None, ge=1, le=2_000_000_000)
    ceiling: Slug = "manager"
    #: An interval ("15m") or a cron line ("0 3 * * *"); none: only on demand.
    schedule: str | None = None
    join: list[str] = Field([])
    groups: Groups = Groups()
    rule: list[Rule] = Field([])
    extension: list[Extension] = Field([])
    mapping: Mapping = Mapping()
    mapping_test: list[MappingTest] = Field([])
    limits: Limits = Limits()
    timeout: Lasting = timedelta(hours=1)
    jwt: Jwt | None = None
    #: The connector's own keys, parsed by the connector.
    settings: dict[str, Any] = Field({})

    @model_validator(mode="after")
    def _only_pushes_have_tokens(self) -> Source:
        if self.jwt is not None and self.connector != "scim":
            raise ValueError('jwt: only a source that is pushed to has tokens (connector = "scim")')
        return self

    @field_validator("rule")
    @classmethod
    def _numbers_are_unique(cls, rules: list[Rule]) -> list[Rule]:
        numbers = [rule.number for rule in rules]
        if len(set(numbers)) != len(numbers):
            raise ValueError("two rules have one number")
        return rules

    @field_validator("extension")
    @classmethod
    def _urns_are_free(cls, declared: list[Extension]) -> list[Extension]:
        taken = extensions.clash([each.urn for each in declared])
        if taken is not None:
            raise ValueError(f"the urn {taken} is served already, or one urn begins with another")
        return declared
