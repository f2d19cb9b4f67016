"""Catalogues, templates and code say the same; dates and wishes (I2)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimd.core.languages import ENGLISH, LANGUAGES, Language, moment, span, wished
from scimd.translations import catalogue, role_in
from tests.support import catalogues

OTHERS = [language for language in LANGUAGES if language != ENGLISH]
#: What is filled in, and a percent sign that stands for itself.
FILLED = re.compile(r"%\(\w+\)s|%%|%")


def _po(language: Language) -> dict[catalogues.Message, tuple[str, ...]]:
    return catalogues.read((catalogues.folder(language) / "scimd.po").read_text("utf-8"))


@pytest.mark.parametrize("language", OTHERS)
def test_catalogue_has_what_templates_and_code_say_and_nothing_else(language: Language) -> None:
    known = set(_po(language)) - {""}
    said = catalogues.said()
    assert said - known == set(), "add them, then: make catalogues"
    assert known - said == set(), "nothing says these any more"


@pytest.mark.parametrize("language", OTHERS)
def test_compiled_catalogue_is_made_of_the_readable_one(language: Language) -> None:
    compiled = (catalogues.folder(language) / "scimd.mo").read_bytes()
    assert compiled == catalogues.compiled(_po(language)), "run: make catalogues"


@pytest.mark.parametrize("language", OTHERS)
def test_every_translation_says_something_and_fills_in_the_same(language: Language) -> None:
    for message, texts in _po(language).items():
        if message == "":
            continue
        original = message if isinstance(message, str) else message[1]
        for text in texts:
            assert text.strip(), message
            assert sorted(FILLED.findall(text)) == sorted(FILLED.findall(original)), message


def test_gettext_reads_what_was_compiled() -> None:
    german = catalogue("de")
    assert german.gettext("Decline") == "Ablehnen"
    plural = ("and %(num)s more project", "and %(num)s more projects")
    assert german.ngettext(*plural, 1) == "und %(num)s weiteres Projekt"
    assert german.ngettext(*plural, 2) == "und %(num)s weitere Projekte"


def test_roles_of_an_organization_s_own_are_called_what_it_calls_them() -> None:
    said = role_in("de")
    assert [said(name) for name in ("member", "Account Admin", "Project", "100 %", "")] == [
        "Mitglied",
        "Account-Admin",
        "Project",
        "100 %",
        "",
    ]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("de", "de"),
        ("de-AT", "de"),
        ("DE-ch, en;q=0.5", "de"),
        ("en;q=0.4, de;q=0.5", "de"),
        ("fr, en;q=0.2", "en"),
        ("en, de", "en"),
        ("de;q=0, en;q=0.1", "en"),
        ("fr", "de"),
        ("", "de"),
        (None, "de"),
        (["en"], "de"),
        ("en_US", "de"),
        ("*", "de"),
    ],
)
def test_best_of_our_languages_is_chosen_else_the_organization_s(text: object, language: Language) -> None:
    assert wished(text, "de") == language


@given(st.text(max_size=2000))
def test_no_wish_of_a_stranger_is_an_error(text: str) -> None:
    assert wished(text, "de") in LANGUAGES


def test_moments_are_said_in_words() -> None:
    at = datetime(2026, 3, 9, 9, 5, tzinfo=UTC)
    assert moment(at, "en") == "Monday, 9 March 2026, 09:05 UTC"
    assert moment(at, "de") == "Montag, 9. März 2026, 09:05 Uhr UTC"


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(days=7), "7 days"),
        (timedelta(days=7) - timedelta(minutes=2), "7 days"),
        (timedelta(days=1), "1 day"),
        (timedelta(hours=30), "30 hours"),
        (timedelta(hours=3), "3 hours"),
        (timedelta(minutes=90), "90 minutes"),
        (timedelta(seconds=20), "1 minute"),
        (timedelta(days=-1), "1 minute"),
    ],
)
def test_spans_are_said_by_the_unit_that_fits(length: timedelta, words: str) -> None:
    assert span(length, "en") == words


def test_one_day_is_one_in_german_too() -> None:
    assert span(timedelta(days=1), "de") == "1 Tag"
    assert span(timedelta(days=2), "de") == "2 Tage"
