"""What the causes of a status are called; ``standing.CauseKind`` says what each is."""

from __future__ import annotations

from collections.abc import Mapping

WORDS: Mapping[str, str] = {
    "deleted": "deleted",
    "deactivated": "deactivated",
    "disabled": "disabled",
    "deprovisioned": "deprovisioned",
    "shadow": "known only to a source in shadow",
    "not_approved": "not approved yet",
    "no_project": "no project",
    "no_address": "no address to invite",
    "invitation_declined": "invitation declined",
    "invitation_expired": "invitation or link expired",
    "invitation_withdrawn": "invitation withdrawn",
    "waiting_for_seat": "waiting for a seat",
    "invited": "has not come in yet",
}


def words(cause: str) -> str:
    """``disabled:root@acme.example`` as "disabled", for whoever it keeps out: never by whom it was."""
    kind = cause.partition(":")[0]
    return WORDS.get(kind, kind.replace("_", " "))
