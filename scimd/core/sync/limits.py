"""The limits of a plan: checked before any write, and what trips is held for a person to look at.

Removals are counted over a sliding 24 hours, as shares of the people linked at its start, so that
many small plans are held like one large one; who is listed as inactive is no share of anything. Whoever
leaves where another source has them counts too: they lose the roles and projects of this one. Some
trips have no setting: an empty result, a read that is not complete, everyone, the last Account Admin.
Removals that an admin approved are counted no more: they were looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from scimd.core.words import counted


class TripKind(StrEnum):
    REMOVALS = "removals"
    REMOVALS_MOST = "removals_most"
    REMOVALS_HALF = "removals_half"
    EVERYONE = "everyone"
    EMPTY = "empty"
    EMPTY_GROUPS = "empty_groups"
    INCOMPLETE = "incomplete"
    GROUPS = "groups"
    MEMBERS = "members"
    MEMBERS_ALL = "members_all"
    REACTIVATIONS = "reactivations"
    ADDRESSES = "addresses"
    NEW_ADMINS = "new_admins"
    LAST_ADMIN = "last_admin"


@dataclass(frozen=True, slots=True)
class Limits:
    """See ``config.Limits``, whose keys these are."""

    removals_count: int = 5
    removals_percent: float = 10
    removals_most: int = 200
    removals_half_from: int = 4
    groups_count: int = 3
    groups_percent: float = 20
    members_percent: float = 50
    members_from: int = 10
    reactivations_count: int = 5
    reactivations_percent: float = 10
    addresses_count: int = 5
    addresses_percent: float = 10
    new_admins: int = 0
    apply_additions: bool = True


@dataclass(frozen=True, slots=True)
class GroupLoss:
    """A group that would lose members: of ``before``, ``lost``.

    ``what`` it is, where something is lost that is no group: by a change of rules, or a value that
    rules name.
    """

    external_id: str
    name: str
    before: int
    lost: int
    what: str = "group"


@dataclass(frozen=True, slots=True)
class Figures:
    """What a plan would do, in numbers, against what there is now."""

    linked: int  # people whom the source asserts as active now
    seen: int  # entries of people in the read, failed and out-of-scope ones included
    removals: int  # people whom the plan deactivates, or drops where another source has them
    removed_before: int = 0  # … and whom runs of the last 24 hours did, unless an admin approved it
    elsewhere: int = 0  # of ``removals``, people whom another source has: they lose what this one gives
    inactive: int = 0  # people whom the source lists, and says that they are inactive
    groups_linked: int = 0
    groups_seen: int = 0
    groups_removed: int = 0
    losses: tuple[GroupLoss, ...] = ()
    #: Groups that have members, where not one of them would keep any.
    groups_emptied: int = 0
    #: Values that rules name and somebody has, where nobody would have any.
    values_emptied: int = 0
    #: People who stay, and whose sign-in address vanishes or becomes one that was another's.
    addresses: int = 0
    reactivations: int = 0  # people whom the source listed as inactive, and whose access the plan gives back
    new_admins: int = 0
    admins: int = 0  # Account Admins who can sign in now
    admins_removed: int = 0
    complete: bool = True
    #: What ``groups_*`` and ``losses`` count.
    called: str = "groups"


@dataclass(frozen=True, slots=True)
class Trip:
    """A limit that the plan is over. ``subject``: the group's external id, where it is about one."""

    kind: TripKind
    why: str
    figure: int
    limit: float
    subject: str | None = None

    @property
    def holds_removals(self) -> bool:
        return not (self.holds_losses or self.kind in _CHANGES)

    @property
    def holds_losses(self) -> bool:
        """Of members, of groups, and of values that rules name; people are removed nevertheless."""
        return self.kind in (TripKind.MEMBERS, TripKind.MEMBERS_ALL)


#: Trips that hold the changes they are about, and nothing else.
_CHANGES = (TripKind.NEW_ADMINS, TripKind.REACTIVATIONS, TripKind.ADDRESSES)


def check(figures: Figures, limits: Limits) -> tuple[Trip, ...]:
    """Every limit that the plan is over, the gravest first. A plan that takes nothing trips on
    nothing but what it would give."""
    return tuple(
        trip
        for part in (
            _always(figures),
            _people(figures, limits),
            _groups(figures, limits),
            _addresses(figures, limits),
            _gains(figures, limits),
        )
        for trip in part
    )


def _always(figures: Figures) -> Iterator[Trip]:
    if not figures.complete:
        yield Trip(TripKind.INCOMPLETE, "the read was not complete", 0, 0)
    listed = figures.linked + figures.inactive
    if listed and not figures.seen:
        why = f"the directory gave nobody, and {counted(listed, 'person is', 'people are')} linked"
        yield Trip(TripKind.EMPTY, why, 0, listed)
    if figures.groups_linked and not figures.groups_seen:
        why = f"the directory gave no group, and {figures.groups_linked} are linked"
        yield Trip(TripKind.EMPTY_GROUPS, why, 0, figures.groups_linked)
    if figures.removals and figures.removals >= figures.linked:
        whole = "the only person" if figures.linked == 1 else f"all {figures.linked} people"
        why = f"{whole} of the source would be removed{_elsewhere(figures)}"
        yield Trip(TripKind.EVERYONE, why, figures.removals, figures.linked)
    if figures.admins_removed and figures.admins_removed >= figures.admins:
        why = "no Account Admin who can sign in would be left"
        yield Trip(TripKind.LAST_ADMIN, why, figures.admins_removed, figures.admins)


def _people(figures: Figures, limits: Limits) -> Iterator[Trip]:
    if not figures.removals:
        return
    base = figures.linked + figures.removed_before
    total = figures.removals + figures.removed_before
    said = f"{total} of {base} people would be removed within 24 hours{_elsewhere(figures)}"
    allowed = _at_most(limits.removals_count, limits.removals_percent, base)
    if total > allowed:
        rule = f"{limits.removals_count}, or {limits.removals_percent:g} %"
        why = f"{said}; the limit is {allowed} ({rule})"
        yield Trip(TripKind.REMOVALS, why, total, allowed)
    if total > limits.removals_most:
        why = f"{said}; the limit is {limits.removals_most} whatever the share"
        yield Trip(TripKind.REMOVALS_MOST, why, total, limits.removals_most)
    if base >= limits.removals_half_from and total > base / 2:
        yield Trip(TripKind.REMOVALS_HALF, f"{said}; that is more than half", total, base / 2)


def _elsewhere(figures: Figures) -> str:
    if not figures.elsewhere:
        return ""
    return f" (another source has {figures.elsewhere} of them)"


def _groups(figures: Figures, limits: Limits) -> Iterator[Trip]:
    allowed = _at_most(limits.groups_count, limits.groups_percent, figures.groups_linked)
    if figures.groups_removed > allowed:
        why = (
            f"{figures.groups_removed} of {figures.groups_linked} {figures.called} would be removed; "
            f"the limit is {allowed} ({limits.groups_count}, or {limits.groups_percent:g} %)"
        )
        yield Trip(TripKind.GROUPS, why, figures.groups_removed, allowed)
    if figures.groups_emptied:
        emptied = counted(figures.groups_emptied, "group that has members", "groups that have members")
        why = f"no group would have a member any more, of {emptied}"
        yield Trip(TripKind.MEMBERS_ALL, why, figures.groups_emptied, 0)
    if figures.values_emptied:
        named = counted(figures.values_emptied, "value that rules name", "values that rules name")
        why = f"nobody would have a value any more, of {named} and somebody has"
        yield Trip(TripKind.MEMBERS_ALL, why, figures.values_emptied, 0)
    for loss in figures.losses:
        share = _share(limits.members_percent, loss.before)
        if loss.before >= limits.members_from and loss.lost > share:
            why = (
                f"the {loss.what} {loss.name} would lose {loss.lost} of {loss.before} members; "
                f"the limit is {limits.members_percent:g} %"
            )
            subject = loss.external_id if loss.what == "group" else None
            yield Trip(TripKind.MEMBERS, why, loss.lost, share, subject)


def _addresses(figures: Figures, limits: Limits) -> Iterator[Trip]:
    what = "would lose their sign-in address, or get one that was another's"
    count, percent = limits.addresses_count, limits.addresses_percent
    yield from _of_the_listed(figures, TripKind.ADDRESSES, figures.addresses, what, count, percent)


def _of_the_listed(
    figures: Figures, kind: TripKind, number: int, what: str, count: int, percent: float
) -> Iterator[Trip]:
    """More than ``count``, and than ``percent`` of all who are listed, inactive people too."""
    listed = figures.linked + figures.inactive
    allowed = _at_most(count, percent, listed)
    if number > allowed:
        limit = f"the limit is {allowed} ({count}, or {percent:g} %)"
        yield Trip(kind, f"{number} of {listed} people {what}; {limit}", number, allowed)


def _gains(figures: Figures, limits: Limits) -> Iterator[Trip]:
    count, percent = limits.reactivations_count, limits.reactivations_percent
    what = "would be active again"
    yield from _of_the_listed(figures, TripKind.REACTIVATIONS, figures.reactivations, what, count, percent)
    if figures.new_admins > limits.new_admins:
        more = counted(
            figures.new_admins, "person would become an Account Admin", "people would become Account Admins"
        )
        why = f"{more}; the limit is {limits.new_admins}"
        yield Trip(TripKind.NEW_ADMINS, why, figures.new_admins, limits.new_admins)


def _at_most(count: int, percent: float, whole: int) -> int:
    """How many of ``whole`` the limit lets go: ``count``, or its share where that is more."""
    return max(count, _share(percent, whole))


def _share(percent: float, whole: int) -> int:
    """In whole ones. Without what floats get wrong: 9.2 % of 750 would be a bit less than 69."""
    return math.floor(round(whole * percent / 100, 6))
