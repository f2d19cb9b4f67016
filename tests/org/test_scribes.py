"""Entries of the request log that another process makes."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing import Pipe

from scimd.core.attributes import USER
from scimd.core.people import OrgId, SourceId, TokenId
from scimd.org import scribes
from scimd.org.request_entries import Seen, Speaker
from scimd.org.scribes import Far, Near
from scimd.org.secrets import Keyring

SCRIBE = scribes.scribe_of(Keyring([b"k" * 32]), "https://scimd.example.com", 65_536)
SPEAKER = Speaker(OrgId("o1"), TokenId("t1"), "token", SourceId("s1"), "okta", "default")
SEEN = Seen(
    at=datetime(2026, 1, 1, tzinfo=UTC),
    holder=None,
    token_hash=None,
    correlation_id="one-and-the-same",
    method="POST",
    target="/Users",
    status=201,
    duration_us=1000,
    request=b'{"userName":"dana@acme.com","password":"a secret","nickName":"D"}',
    response=b'{"id":"x","userName":"dana@acme.com"}',
    headers={"Content-Type": "application/scim+json"},
    transforms=(("quirk", "does"),),
    users=USER,
)
ASKED = [(replace(SEEN, correlation_id=f"request-{n}"), SPEAKER) for n in range(3)]


def near() -> Near:
    made = Near(SCRIBE)
    made.hurry()
    return made


def test_entries_are_the_same_wherever_they_are_made() -> None:
    ours, theirs = Pipe()
    other = threading.Thread(target=scribes.serve, args=(theirs, SCRIBE))
    other.start()
    far = Far(ours, near())
    assert far.made(ASKED) == far.made(ASKED) == near().made(ASKED)
    ours.close()
    theirs.close()
    other.join()


def test_where_the_other_process_is_gone_entries_are_made_here() -> None:
    ours, theirs = Pipe()
    theirs.close()
    far = Far(ours, near())
    assert far.made(ASKED) == far.made(ASKED) == near().made(ASKED)


def test_an_entry_that_cannot_be_made_keeps_no_other_out() -> None:
    broken = (replace(SEEN, target=None), SPEAKER)  # type: ignore[arg-type]
    assert near().made([broken, *ASKED]) == [None, *near().made(ASKED)]
