"""What the page calls things: states, causes, outcomes, each with a tone. Text says it, colour only helps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scimd.core import causes
from scimd.core.people import RoleName
from scimd.core.roles import BUILT_IN
from scimd.org.audit.audit_reads import EntryRecord
from scimd.org.labels import named

Tone = Literal["ok", "warn", "bad", "info", "none", "info running"]


@dataclass(frozen=True, slots=True)
class Badge:
    text: str
    tone: Tone


RUN_STATES: Mapping[str, Badge] = {
    "reading": Badge("Reading", "info running"),
    "planned": Badge("Planned", "info"),
    "held": Badge("Held", "warn"),
    "applying": Badge("Applying", "info running"),
    "done": Badge("Done", "ok"),
    "partial": Badge("Partly done", "warn"),
    "failed": Badge("Failed", "bad"),
    "refused": Badge("Refused", "bad"),
    "expired": Badge("Expired", "none"),
}
#: States in which a run still moves, so that its page is kept fresh.
MOVING = ("reading", "applying")

OUTCOMES: Mapping[str, Badge] = {
    "planned": Badge("Planned", "info"),
    "staged": Badge("Held", "warn"),
    "applied": Badge("Applied", "ok"),
    "waiting": Badge("Waiting", "warn"),
    "skipped": Badge("Skipped", "none"),
    "failed": Badge("Failed", "bad"),
}
ACTIONS: Mapping[str, str] = {
    "create": "Create",
    "update": "Update",
    "link": "Link",
    "deactivate": "Deactivate",
    "drop": "Drop",
    "delete": "Delete",
    "rename": "Rename",
    "members": "Change members",
    "skip": "Skip",
    "fail": "Failed",
    "wait": "Wait",
}
STATUSES: Mapping[str, Badge] = {
    "active": Badge("Active", "ok"),
    "pending": Badge("Pending", "warn"),
    "inactive": Badge("Inactive", "none"),
}

SOURCE_STATES: Mapping[str, Badge] = {
    "shadow": Badge("Shadow", "info"),
    "staged": Badge("Staged", "info"),
    "active": Badge("Active", "ok"),
    "paused": Badge("Paused", "warn"),
}
DECISION_STATES: Mapping[str, Badge] = {
    "open": Badge("Open", "warn"),
    "answered": Badge("Answered", "ok"),
    "moot": Badge("No longer in question", "none"),
}
DECISION_KINDS: Mapping[str, str] = {
    "collision": "Collision",
    "ambiguous": "Several fit",
    "return": "Return",
    "shared_address": "Shared address",
    "group_name": "Group name",
    "link": "Linked by hand",
}
TRIGGERS: Mapping[str, str] = {"schedule": "on schedule", "manual": "by hand", "cli": "from the command line"}


def badge(table: Mapping[str, Badge], state: str) -> Badge:
    return table.get(state, Badge(state.replace("_", " ").capitalize(), "none"))


def cause(text: str) -> str:
    """``deprovisioned:okta`` as words, for admins: "deprovisioned by okta"."""
    said, by = causes.words(text), text.partition(":")[2]
    return f"{said} by {by}" if by else said


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    value: int
    tone: Tone

    @property
    def word(self) -> str:
        """Behind the number, in a line."""
        word = self.name.lower()
        return "group" if word == "groups" and self.value == 1 else word


#: (name, tone, always shown, the counts that it adds up)
_FIGURES: tuple[tuple[str, Tone, bool, tuple[str, ...]], ...] = (
    ("Created", "none", True, ("created",)),
    ("Updated", "none", True, ("updated", "linked")),
    ("Deactivated", "none", True, ("deactivated", "deleted")),
    ("Dropped", "none", False, ("dropped",)),
    ("Groups", "none", False, ("groups_created", "groups_updated", "groups_renamed", "groups_members_changed",
                               "groups_deleted", "groups_linked", "groups_deactivated")),
    ("Held", "warn", True, ("held",)),
    ("Waiting", "warn", False, ("waiting",)),
    ("Failed", "bad", True, ("failed",)),
    ("Skipped", "none", True, ("skipped",)),
    ("To do", "info", False, ("planned",)),
    ("Unchanged", "none", True, ("unchanged",)),
)  # fmt: skip


def figures(counts: Mapping[str, int]) -> list[Figure]:
    """The figures of a run: what happened to people, then what did not go smoothly."""
    found = [
        (Figure(name, sum(counts.get(key, 0) for key in keys), tone), always)
        for name, tone, always, keys in _FIGURES
    ]
    return [figure for figure, always in found if always or figure.value]


@dataclass(frozen=True, slots=True)
class Difference:
    """One attribute; ``old`` or ``new`` None: it was or is not there."""

    name: str
    old: str | None
    new: str | None


def differences(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> list[Difference]:
    """Old and new values side by side, nested ones by path; equal ones are left out."""
    before, after = _flat(old or {}), _flat(new or {})
    names = [*before, *(name for name in after if name not in before)]
    return [
        Difference(name, before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    rows: dict[str, str] = {}
    for name, value in values.items():
        path = f"{prefix}{name.rpartition(':')[2] if name.startswith('urn:') else name}"
        if isinstance(value, Mapping):
            rows.update(_flat(value, f"{path}."))
        elif value is not None and value != []:
            rows[path] = text(value)
    return rows


def text(value: Any) -> str:
    """A value for eyes: lists by comma, a multi-valued attribute by its ``value``."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        shown = value.get("value", value.get("display"))
        return text(shown) if shown is not None else ", ".join(f"{k} {text(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(text(row) for row in value)
    return "" if value is None else str(value)


def statuses(active_label: str | None) -> Mapping[str, Badge]:
    """The badges by status, as this organization calls them."""
    return {**STATUSES, "active": Badge(active_label, "ok")} if active_label else STATUSES


def role(name: str) -> str:
    """The label of a built-in role; a custom one is called what it is called."""
    found = BUILT_IN.get(RoleName(name))
    return found.label if found else name


# ------------------------------------------------------------------------------ ids and names


def about(subject: str, names: Mapping[str, str]) -> str:
    """``project:<id>`` as "Project Platform"."""
    kind, _, rest = subject.partition(":")
    rest = role(rest) if kind == "role" else named(rest, names)
    return f"{kind.capitalize()} {rest}".strip()


def event(record: EntryRecord) -> str:
    """``person.status_changed`` with its values, as a line; what is merely not so is left out."""
    what = record.kind.replace(".", " ", 1).replace("_", " ").capitalize()
    rows = differences(record.before, record.after)
    parts = [_was(row) for row in rows if not (row.old is None and row.new == "no")]
    return f"{what}: {'; '.join(parts)}" if parts else what


def _was(row: Difference) -> str:
    name = row.name.replace("_", " ")
    return f"{name} {row.new}" if row.old is None else f"{name} {row.old} → {row.new or 'none'}"
