"""The words of notifications: a title, what happened, what to do. Figures and names come from ``told``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from scimd.core.languages import moment
from scimd.core.notifications import What
from scimd.org.mails.deliveries import Delivery
from scimd.translations import say_in

_MEND: Final = (
    "Fix the cause. A run without problems, a successful “scimd check” or “scimd source recover” ends the "
    "quarantine; after 28 days the source is paused."
)
WORDS: Final[Mapping[What, tuple[str, str, str]]] = {
    "held": (
        "%(organization)s: a plan of %(source)s waits for you",
        "Limits hold back %(held)s changes that were read from %(source)s: %(why)s.",
        "Look at the run and approve the plan, or fix the source: what waits is not applied until then.",
    ),
    "config_held": (
        "%(organization)s: a change of the config file is held",
        "What the config file changes (%(held)s) is held: %(why)s. What was before stays in force.",
        "Correct the file, raise the limits in it, or let through what they alone hold (scimd org accept).",
    ),
    "quarantined": (
        "%(organization)s: %(source)s is in quarantine",
        "%(source)s is in quarantine: %(why)s. It removes nobody, and is read less often.",
        _MEND,
    ),
    "quarantine_cause": (
        "%(organization)s: a new problem with %(source)s",
        "%(source)s is still in quarantine, now because: %(why)s.",
        _MEND,
    ),
    "quarantine_weekly": (
        "%(organization)s: %(source)s is still in quarantine",
        "%(source)s has been in quarantine for %(weeks)s of 4 weeks: %(why)s.",
        _MEND,
    ),
    "quarantine_paused": (
        "%(organization)s: %(source)s is paused",
        "%(source)s was in quarantine for 28 days and is paused: %(why)s. It is not read any more.",
        "Fix the cause, then run “scimd source recover”: the source is read again at once.",
    ),
    "quarantine_left": (
        "%(organization)s: %(source)s has recovered",
        "%(source)s has left quarantine. The cause was: %(why)s.",
        "There is nothing to do.",
    ),
    "token_expires": (
        "%(organization)s: the token %(name)s expires soon",
        "The token %(name)s (%(source)s) expires on %(ends)s. Days left: %(days)s at most.",
        "Rotate it and give the new one to whoever uses it. Whatever uses this one after that is refused.",
    ),
    "seats_nearly_full": (
        "%(organization)s: 90 %% of the seats are taken",
        "%(used)s of %(limit)s seats are taken.",
        "Free seats or get more before newcomers have to wait.",
    ),
    "seats_full": (
        "%(organization)s: all seats are taken",
        "%(used)s of %(limit)s seats are taken. Newcomers wait, or are refused.",
        "Free seats or get more: those who have waited longest get them automatically.",
    ),
    "seats_over_limit": (
        "%(organization)s: more seats are taken than there are",
        "%(used)s of %(limit)s seats are taken, since a push may go above the limit.",
        "Get more seats, free some, or let pushes wait at the limit (scimd org set --seats-on-scim hold).",
    ),
    "silent_source": (
        "%(organization)s: %(source)s was not read",
        "%(source)s was last read successfully on %(last)s: two runs have been missed since.",
        "Check whether the worker runs, and what the last runs say.",
    ),
    "silent_push": (
        "%(organization)s: %(source)s is silent",
        "The identity provider of %(source)s last sent a request on %(last)s.",
        "Check there whether provisioning still runs. Anyone who has left since then still has access here.",
    ),
    "failed": (
        "%(organization)s: runs of %(source)s fail",
        "The last %(failures)s runs of %(source)s failed; nothing was changed by them.",
        "The newest run says why. It is tried again automatically.",
    ),
    "alarm": (
        "%(organization)s: many people were deactivated by %(source)s",
        "%(source)s deactivated or deleted %(left)s of %(people)s people in an hour, more than %(limit)s.",
        "If that was not meant: stop provisioning there first. All of them can be restored.",
    ),
}
#: Above the reason that every notification gives last.
WHY: Final = (
    "You are receiving this mail because the configuration of %(organization)s names your address for it."
)


def words(delivery: Delivery, at: str) -> dict[str, str]:
    """What the template shows, in the delivery's language."""
    told = delivery.told
    values: dict[str, Any] = {**told, "organization": delivery.organization}
    for name in ("ends", "last"):
        if name in told:
            values[name] = moment(datetime.fromisoformat(told[name]), delivery.language)
    if "happened" in told:
        at = moment(datetime.fromisoformat(told["happened"]), delivery.language)
    values["why"] = str(told.get("why", "")).rstrip(".")
    say = say_in(delivery.language)
    title, what, advice = (say(text) % values for text in WORDS[told["what"]])
    return {"title": title, "happened": what, "advice": advice, "why": say(WHY) % values, "at": at}
