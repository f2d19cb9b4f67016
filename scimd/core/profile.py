"""What is known of somebody beside their access: name, work, contact, as the document about them says it.

The document is a source's or the person's own (SCIM's core, enterprise and scimd's own attributes). What
it does not say is None or empty; what it says in a form that nobody can show is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scimd.core.attributes import ENTERPRISE_URN, SCIMD_URN
from scimd.core.people import Document

_PLACE = ("streetAddress", "postalCode", "locality", "region", "country")


@dataclass(frozen=True, slots=True)
class Profile:
    """``employment_start`` as the source gives it; ``addresses`` on one line each."""

    given_name: str | None
    family_name: str | None
    title: str | None
    department: str | None
    employee_number: str | None
    employment_start: str | None
    emails: tuple[str, ...]
    phones: tuple[str, ...]
    addresses: tuple[str, ...]
    picture_url: str | None


def profile_of(document: Document) -> Profile:
    name, work, ours = (_part(document, key) for key in ("name", ENTERPRISE_URN, SCIMD_URN))
    return Profile(
        given_name=_text(name, "givenName"),
        family_name=_text(name, "familyName"),
        title=_text(document, "title"),
        department=_text(work, "department"),
        employee_number=_text(work, "employeeNumber"),
        employment_start=_text(ours, "employmentStart"),
        emails=_values(document, "emails"),
        phones=_values(document, "phoneNumbers"),
        addresses=tuple(filter(None, map(_on_one_line, _rows(document, "addresses")))),
        picture_url=next(iter(_values(document, "photos")), None),
    )


def _part(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = document.get(key)
    return found if isinstance(found, Mapping) else {}


def _text(part: Mapping[str, Any], key: str) -> str | None:
    found = part.get(key)
    return found if isinstance(found, str) and found else None


def _rows(document: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The values of a multi-valued attribute, the primary one first."""
    found = document.get(key)
    rows = [row for row in found if isinstance(row, Mapping)] if isinstance(found, list) else []
    return sorted(rows, key=lambda row: row.get("primary") is not True)


def _values(document: Mapping[str, Any], key: str) -> tuple[str, ...]:
    return tuple(text for row in _rows(document, key) if (text := _text(row, "value")))


def _on_one_line(row: Mapping[str, Any]) -> str:
    whole = _text(row, "formatted")
    return " ".join(whole.split()) if whole else ", ".join(filter(None, (_text(row, key) for key in _PLACE)))
