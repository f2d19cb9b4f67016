"""An opened LDAP source: checks and full reads, each search in pages over a connection of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial

from connectors.entries import LOCKS
from connectors.ldap.config import LdapConfig
from connectors.ldap.read import Reading, Values
from connectors.ldap.session import Session
from connectors.ldap.wire import Connection, RawPage, Search
from connectors.referrals import Referrals
from scimd.connector_api import BadEntry, Capabilities, Checked, Deadline, End, Incomplete, Log, Page


class LdapSource:
    """Users come first, then groups; absence counts, since both searches must end with success."""

    def __init__(self, config: LdapConfig, log: Log, deadline: Deadline) -> None:
        self._config = config
        self._log = log
        self._deadline = deadline
        self._sessions: set[Session] = set()
        self._is_closed = False

    @property
    def capabilities(self) -> Capabilities:
        has_groups = self._config.group_base is not None
        return Capabilities(groups=has_groups, nested_groups=has_groups)

    async def check(self) -> Checked:
        """Connect, bind, and read one person and one group where there are any."""
        config, warnings = self._config, self._doubts()
        people = await self._first(self._people())
        if not people.entries:
            warnings.append(f"nobody below {config.user_base} fits {config.user_filter}")
        sample = Reading(config).user_page(people.entries)
        warnings += [f"{bad.name}: {bad.why}" for bad in sample.bad]
        groups = self._groups()
        if groups is not None and not (await self._first(groups)).entries:
            warnings.append(f"no group below {config.group_base} fits {config.group_filter}")
        warnings += [f"{bad.name}: {bad.why}" for bad in await self._unread()]
        who = config.bind_dn or "nobody in particular"
        return Checked(f"{config.url} lets {who} read {config.user_base}.", tuple(warnings))

    async def read(self, cursor: str | None) -> AsyncIterator[Page]:
        """Yield everything; a cursor, which this connector does not give, changes nothing."""
        reading, referrals = Reading(self._config), Referrals(self._config.ignored_referrals)
        if not self._config.is_encrypted:
            self._log.warning("ldap_in_clear_text", url=self._config.url)
        for search, make in ((self._people(), reading.user_page), (self._groups(), reading.group_page)):
            if search is None:
                continue
            # A connection for each: over databases glued to one tree, OpenLDAP 2.5 begins a search in pages
            # where the one before it on the connection ended, if that one's last page was full.
            async with (
                self._session() as session,
                aclosing(self._pages(session, search, make, referrals)) as pages,
            ):
                async for page in pages:
                    yield page
        yield Page(end=End(full=True))

    async def aclose(self) -> None:
        """End reads that are still under way; what they hold ends with them."""
        self._is_closed = True
        for session in tuple(self._sessions):
            await session.aclose()

    @asynccontextmanager
    async def _session(self) -> AsyncGenerator[Session]:
        """A connection that ``aclose`` ends, also while it is opened; none is opened any more after it."""
        if self._is_closed:
            raise Incomplete(f"{self._config.url}: the source was closed while it was read")
        session = Session(self._config, self._log, self._deadline)
        self._sessions.add(session)
        try:
            async with session:
                yield session
        finally:
            self._sessions.discard(session)

    async def _pages(
        self,
        session: Session,
        search: Search,
        make: Callable[[list[tuple[str, Values]]], Page],
        referrals: Referrals,
    ) -> AsyncGenerator[Page]:
        """Give the pages of one search as records; the entries are turned into them in the thread.

        A part of the directory that was not searched is a bad entry without an id: whoever is in it is
        not gone.
        """
        limit_s = self._config.page_timeout_s
        await session.run(lambda: session.connection.prove_base(search.base), limit_s)
        pages = session.connection.pages(search, self._config.page_size)

        def next_page() -> Page | None:
            raw = next(pages, None)
            if raw is None:
                return None
            page = make(raw.entries)
            return replace(page, bad=(*page.bad, *referrals.unread(raw.referrals, search.base)))

        while (page := await session.run(next_page, limit_s)) is not None:
            yield page

    async def _unread(self) -> list[BadEntry]:
        """Ask for referrals alone: a search names all those in its scope, whatever its filter is."""
        config, referrals = self._config, Referrals(self._config.ignored_referrals)

        def look(connection: Connection, base: str) -> list[BadEntry]:
            search = Search(base, "(objectClass=referral)", ("1.1",))
            pages = connection.pages(search, config.page_size)
            return [bad for raw in pages for bad in referrals.unread(raw.referrals, base)]

        found: list[BadEntry] = []
        async with self._session() as session:
            for base in filter(None, dict.fromkeys((config.user_base, config.group_base))):
                found += await session.run(partial(look, session.connection, base), config.page_timeout_s)
        return found

    async def _first(self, search: Search) -> RawPage:
        """Read the base and at most one entry below it.

        Over a connection of its own: the search is left at its first page, and a server may keep no
        other one open on the same connection (``nsslapd-maxsimplepaged-per-conn`` of 389 DS).
        """
        async with self._session() as session:

            def look() -> RawPage:
                session.connection.prove_base(search.base)
                return next(session.connection.pages(search, 1))

            return await session.run(look, self._config.page_timeout_s)

    def _people(self) -> Search:
        # uid: members of a posixGroup are named by it, whatever the mapping uses.
        wanted = (*self._config.user_attributes, self._config.id_attribute, "uid", *LOCKS)
        return Search(self._config.user_base, self._config.user_filter, tuple(dict.fromkeys(wanted)))

    def _groups(self) -> Search | None:
        config = self._config
        if config.group_base is None:
            return None
        wanted = ("*", config.id_attribute, config.group_name_attribute, *config.member_attributes)
        return Search(config.group_base, config.group_filter, tuple(dict.fromkeys(wanted)))

    def _doubts(self) -> list[str]:
        """Give what the settings alone make one wary of."""
        config, doubts = self._config, []
        if not config.is_encrypted:
            doubts.append(f"{config.url} is not encrypted: password and entries can be read and changed")
        if config.bind_dn is None:
            doubts.append("no bind_dn: what an anonymous bind may read is often less than all")
        if config.group_base is None:
            doubts.append("no group_base: groups are not read")
        return doubts
