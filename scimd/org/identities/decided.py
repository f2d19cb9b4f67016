"""Whose entries are, by the rules of matching and by what admins said where these do not tell.

Asked when a plan is made and again when it is applied, so that a plan shows what applying it does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sqlalchemy import Connection, select

from scimd.core.people import Keys, OrgId, PersonId
from scimd.core.sync.match import (
    Ambiguous,
    Candidates,
    Collides,
    Match,
    MatchRules,
    UserNameTaken,
    identify,
)
from scimd.db.among import among
from scimd.db.tables import assertions, people
from scimd.org.decisions import decisions
from scimd.org.decisions.decisions import DecisionKind
from scimd.org.identities import merged
from scimd.org.rulebook import SourceBook


def judged(
    conn: Connection,
    org_id: OrgId,
    source: SourceBook,
    entries: Sequence[Keys],
    gathered: Sequence[Candidates],
    rules: MatchRules,
) -> list[Match]:
    """``gathered``: the candidates of each entry, in order."""
    matches = [identify(keys, each, rules) for keys, each in zip(entries, gathered, strict=True)]
    # While it yields: whom a link by hand names is no question any more, and is asked no further.
    for n, decided in _answers(conn, org_id, source, entries, matches):
        matches[n] = identify(entries[n], replace(gathered[n], decided=decided), rules)
    return matches


def subject(source: SourceBook, keys: Keys) -> str:
    """What a question about an entry's person is about."""
    return f"{source.id} {keys.external_id or keys.user_name_key}"


def _answers(
    conn: Connection, org_id: OrgId, source: SourceBook, entries: Sequence[Keys], matches: Sequence[Match]
) -> Iterator[tuple[int, PersonId]]:
    """Where the rules do not say: what an admin said when the entry came before, or before it came."""
    if source.has_links:
        yield from _links_by_hand(conn, org_id, source, entries, matches)
    kinds: tuple[tuple[DecisionKind, type], ...] = (("collision", Collides), ("ambiguous", Ambiguous))
    for kind, type_ in kinds:
        open_ones = [n for n, match in enumerate(matches) if isinstance(match, type_)]
        subjects = [subject(source, entries[n]) for n in open_ones]
        found = decisions.answered(conn, org_id, kind, subjects)
        said = {each: decisions.person_meant(answer, facts) for each, (_, answer, facts) in found.items()}
        now = merged.present(conn, org_id, [each for each in said.values() if each])
        for n, each in zip(open_ones, subjects, strict=True):
            # The answer was about these people; of somebody else nobody was asked yet.
            person_id = now.get(said.get(each) or "")
            if person_id in _meant(matches[n]):
                yield n, person_id


def _links_by_hand(
    conn: Connection, org_id: OrgId, source: SourceBook, entries: Sequence[Keys], matches: Sequence[Match]
) -> Iterator[tuple[int, PersonId]]:
    """What an admin said of entries that this source does not assert yet (``org.identities.linking``)."""
    names = {
        n: [name for name in (keys.external_id, keys.user_name) if name]
        for n, keys in enumerate(entries)
        if not isinstance(matches[n], UserNameTaken)
    }
    subjects = {decisions.subject_of(source.id, name) for each in names.values() for name in each}
    answers = decisions.answered(conn, org_id, "link", sorted(subjects))
    said = {subject: facts["person_id"] for subject, (_, _, facts) in answers.items()}
    now = merged.present(conn, org_id, list(said.values()))
    free = _free(conn, org_id, source, list(now.values()))
    for n, each in names.items():
        for name in each:
            person_id = now.get(said.get(decisions.subject_of(source.id, name), ""))
            if person_id in free:
                yield n, person_id
                break


def _free(
    conn: Connection, org_id: OrgId, source: SourceBook, person_ids: Sequence[PersonId]
) -> set[PersonId]:
    """Those people among them who are there, and whom the source does not assert as another entry."""
    if not person_ids:
        return set()
    asserted = select(assertions.c.person_id).where(
        assertions.c.org_id == org_id,
        assertions.c.source_id == source.id,
        assertions.c.state == "live",
        among(conn, assertions.c.person_id, person_ids),
    )
    query = select(people.c.id).where(
        people.c.org_id == org_id,
        people.c.deleted_at.is_(None),
        people.c.kind == "person",  # an earlier version let a service account be linked
        among(conn, people.c.id, person_ids),
        people.c.id.not_in(asserted),
    )
    return {PersonId(each) for each in conn.execute(query).scalars()}


def _meant(match: Match) -> tuple[PersonId, ...]:
    match match:
        case Collides(person_id):
            return (person_id,)
        case Ambiguous(_, person_ids):
            return person_ids
        case _:
            return ()
