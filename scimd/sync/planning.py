"""From a source to its plan: open the directory, read it whole, find what differs, decide.

Nothing here writes, but the digests of entries that differ only in what no mapping reads; those the
caller writes when the plan is applied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from scimd import log
from scimd.config import Rule, Source
from scimd.connector_api import BadEntry, BadSetting, ConnectorError, Deadline, OpenSource, Page
from scimd.core.people import PersonId, fold
from scimd.core.roles import ACCOUNT_ADMIN
from scimd.core.sync import plan as plans
from scimd.core.sync import values
from scimd.core.sync.found import PersonFound
from scimd.core.sync.limits import Figures, Limits, TripKind
from scimd.core.sync.mapping import Mapping, WrongMapping, failing_tests
from scimd.core.sync.plan import Basis, Plan
from scimd.core.sync.policy import Situation
from scimd.core.sync.values import Holders, Value
from scimd.org.runs import outlook, plan_ground
from scimd.org.runs.plan_ground import Elsewhere, Ground
from scimd.org.runs.sync_reads import (
    KnownGroup,
    KnownUser,
    address_holders,
    live_groups,
    live_users,
    value_holders,
)
from scimd.org.sources.sources import SourceRecord
from scimd.org.tx import Context, Door
from scimd.sync import registry
from scimd.sync.apply import Progress, Report
from scimd.sync.collect import References, as_connector_error, read_whole
from scimd.sync.groups_found import GroupsFound, place
from scimd.sync.losses import Crowd
from scimd.sync.people_found import PeopleFound, addresses_taken, losing_addresses
from scimd.sync.waiting import let_go

logger = log.get(__name__)

_PAGE = 2000
_HELD_BY_QUARANTINE = "the source is in quarantine: {}"
_HELD_BY_NAMELESS = "what could not be read has no id, and could be anybody's: {}"
#: A read that fails for so many is a sign of a wrong mapping rather than of wrong entries.
_FAILED_PERCENT, _FAILED_FROM = 40, 20


class CannotPlan(Exception):
    """The run fails: nobody was changed. ``kind`` is stable, the text a sentence for the admin."""

    def __init__(self, kind: str, why: str, *, retry_after_s: float = 0) -> None:
        super().__init__(why)
        self.kind, self.retry_after_s = kind, retry_after_s


#: Entries to remember as unchanged, see ``upkeep.refresh_digests``.
Refreshed: TypeAlias = tuple[tuple[PersonId, bytes], ...]


@dataclass(frozen=True, slots=True)
class Planned:
    plan: Plan
    rules_version: int
    refreshed: Refreshed
    #: Why the source belongs into quarantine, though the read was complete; None: it does not.
    alarm: str | None


def opened(source: Source, timeout_s: float) -> tuple[OpenSource, Mapping]:
    """The source's directory and its compiled mapping, whose tests pass. Raises CannotPlan."""
    try:
        mapping = registry.mapping_of(source)
        connector = registry.connector(source.connector)
        config = connector.parse(source.settings)
        faults = failing_tests(mapping, [(test.entry, test.expect) for test in source.mapping_test])
    except (WrongMapping, registry.NoConnector) as exc:
        raise CannotPlan("config", str(exc)) from exc
    except BadSetting as exc:
        raise CannotPlan("config", f"settings.{exc}") from exc
    if faults:
        raise CannotPlan("mapping_test", "; ".join(faults))
    deadline = Deadline.after(timeout_s)
    try:
        return connector.open(config, log.get(f"connectors.{source.connector}"), deadline), mapping
    except Exception as exc:
        raise _failure(exc) from exc


def _failure(exc: Exception) -> CannotPlan:
    if not isinstance(exc, ConnectorError):
        logger.error("connector_broke_its_contract", exc_info=exc)
    error = as_connector_error(exc)
    return CannotPlan(error.kind, error.why, retry_after_s=getattr(error, "retry_after_s", 0.0))


async def make(door: Door, ctx: Context, record: SourceRecord, report: Report, *, full: bool) -> Planned:
    """Read the whole directory and plan. Raises CannotPlan; LeaseLost and the database's refusals pass.

    ``full``: compare each entry with what is stored; else only those whose digest is another.
    """
    source = record.declared()
    timeout_s = source.timeout.total_seconds()
    directory, mapping = opened(source, timeout_s)
    try:
        reading = await _Reading.begin(door, ctx, record, source, mapping, report, full=full)
        await reading.whole(directory, timeout_s)
    finally:
        await let_go(directory, source.name)
    return await reading.planned()


class _Reading:
    """One read of one source, compared with what is stored as its pages come."""

    def __init__(
        self,
        door: Door,
        ctx: Context,
        record: SourceRecord,
        source: Source,
        people: PeopleFound,
        groups: GroupsFound,
        figures: Figures,
        live: dict[str, KnownUser],
        report: Report,
    ) -> None:
        self._door, self._ctx = door, ctx
        self._record, self._source = record, source
        self._people, self._groups = people, groups
        self._figures = figures
        self._live = live
        self._report = report
        self._references = References()
        self._nameless: str | None = None

    @classmethod
    async def begin(
        cls,
        door: Door,
        ctx: Context,
        record: SourceRecord,
        source: Source,
        mapping: Mapping,
        report: Report,
        *,
        full: bool,
    ) -> _Reading:
        live = {user.external_id: user for user in await _all(door, ctx, live_users) if user.external_id}
        stored: list[KnownGroup] = await _all(door, ctx, live_groups)
        groups_now = {group.external_id: group for group in stored if group.external_id}
        version = record.config_version
        named = _named_values(source.rule)
        people = PeopleFound(door, ctx, mapping, version, live, named=named, full=full)
        groups = GroupsFound(door, ctx, source, version, groups_now, full=full)
        active = sum(user.active for user in live.values())
        figures = Figures(
            linked=active, seen=0, removals=0, inactive=len(live) - active, groups_linked=len(groups_now)
        )
        return cls(door, ctx, record, source, people, groups, figures, live, report)

    async def whole(self, directory: OpenSource, timeout_s: float) -> None:
        try:
            await read_whole(directory, self._take, timeout_s=timeout_s)
        except _Ours as exc:
            raise exc.cause from None
        except Exception as exc:
            raise _failure(exc) from exc

    async def _take(self, page: Page) -> None:
        for group in page.groups:
            self._references.add(group)
        self._groups.take(page.groups, self._references)
        for entry in page.bad:
            self._take_bad(entry)
        try:
            outside = await self._people.take(page.users)
        except Exception as exc:
            raise _Ours(exc) from exc
        ids = [user.external_id for user in page.users] + [group.external_id for group in page.groups]
        for external_id in filter(self._people.here, ids):
            self._groups.not_a_group(external_id)
            self._references.not_a_group(external_id)
        for user in page.users:
            self._references.add(user, in_scope=user.external_id not in outside)
        self._report(Progress("reading", self._people.seen + self._groups.seen))

    def _take_bad(self, entry: BadEntry) -> None:
        own = entry.external_id
        if own is None:
            self._nameless = entry.why
        is_group = entry.kind == "group" or (entry.kind is None and self._groups.knows(own))
        if own is not None and is_group:
            self._groups.bad(entry)
        if own is None or not is_group or (entry.kind is None and own in self._live):
            self._people.bad([entry])

    async def planned(self) -> Planned:
        if self._live and self._nameless is not None and not self._people.named:
            why = f"no entry of a person could be named: {self._nameless}; nobody was removed"
            raise CannotPlan("unnamed", why)
        found = self._people.whole()
        self._references.pass_over(self._people.nobodys(found))
        await self._groups.finish(self._references, self._people.failed)
        now, org_id, source_id = self._door.clock(), self._record.org_id, self._record.id
        ground = await self._door.read(lambda conn: plan_ground.ground(conn, org_id, source_id, now))
        leaving = [person.person_id for person in found if person.leaves and person.person_id]
        others = await self._door.read(lambda conn: plan_ground.elsewhere(conn, org_id, source_id, leaving))
        found = [_kept(person, others) for person in found]
        crowd = Crowd(self._live, found)
        held = await address_holders(self._door, self._ctx, addresses_taken(found))
        found = losing_addresses(found, held)
        by_groups, admin_groups = self._groups.admins()
        admins = by_groups | self._admins_by_value(found)
        people = self._refined(found, ground, admins, crowd)
        people = await outlook.foresee(self._door, self._ctx, people, self._groups.around)
        groups = [
            replace(group, gives_admin=group.external_id in admin_groups) for group in self._groups.found
        ]
        figures = await self._with_losses(found, crowd)
        # The run that finds the source unreadable is the first that removes nobody.
        unreadable = self._many_failed(found)
        basis = self._basis(ground, admins, figures, self._in_quarantine() or unreadable)
        plan = plans.make(people, groups, basis)
        # What a lost read right looks like: no plan at all, so that nobody can approve it by mistake.
        empty = next((trip for trip in plan.trips if trip.kind is TripKind.EMPTY), None)
        if empty is not None:
            raise CannotPlan("empty", f"{empty.why}; nobody was removed")
        return Planned(plan, ground.rules_version, tuple(self._people.refreshed), _alarm(plan) or unreadable)

    def _refined(
        self, found: list[PersonFound], ground: Ground, admins: set[str], crowd: Crowd
    ) -> list[PersonFound]:
        """What only the end of a read can tell: places, who gains admin, and which groups whoever is only
        dropped was in.
        """
        lost = self._groups.of(crowd.elsewhere)
        newcomers = {
            person.external_id for person in found if person.comes and person.external_id is not None
        }
        limited = ground.seats.limit is not None
        places = self._groups.places(newcomers) if limited else {}

        def own(person: PersonFound) -> str:
            return place(places.get(person.external_id or ""), person.external_id)

        # Whose name somebody new takes over has to be back under another one before.
        back = {one.person_id: own(one) for one in found if one.situation is Situation.RETURNED}
        return [
            replace(
                _losing(person, lost.get(person.external_id or "")),
                place=max(own(person), f"{back[person.held_by]}:") if person.held_by in back else own(person),
                is_admin=person.person_id in ground.admins,
                becomes_admin=person.external_id in admins and self._is_new_admin(person.external_id, ground),
            )
            for person in found
        ]

    def _is_new_admin(self, external_id: str, ground: Ground) -> bool:
        """Whoever was gone is new: under a name or an id that was theirs there may be somebody else."""
        known = self._live.get(external_id)
        return known is None or known.person_id not in ground.holders

    def _admins_by_value(self, found: Sequence[PersonFound]) -> set[str]:
        """Whom the rules make Account Admins by a value of their own, by external id."""
        givers = _named_values(
            rule for rule in self._source.rule if rule.role == ACCOUNT_ADMIN and rule.may_give_account_admin
        )
        return {
            person.external_id
            for person in found
            if person.external_id is not None and not givers.isdisjoint(person.has)
        }

    async def _with_losses(self, found: Sequence[PersonFound], crowd: Crowd) -> Figures:
        holders_of = await self._holders_of_values(found)
        return replace(
            self._figures,
            losses=(*self._groups.losses(crowd), *values.losses(holders_of, found)),
            values_emptied=values.emptied(holders_of, found),
            groups_emptied=self._groups.emptied(crowd),
        )

    async def _holders_of_values(self, found: Sequence[PersonFound]) -> Holders:
        """Who has which of the values that rules name; nobody is asked for where none is lost."""
        named = _named_values(self._source.rule)
        if not named or not any(person.loses or person.elsewhere for person in found):
            return {}
        return await value_holders(self._door, self._ctx, named)

    def _basis(
        self,
        ground: Ground,
        admins: set[str],
        figures: Figures,
        no_removals: str | None,
    ) -> Basis:
        new_admins = [
            external_id
            for external_id in admins
            if self._people.here(external_id) and self._is_new_admin(external_id, ground)
        ]
        figures = replace(
            figures,
            seen=self._people.seen,
            groups_seen=self._groups.seen,
            removed_before=ground.removed_before,
            new_admins=len(new_admins),
            admins=len(ground.admins),
        )
        return Basis(
            figures,
            Limits(**self._source.limits.model_dump()),
            ground.seats,
            self._record.config_version,
            ground.rules_version,
            unchanged={
                "user.linked-unchanged": self._people.unchanged,
                "user.out-of-scope": self._people.out_of_scope,
                "group.linked-unchanged": self._groups.unchanged,
            },
            no_removals=no_removals,
            unnamed=None if self._nameless is None else _HELD_BY_NAMELESS.format(self._nameless),
        )

    def _in_quarantine(self) -> str | None:
        if self._record.quarantined_since is None:
            return None
        return _HELD_BY_QUARANTINE.format(self._record.quarantine_cause)

    def _many_failed(self, found: Sequence[PersonFound]) -> str | None:
        """``found``: all findings, those among them that only the end of the read refused."""
        failed = sum(1 for person in found if person.situation is Situation.FAILED)
        if self._people.seen >= _FAILED_FROM and failed * 100 > self._people.seen * _FAILED_PERCENT:
            return f"{failed} of {self._people.seen} entries failed"
        return None


def _alarm(plan: Plan) -> str | None:
    return "; ".join(trip.why for trip in plan.trips) or None


def _kept(person: PersonFound, others: dict[PersonId, Elsewhere]) -> PersonFound:
    """Whoever leaves this source, where another one has them: it may be the one that decides."""
    other = others.get(person.person_id) if person.leaves and person.person_id else None
    if other is None or not (other.first or (other.active and person.dropped)):
        return person
    reason = f"{person.reason}; {other.name} has them too"
    # Whoever was inactive already, here or where it counts, has nothing to lose.
    return replace(person, stays=True, elsewhere=other.active and not person.stays, reason=reason)


def _losing(person: PersonFound, groups: list[str] | None) -> PersonFound:
    """Whoever stays, and loses what these groups give: the report says so."""
    if groups is None:
        return person
    return replace(
        person, old={**(person.old or {}), "groups": groups}, new={**(person.new or {}), "groups": None}
    )


class _Ours(Exception):
    """Carries what our own reads of the database raised out of the connector's loop, untouched."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


async def _all(door: Door, ctx: Context, read: Callable[..., Any]) -> list[Any]:
    """Everything that a paged read gives."""
    found: list[Any] = []
    after: str | None = None
    while page := await read(door, ctx, after, _PAGE):
        found += page
        after = page[-1].key
    return found


def _named_values(rules: Iterable[Rule]) -> frozenset[Value]:
    return frozenset(
        (name, fold(value))
        for rule in rules
        for name, value in (("roles", rule.scim_role), ("entitlements", rule.entitlement))
        if value is not None
    )
