"""The languages that people are written to in: which one it is, and what a moment is called in it.

What is said stands in the templates; its German in ``scimd/locale``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, get_args

Language = Literal["en", "de"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
#: The templates' own: it needs no catalogue, and is what remains where nothing else fits.
ENGLISH: Final[Language] = "en"

_WISHES_AT_MOST = 500
_WISH = re.compile(r"([a-z]{1,8})(?:-[a-z0-9-]{1,40})?(?:\s*;\s*q\s*=\s*([01](?:\.\d{0,3})?))?")
_DAYS: Mapping[Language, Sequence[str]] = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "de": ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"),
}
_MONTHS: Mapping[Language, Sequence[str]] = {
    "en": ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December"),
    "de": ("Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober",
           "November", "Dezember"),
}  # fmt: skip


def language_of(tag: object, otherwise: Language = ENGLISH) -> Language:
    """The language of a setting; ``otherwise`` where it is none of ours."""
    return next((known for known in LANGUAGES if known == tag), otherwise)


def wished(text: object, otherwise: Language) -> Language:
    """The best of ours that somebody wishes for; ``otherwise`` where they wish for none of them.

    ``text`` is an Accept-Language (RFC 9110 §12.5.4), which ``preferredLanguage`` is too (RFC 7643
    §4.1.1). What is not one is passed over: it comes from strangers, and decides nothing else.
    """
    if not isinstance(text, str):
        return otherwise
    best: tuple[float, Language] = (0.0, otherwise)
    for part in text[:_WISHES_AT_MOST].lower().split(","):
        wish = _WISH.fullmatch(part.strip())
        for known in LANGUAGES:
            if wish and wish[1] == known and float(wish[2] or 1) > best[0]:
                best = (float(wish[2] or 1), known)
    return best[1]


def moment(at: datetime, language: Language) -> str:
    """Day and time in words, in UTC: "Monday, 9 March 2026, 09:00 UTC"."""
    at = at.astimezone(UTC)
    day, month = _DAYS[language][at.weekday()], _MONTHS[language][at.month - 1]
    match language:
        case "en":
            return f"{day}, {at.day} {month} {at.year}, {at:%H:%M} UTC"
        case "de":
            return f"{day}, {at.day}. {month} {at.year}, {at:%H:%M} Uhr UTC"


_UNITS: Mapping[Language, Sequence[tuple[str, str]]] = {
    "en": (("day", "days"), ("hour", "hours"), ("minute", "minutes")),
    "de": (("Tag", "Tage"), ("Stunde", "Stunden"), ("Minute", "Minuten")),
}


def span(length: timedelta, language: Language) -> str:
    """How long, by the largest unit that fits twice, or once and no less: "7 days", "3 hours"."""
    seconds = max(length.total_seconds(), 60)
    for size, names in zip((86_400, 3_600, 60), _UNITS[language], strict=True):
        number = round(seconds / size)
        if seconds >= 2 * size or seconds == size or size == 60:
            return f"{number} {names[0] if number == 1 else names[1]}"
    raise AssertionError("a minute fits always")
