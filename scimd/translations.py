"""What scimd says to people, in their language: gettext catalogues, read once.

``scimd/locale/<language>/LC_MESSAGES/scimd.po`` is for translators, the ``.mo`` beside it is what runs;
``make catalogues`` writes the one from the other, and a test holds both and the templates in step.
English is what the templates say themselves.
"""

from __future__ import annotations

import gettext
from collections.abc import Callable
from functools import cache
from importlib.resources import files

import jinja2

from scimd.core.languages import ENGLISH, Language
from scimd.core.roles import BUILT_IN, PROJECT_RANKS


@cache
def catalogue(language: Language) -> gettext.NullTranslations:
    if language == ENGLISH:
        return gettext.NullTranslations()
    compiled = files("scimd").joinpath("locale", language, "LC_MESSAGES", "scimd.mo")
    with compiled.open("rb") as file:
        return gettext.GNUTranslations(file)


def say_in(language: Language) -> Callable[[str], str]:
    """The function that code calls ``_``, since that is what is looked for in it."""
    return catalogue(language).gettext


#: What scimd itself calls roles; an organization's own are called what it calls them.
ROLES = frozenset(role.label for role in BUILT_IN.values()) | frozenset(map(str, PROJECT_RANKS))


def role_in(language: Language) -> Callable[[str], str]:
    say = say_in(language)
    return lambda name: say(name) if name in ROLES else name


def install(environment: jinja2.Environment, language: Language) -> None:
    """Let templates say ``_("Hello %(name)s", name=…)``: what is filled in is escaped where HTML is."""
    environment.add_extension("jinja2.ext.i18n")
    said = catalogue(language)
    environment.install_gettext_callables(said.gettext, said.ngettext, newstyle=True)  # type: ignore[attr-defined]
    environment.filters["role_in_words"] = role_in(language)
    environment.globals["language"] = language
