"""The door's hinge: one call, one transaction, settled before it ends.

``Door.run(ctx, body)`` gives the body a Tx: a connection, the time, new ids, and a list of the
people whom it touches. When the body returns, the touched people are settled (their standing is
worked out and what follows is written), the events are written, and all of it commits as one.
A body may be run again from the start, so it reads nothing of the outside world: ``tx.now``,
``tx.new_id()`` and ``tx.chance`` give the same values each time.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import IntegrityError

from scimd import log
from scimd.core.errors import DatabaseUnavailable, Overloaded, Refusal, StorageFull
from scimd.core.events import Event
from scimd.core.people import GroupId, Keys, OrgId, PersonId, SourceId, TokenId
from scimd.core.resource import StoredUser
from scimd.core.seats import Policy, PoolSeen
from scimd.core.second_factors import Policy as SecondFactorPolicy
from scimd.core.travelling import travels
from scimd.db.among import one_of
from scimd.db.engine import Database, LostRace, is_unique_violation
from scimd.db.prepared import Locking
from scimd.db.tables import groups
from scimd.org.ids import Chance, uuid7_head, uuid7_of
from scimd.org.lines import Line
from scimd.org.rulebook import RuleBook, RuleBooks
from scimd.org.settling.newcomers import Newcomers
from scimd.org.tokens.secrets import Keyring

T = TypeVar("T")
DoorName = Literal["scim", "sync", "web", "api", "cli", "job"]


@travels
@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it. ``name`` is what the audit shows: an address, a token's name, a source."""

    kind: Literal["person", "token", "source", "operator", "job", "system"]
    id: str
    name: str


class Claim(Protocol):
    """What a transaction takes before its body, or is refused (``org.idempotency``)."""

    def claim(self, tx: Tx) -> None: ...


class Proof(Protocol):
    """By what a caller was known, and asked once more in the transaction (``org.tokens.tokens.Shown``)."""

    def check(self, tx: Tx) -> None: ...


@travels
@dataclass(frozen=True, slots=True)
class Context:
    """On whose behalf a call comes, through which door, into which organization."""

    org_id: OrgId
    actor: Actor
    door: DoorName
    correlation_id: str
    #: The source that speaks: of a SCIM token, of a sync run.
    source_id: SourceId | None = None
    permissions: frozenset[str] = frozenset()
    #: The API token that was shown, where one was: it makes no other.
    api_token_id: TokenId | None = None
    #: The request's Idempotency-Key, which its first transaction takes.
    once: Claim | None = None
    #: Of a SCIM credential: what it opened when it was shown may be closed when the work is done.
    proof: Proof | None = None
    #: Of one of several calls of a request, which leave what they leave one after the other.
    in_turn: bool = False


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """What the door must know of the config; see ``config.Invitations`` and ``config.SignIn``."""

    invitation_valid_s: float = 7 * 86400.0
    set_password_valid_s: float = 3 * 3600.0
    mail_delay_s: float = 120.0
    mail_delay_at_most_s: float = 900.0
    session_idle_s: float = 1800.0
    session_absolute_s: float = 43200.0
    sign_in_attempts: int = 10
    #: Who must have one. Without a config nobody; the config's default is "managers".
    second_factor: SecondFactorPolicy = "nobody"
    #: Invitations by hand within an hour: of one actor, of one organization.
    invitations_per_actor: int = 500
    invitations_per_organization: int = 5000
    #: At most so many people are settled in the transaction that touches them.
    settle_at_once: int = 200


#: What a source's lists are of.
Listed: TypeAlias = Literal["user", "group"]


@dataclass(frozen=True, slots=True)
class Inviting:
    """``valid_s`` None: as the config says."""

    message: str | None = None
    valid_s: float | None = None


@dataclass(slots=True)
class Looked:
    """``unknown_named``: the source's count of that name, before the first look."""

    unknown_named: int
    names: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Tx:
    """What a body works with. Lives for one attempt of one call."""

    #: The connection, for statements that look at no row of somebody whom this body makes.
    beside: Connection
    ctx: Context
    now: datetime
    chance: Chance
    settings: DoorSettings
    keys: Keyring
    books: RuleBooks = field(default_factory=RuleBooks)
    #: People whose rows this transaction has locked already.
    locked: set[PersonId] = field(default_factory=set)
    #: People to settle when the body is done.
    touched: set[PersonId] = field(default_factory=set)
    #: Those of them who were not there before: no hand has given them anything yet.
    created: set[PersonId] = field(default_factory=set)
    #: Those of these whose rows are not written yet.
    newcomers: Newcomers = field(default_factory=Newcomers)
    #: Sign-in addresses that nobody held when this body looked, until anything is settled.
    free_addresses: set[str] = field(default_factory=set)
    #: Users as this body wrote them, to be answered without being read back; groups left out.
    shown: dict[PersonId, StoredUser] = field(default_factory=dict)
    #: Those of them who may lose something; where settling is put off, they come first.
    leaving: set[PersonId] = field(default_factory=set)
    #: Those of them whose groups, as SCIM shows them, changed.
    regrouped: set[PersonId] = field(default_factory=set)
    #: Those whom this body put into groups, since its source asserts them, or did.
    joined: set[PersonId] = field(default_factory=set)
    #: The documents that this body wrote: the owner's becomes the person's profile.
    profiles: dict[tuple[PersonId, SourceId], Keys] = field(default_factory=dict)
    #: Those whom it linked to a source that had never asserted them, or from which a hand had detached them.
    linked: set[PersonId] = field(default_factory=set)
    #: Those whom an admin made one with somebody else: who is kept keeps their address.
    merged: set[PersonId] = field(default_factory=set)
    #: Of ``profiles``, those that bring the address that the source gave before.
    same_address: set[tuple[PersonId, SourceId]] = field(default_factory=set)
    #: What to add to how many users and groups a source has, and how many came and went (``came``, ``went``).
    counts: Counter[tuple[SourceId, Listed]] = field(default_factory=Counter)
    moves: Counter[tuple[SourceId, Listed]] = field(default_factory=Counter)
    #: Names that this body looked for among those that groups wait for, and names that it has groups wait
    #: for, by source (``org.sources.source_counts``).
    looked: dict[SourceId, Looked] = field(default_factory=dict)
    unknown: dict[SourceId, set[str]] = field(default_factory=dict)
    #: How many people SCIM deactivated or deleted here, by source.
    departures: Counter[SourceId] = field(default_factory=Counter)
    #: Under the policy `reject`, these are refused rather than left waiting (docs/semantics.md).
    refuse_without_seat: set[PersonId] = field(default_factory=set)
    #: How the seat gate answers in this call; None: the organization's policy for SCIM, `hold` for sync.
    seat_policy: Policy | None = None
    #: Order among newcomers of this transaction: (source priority, rule number, external id) as text.
    places: dict[PersonId, str] = field(default_factory=dict)
    #: What a hand says with the invitation that settling opens.
    inviting: dict[PersonId, Inviting] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    #: The pool of seats as it was seen, and how many are still to be taken from it (``org.grants.seats``).
    pool_seen: PoolSeen | None = None
    seats_taken: int = 0
    #: Seats, or slots of what is limited, are free that others wait for: a promotion has to follow.
    seats_owed: bool = False
    #: This is such a promotion; it goes on by itself.
    promoting: bool = False
    #: Groups that an earlier try of this body met after people: locked before anybody now.
    groups_first: set[GroupId] = field(default_factory=set)
    #: The calls that share this transaction, where there are several (``org.together``).
    calls: Sequence[Context] = ()
    _book: RuleBook | None = None
    _speakers: dict[str, Context] = field(default_factory=dict)
    _said: dict[int, Context] = field(default_factory=dict)
    _head: str = ""
    _step: int = 0

    @property
    def conn(self) -> Connection:
        """The connection. Whoever is new is written first, so that any statement finds them."""
        if self.newcomers.waiting:
            self.newcomers.write_unsettled(self.beside)
        return self.beside

    @property
    def book(self) -> RuleBook:
        """What the organization decided. Ask after the body's own changes of it, not before."""
        if self._book is None:
            self._book = self.books.of(self.beside, self.org_id)
        return self._book

    def forget_book(self) -> None:
        """The body has changed what the organization decided: read it anew."""
        self._book = None

    @property
    def org_id(self) -> OrgId:
        return self.ctx.org_id

    def new_id(self) -> str:
        if not self._head:
            self._head = uuid7_head(self.now)
        return uuid7_of(self._head, self.chance.bytes(10))

    @property
    def step(self) -> int:
        """How far it takes whatever it raises: one for all, so that many rows go on in one statement."""
        if not self._step:
            self._step = self.chance.step()
        return self._step

    def came(self, source_id: SourceId, what: Listed, n: int) -> None:
        """So many more are in the source's list of users or groups."""
        self.counts[source_id, what] += n
        self.moves[source_id, what] += n

    def went(self, source_id: SourceId, what: Listed, n: int) -> None:
        """So many are in it no more."""
        self.counts[source_id, what] -= n
        self.moves[source_id, what] += n

    def looked_for(self, source_id: SourceId, unknown_named: int, names: Iterable[str]) -> None:
        """The body has looked which of these names groups of the source wait for."""
        self.looked.setdefault(source_id, Looked(unknown_named)).names.update(names)

    def touch(self, people: Iterable[PersonId]) -> None:
        self.touched.update(people)

    def concerns(self, call: int, ids: Iterable[str]) -> None:
        """What happens to these follows from this one of the transaction's calls, and from no other."""
        if len(self.calls) > 1:
            ctx = self.calls[call]
            for each in ids:
                if self._speakers.setdefault(each, ctx) is not ctx:
                    raise NotTogether

    def alone(self) -> None:
        """What follows is the work of one call: others could not be told apart from it."""
        if len(self.calls) > 1:
            raise NotTogether

    def order_matters(self) -> None:
        """What follows depends on which call came first, which matters to those of one request."""
        if len(self.calls) > 1 and self.calls[0].in_turn:
            raise NotTogether

    def check_proofs(self) -> None:
        """Raises NotAuthenticated where a caller's credential has died meanwhile."""
        for proof in {each.proof for each in self.calls or (self.ctx,)}:
            if proof is not None:
                proof.check(self)

    def whose(self, event: Event) -> Context:
        """From whose call an event follows: by its target, or the person whom the target is about."""
        if len(self.calls) < 2:
            return self.ctx
        ctx = (
            self._said.get(id(event))
            or self._speakers.get(event.target_id)
            or self._speakers.get((event.after or {}).get("person", ""))
        )
        if ctx is None:
            raise NotTogether
        return ctx

    def record(self, event: Event, call: int | None = None) -> None:
        """Owe the audit an entry; it is written in this transaction, with actor and correlation id.

        ``call``: the one of the transaction's calls from which it follows, whatever it is about.
        """
        self.events.append(event)
        if call is not None and len(self.calls) > 1:
            self._said[id(event)] = self.calls[call]


class NotTogether(Exception):
    """Several calls share the transaction, and something in it cannot be told to be one's alone."""


class AfterBody(Protocol):
    def __call__(self, tx: Tx) -> None: ...


class Promote(Protocol):
    def __call__(self, door: Door, org_id: OrgId) -> Awaitable[int]: ...


class Elsewhere(Protocol):
    """Another process that does calls for this one, together with those of others (``org.together``)."""

    def join(
        self, kind: str, ctx: Context, wish: Any, claims: Sequence[str], weight: int
    ) -> Awaitable[Any]: ...


_GROUPS = Locking(
    select(groups.c.id)
    .where(groups.c.org_id == bindparam("org_id"), one_of(groups.c.id))
    .order_by(groups.c.id)
)


def lock_groups(conn: Connection, org_id: OrgId, group_ids: Collection[GroupId]) -> None:
    """Lock these groups, in the order of their ids."""
    _GROUPS.wait(conn, {"org_id": org_id, "keys": group_ids})


class Door:
    """The only way to change an organization. Made once per process, in the composition root."""

    def __init__(
        self,
        db: Database,
        keys: Keyring,
        settings: DoorSettings,
        *,
        settle: AfterBody,
        write_events: AfterBody,
        promote: Promote | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        holder: str | None = None,
    ) -> None:
        self.db = db
        self.keys = keys
        self.settings = settings
        self.clock = clock
        self.holder = holder or secrets.token_hex(8)  # by which leases of this process are known
        self.books = RuleBooks()
        #: Calls that wait to be done together, by what they have in common (``org.together``).
        self.lines: dict[Hashable, Line[Any, Any]] = {}
        #: Who does them, if another process does.
        self.elsewhere: Elsewhere | None = None
        self._settle = settle
        self._write_events = write_events
        self._promote = promote

    async def run(
        self,
        ctx: Context,
        body: Callable[[Tx], T],
        *,
        then: Callable[[Tx, T], T] | None = None,
        timeout_s: float | None = None,
        short: bool = False,
    ) -> T:
        """Run one body in one transaction, settle, write the events, commit.

        ``then`` sees what settling made of the body's work, and gives the value that is returned.
        ``short``: see ``Database.write``.
        Raises whatever refusal the body, settling or the database raises; then nothing was changed.
        """
        now, chance = self.clock(), Chance()
        groups_first: set[GroupId] = set()
        tx: Tx | None = None

        def attempt(conn: Connection) -> T:
            nonlocal tx
            chance.rewind()
            tx = Tx(conn, ctx, now, chance, self.settings, self.keys, self.books, groups_first=groups_first)
            if groups_first:
                lock_groups(conn, ctx.org_id, groups_first)
            try:
                with log.about(ctx.correlation_id):  # this is another thread, or another process
                    if ctx.once is not None:
                        ctx.once.claim(tx)
                    value = body(tx)
                    tx.check_proofs()
                    self._settle(tx)
                    if then is not None:
                        value = then(tx, value)
                    self._write_events(tx)
            except IntegrityError as exc:
                # Somebody took the key since the body looked. Looking again gives the clean refusal.
                if is_unique_violation(exc):
                    raise LostRace from exc
                raise
            return value

        with log.about(ctx.correlation_id):  # the task may be one that does many calls
            value = await self.db.write(attempt, timeout_s=timeout_s, short=short)
        if tx is not None:
            await self._follow_up(tx)
        return value

    async def _follow_up(self, tx: Tx) -> None:
        """What the commit allows: the book is true now, and freed seats go to those who wait."""
        if tx._book is not None:
            self.books.keep(tx._book)
        if tx.seats_owed and not tx.promoting and self._promote is not None:
            try:
                await self._promote(self, tx.org_id)
            except Refusal:
                # The call itself is done and must not fail now; the job promotes within a minute.
                return

    async def read(self, body: Callable[[Connection], T], *, timeout_s: float | None = None) -> T:
        """Run one body on a snapshot that it cannot change."""
        return await self.db.read(body, timeout_s=timeout_s)

    async def note(self, body: Callable[[Connection], None]) -> None:
        """Write what a read leaves behind, such as when a session was last used, where it can be written."""
        with suppress(StorageFull, DatabaseUnavailable, Overloaded):  # a read needs no room on the disk
            await self.db.write(body)

    async def glance(self, body: Callable[[Connection], T], *, one: bool = False) -> T:
        """Read a few rows by their keys; see ``Database.glance``."""
        return await self.db.glance(body, one=one)
