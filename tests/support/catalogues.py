"""The msgids that scimd says, and ``.mo`` files made of ``.po`` files.

``python -m tests.support.catalogues`` (``make catalogues``) writes each ``.mo`` anew. Reads the plain form
of ``.po`` that the catalogues are kept in: ``msgid``, ``msgid_plural``, ``msgstr``, continued lines.
"""

from __future__ import annotations

import ast
import re
import struct
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

from scimd.core import causes
from scimd.core.errors import WeakPassword
from scimd.core.languages import ENGLISH, LANGUAGES, Language
from scimd.org.authentication import passwords
from scimd.outbox import notification
from scimd.outbox.mail import templates as mail_templates
from scimd.translations import ROLES
from scimd.web import dead_links, invitations, sign_in
from scimd.web.pages import templates as page_templates

PAGES = ("invitation.html", "decline.html", "message.html", "narrow.html", "shell.html")
#: A msgid, or the singular and the plural of one.
Message = str | tuple[str, str]
#: Why somebody who accepted cannot come in; an unknown one is said as it is.
CAUSES = tuple(causes.WORDS.values())


def folder(language: Language) -> Path:
    return Path(str(files("scimd"))) / "locale" / language / "LC_MESSAGES"


# ------------------------------------------------------------------------------ what is said


def said() -> set[Message]:
    """Every msgid in templates and code."""
    found: set[Message] = set(CAUSES) | ROLES | {notification.WHY}
    found |= {text for row in notification.WORDS.values() for text in row}
    found |= {WeakPassword.advice, *passwords.WHY}
    found |= {text for row in invitations.CLOSED.values() for text in row}
    for module in (dead_links, invitations, sign_in):
        found |= set(_of_code(Path(module.__file__)))
    environment = mail_templates(ENGLISH)
    for name in environment.list_templates():
        found |= set(_of_template(environment, name))
    for name in PAGES:
        found |= set(_of_template(page_templates(ENGLISH), name))
    return found


def _of_template(environment: object, name: str) -> Iterator[Message]:
    source = environment.loader.get_source(environment, name)[0]  # type: ignore[attr-defined]
    for _line, function, message in environment.extract_translations(source):  # type: ignore[attr-defined]
        if function == "ngettext":
            singular, plural = message[:2]
            yield singular, plural
        else:
            yield message if isinstance(message, str) else message[0]


def _of_code(path: Path) -> Iterator[str]:
    """What is given to ``_``, or to ``say_in(…)`` at once."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        at_once = isinstance(node.func, ast.Call) and getattr(node.func.func, "id", "") == "say_in"
        if name == "_" or at_once:
            yield str(node.args[0].value)


# ------------------------------------------------------------------------------ .po and .mo


def read(po: str) -> dict[Message, tuple[str, ...]]:
    """msgid → msgstr, or the strings of its plural forms. Raises ValueError for a line that is neither."""
    found: dict[Message, tuple[str, ...]] = {}
    for block in re.split(r"\n\s*\n", po.strip()):
        fields: dict[str, str] = {}
        at = ""
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            match = re.fullmatch(r'(?:(msgid|msgid_plural|msgstr(?:\[\d\])?) )?(".*")', line)
            if match is None:
                raise ValueError(f"not a line of a catalogue: {line}")
            at = match[1] or at
            fields[at] = fields.get(at, "") + ast.literal_eval(match[2])
        message: Message = fields["msgid"]
        if "msgid_plural" in fields:
            message = (fields["msgid"], fields["msgid_plural"])
        if message in found:
            raise ValueError(f"twice: {message}")
        found[message] = tuple(text for name, text in fields.items() if name.startswith("msgstr"))
    return found


def compiled(catalogue: Mapping[Message, tuple[str, ...]]) -> bytes:
    """The ``.mo`` of a catalogue: the header, two tables of lengths and offsets, the strings (GNU gettext
    manual, "The Format of GNU MO Files")."""
    rows = sorted(
        ("\0".join((message,) if isinstance(message, str) else message).encode(), "\0".join(texts).encode())
        for message, texts in catalogue.items()
    )
    count, at = len(rows), 28 + 16 * len(rows)
    tables, strings = [b"", b""], b""
    for column in (0, 1):
        for row in rows:
            tables[column] += struct.pack("<II", len(row[column]), at + len(strings))
            strings += row[column] + b"\0"
    header = struct.pack("<IIIIIII", 0x950412DE, 0, count, 28, 28 + 8 * count, 0, 0)
    return header + tables[0] + tables[1] + strings


def main() -> None:
    for language in LANGUAGES:
        if language != ENGLISH:
            at = folder(language)
            catalogue = read((at / "scimd.po").read_text("utf-8"))
            (at / "scimd.mo").write_bytes(compiled(catalogue))


if __name__ == "__main__":
    main()
