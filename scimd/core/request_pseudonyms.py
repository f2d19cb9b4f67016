"""A SCIM request and its answer with pseudonyms for values, and everything else as it was sent.

Kept: the names of attributes, paths, operators, schema URNs, booleans, ``op``, the words that the
attribute table knows (``work``, ``direct``), counts, scimd's own sentences. A password has no
pseudonym at all. A body that is no JSON is kept as its shape alone.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

import orjson

from scimd.core.attributes import COMMON, KINDS, Attribute, ResourceKind
from scimd.core.catalogue import ENTRA_APP_ROLE
from scimd.core.endpoints import BULK_ID, ENDPOINTS, plus_as_meant
from scimd.core.people import fold
from scimd.core.pseudonyms import Pseudonyms
from scimd.core.request_texts import WORD, Piece, depth, exchanged, shape, words_of
from scimd.core.resource import PARAMETERS
from scimd.core.standing import CauseKind
from scimd.core.unquoted import unquoted

#: What stands for every password.
PASSWORD: Final = "(password)"  # noqa: S105
#: The one key of a body that was no JSON; its value is the body's shape.
MALFORMED: Final = "malformed"

_NAMES_KNOWN = 2_000

_DEEPEST = 32
_WRITTEN = 4
_SECRET = re.compile(r"passw|pwd|secret|passcode", re.IGNORECASE)
_NAME = re.compile(r"\$?[A-Za-z][A-Za-z0-9_-]{0,39}")
_URN = re.compile(r"urn:[A-Za-z0-9][A-Za-z0-9-]{0,31}:[A-Za-z0-9:._-]{1,120}", re.IGNORECASE)
_KNOWN_URNS = ("urn:ietf:params:scim:", "http://schemas.microsoft.com/2006/11/resourcemanagement/adscim/")
_LEXEME = re.compile(r""""(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'|[()\[\]]|[^\s()\[\]"]+|\s+""", re.DOTALL)
_COMPARES = frozenset(("eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"))
_JOINS = frozenset(("and", "or", "not"))
_OPERATES = _COMPARES | {"pr"}
_COUNTS = frozenset(("totalresults", "itemsperpage", "startindex", "count", "failonerrors"))
_NAMES = frozenset(("attributes", "excludedattributes", "sortby"))
_READ_BY_KEY = frozenset(("schemas", "causes"))
_STATUS = re.compile(r"[1-5]\d\d")
#: What ``meta`` says, as scimd makes it (``core.resource``); what a client sends there may be anything.
_TAG = re.compile(r'W/"[0-9]{1,20}-[0-9]{1,20}"')
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)?", re.ASCII)
_TYPES = re.compile(r"User|Group|Role|Entitlement|Schema|ResourceType|ServiceProviderConfig")
_META = {"created": _TIME, "lastmodified": _TIME, "resourcetype": _TYPES, "version": _TAG}
_VERBS = frozenset(
    re.findall(
        r"\w+",
        "add remove replace get post put patch delete ascending descending invalidfilter toomany uniqueness "
        "mutability invalidsyntax invalidpath notarget invalidvalue invalidvers sensitive invalidcursor "
        "expiredcursor invalidcount",
    )
)
_MESSAGES = "urn:ietf:params:scim:api:messages:"
_IS_EXPRESSION = re.compile(r"\[|\s(?:eq|ne|co|sw|ew|gt|ge|lt|le|pr)\b", re.IGNORECASE)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_WHO = re.compile(r"^(?P<a>.+)(?= cannot be deactivated)|(?<=invited\)\. )(?P<b>.+)(?= was not )")
#: No sentence of scimd's is longer. What a client sends in the place of one is a value.
_SENTENCE = 2_000
#: An address begins where a word does: elsewhere none is looked for to the word's end.
_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_ADDRESS = re.compile(rf"(?<![^\s'\"])[^\s'\"]+@[^\s'\"]+|{_UUID}")
_CAUSES = frozenset(CauseKind)
_PARAMETERS = {name.lower(): name for name in PARAMETERS}


def canonical_words(kinds: Iterable[ResourceKind] = KINDS) -> Iterator[str]:
    """The values that attributes name themselves, and profiles write, which are no person's."""
    yield ENTRA_APP_ROLE
    for row in _rows(kinds):
        yield from row.canonical


def _rows(kinds: Iterable[ResourceKind]) -> Iterator[Attribute]:
    for kind in kinds:
        for schema in (COMMON, kind.schema, *kind.extensions):
            for row in schema.attributes:
                yield row
                yield from row.sub


class RequestPseudonyms:
    """One organization's pseudonyms, for requests about resources of ``kinds``.

    ``base_url``: scimd's own address, which is kept where it stands in front of a value.
    """

    def __init__(self, pseudonyms: Pseudonyms, base_url: str, kinds: Iterable[ResourceKind] = KINDS) -> None:
        kinds = tuple(kinds)
        self._of = pseudonyms
        self._base = base_url
        #: As strings begin that are not one value as a whole.
        self._apart = (BULK_ID, "{", base_url) if base_url else (BULK_ID, "{")
        self._known = (
            {row.name.lower() for row in _rows(kinds)} | _OPERATES | _JOINS | {"null", "true", "false"}
        )
        self._numbers = {row.name.lower() for row in _rows(kinds) if row.type in ("integer", "decimal")}
        self._known |= {each.id.lower() for kind in kinds for each in (kind.schema, *kind.extensions)}
        urns = " ".join(each for each in self._known if ":" in each)
        #: Words that scimd's sentences have of its own, though a request may have them too.
        self._spoken = self._known | _VERBS | _PARAMETERS.keys() | set(WORD.findall(urns))
        self._spoken |= _ENDPOINTS
        self._messages: dict[str, Callable[[str], str]] = {
            "op": self._verb,
            "method": self._verb,
            "scimtype": self._verb,
            "sortorder": self._verb,
            "status": self._verb,
            "path": self.path,
            "filter": self.expression,
            "detail": self.sentence,
            "bulkid": pseudonyms.text,
            "attributes": self.names,
            "excludedattributes": self.names,
            "sortby": self.names,
        }
        #: Of the request at hand: what it said, and the names that were kept of it.
        self._heard: list[Any] = []
        #: The words of it that are no sentence's own; None where something was heard since.
        self._said: set[str] | None = None
        self._names: set[str] = set()
        self._secrets: set[str] = set()
        self._known_names: dict[str, tuple[bool, str | None, str]] = {}

    def begin(self) -> None:
        """Another request: what the last one said may stand in scimd's sentences no more."""
        self._heard.clear()
        self._said = None
        self._names.clear()
        self._secrets.clear()

    def heard(self, *texts: str) -> None:
        """Texts of this request whose words may stand in scimd's sentences, too."""
        self._hear(list(texts))

    def _hear(self, value: Any) -> None:
        self._heard.append(value)
        self._said = None

    # ------------------------------------------------------------------------------ bodies

    def body(self, raw: bytes, *, message: bool = False, answer: bool = False) -> tuple[bytes, Any]:
        """A body with pseudonyms, as JSON, and the body as it was parsed (None for no JSON).

        ``message``: it is a PatchOp, a search or a bulk request, whether it says so or not. ``answer``:
        scimd made it, so that its words are not what the request said.
        """
        try:
            parsed = orjson.loads(raw.removeprefix(BOM_UTF8))
        except (orjson.JSONDecodeError, RecursionError):
            parsed = None
        deep = raw.count(b"{") + raw.count(b"[") > _DEEPEST
        if parsed is None or (deep and depth(parsed, _DEEPEST) > _DEEPEST):
            return orjson.dumps({MALFORMED: shape(raw)}), None
        if not answer:
            self._hear(parsed)
        return orjson.dumps(self.document(parsed, "operations" if message else "")), parsed

    def document(self, value: Any, key: str = "") -> Any:
        """A JSON value that stands under a key; ``operations`` is the key of protocol messages."""
        if isinstance(value, str):
            return self._string(value, key)
        if isinstance(value, dict):
            if key == "operations" or ("schemas" in value and _is_message(value)):
                return self._message(value, key)
            return self._object(value, key)
        if isinstance(value, list):
            return [self.document(each, key) for each in value]
        if value is None or isinstance(value, bool) or key in _COUNTS:
            return value
        return self._of.number(value)

    def _object(self, value: dict[str, Any], key: str) -> dict[str, Any]:
        """Nearly all that is in bodies: strings whose pseudonyms are known, called without a detour."""
        made: dict[str, Any] = {}
        text, apart = self._of.text, self._apart
        for name, each in value.items():
            hidden, masked, low = self._named(name)
            if hidden:
                made[masked] = self._hide(each)
            elif type(each) is not str:
                made[masked] = self.document(each, low)
            elif key == "meta" and _is_own(low, each):
                made[name] = each
            elif low in _READ_BY_KEY or each.startswith(apart):
                made[masked] = self._string(each, low)
            else:
                made[masked] = text(each)
        return made

    def _message(self, value: dict[str, Any], key: str) -> dict[str, Any]:
        secret = any(
            name.lower() == "path" and isinstance(each, str) and _SECRET.search(each)
            for name, each in value.items()
        )
        made: dict[str, Any] = {}
        for name, each in value.items():
            hidden, masked, low = self._named(name)
            if hidden or (secret and low == "value"):
                made[masked] = self._hide(each)
            elif (key == "meta" or low == "version") and _is_own(low, each):
                made[name] = each
            elif low in self._messages and isinstance(each, str):
                made[name] = self._messages[low](each)
            elif low in _NAMES and isinstance(each, list):
                made[name] = [self.names(one) if isinstance(one, str) else self.document(one) for one in each]
            elif low == "data" and isinstance(each, list):
                made[name] = self.document(each, "operations")
            else:
                made[masked] = self.document(each, low)
        return made

    def _hide(self, value: Any) -> str | None:
        """What stands for a secret; its words stand in no sentence either."""
        self._secrets.update(words_of(value))
        return None if value is None else PASSWORD

    def _named(self, name: str) -> tuple[bool, str, str]:
        """Whether a key is a secret's, what it is called here, and in lower case; known for names alone."""
        known = self._known_names.get(name)
        if known is None:
            plain = _NAME.fullmatch(name) is not None
            known = _SECRET.search(name) is not None, name if plain else None, name.lower()
            if len(self._known_names) < _NAMES_KNOWN:
                self._known_names[name] = known
        hidden, kept, low = known
        if kept is None:
            return hidden, self.name(name), low
        self._names.add(kept)
        return known  # type: ignore[return-value]  # it has a name

    def _string(self, value: str, key: str) -> str:
        if key == "schemas":
            return self.urn(value)
        if value.startswith(BULK_ID):
            return BULK_ID + self._of.text(value.removeprefix(BULK_ID))
        if key == "causes" and (cause := value.partition(":"))[0] in _CAUSES:
            return cause[0] + cause[1] + self._of.text(cause[2])
        return self._written(value) or self.url(value)

    def _written(self, text: str) -> str | None:
        """An object that is written into a string, as Entra does with roles; None for any other text."""
        if not text.startswith("{"):
            return None
        try:
            told = orjson.loads(text)
        except orjson.JSONDecodeError:
            return None
        return orjson.dumps(self.document(told)).decode() if depth(told, _WRITTEN) <= _WRITTEN else None

    def _verb(self, text: str) -> str:
        """A word of the protocol: kept where it is one."""
        return text if text.lower() in _VERBS or _STATUS.fullmatch(text) else self._of.text(text)

    # ------------------------------------------------------------------------------ names, paths

    def name(self, name: str) -> str:
        """An attribute's name, or a path that stands for one; anything else is a value."""
        if _NAME.fullmatch(name):
            return self._kept(name)
        return self._of.text(name) if " " in name and "[" not in name else self.expression(name)

    def _kept(self, name: str) -> str:
        self._names.add(name)
        return name

    def names(self, text: str) -> str:
        return ",".join(self.name(each.strip()) for each in text.split(","))

    def urn(self, text: str) -> str:
        known = _URN.fullmatch(text) or text.lower().startswith(_KNOWN_URNS)
        return text if known else self._of.text(text)

    def path(self, text: str) -> str:
        """PATCH's path of an attribute, or the address that a bulk operation names."""
        return self.address(text) if text.startswith("/") else self.expression(text)

    def expression(self, text: str) -> str:
        """A filter or a path: its values have pseudonyms, quoted or not.

        What is no known name counts as one only where a name may stand: at the beginning, behind a selection
        (``].value``), or in front of an operator. Behind an operator everything is a value, brackets or not.
        Behind a value without quotes, whose text may go on with ``and`` or ``or``, only a known name is one.
        """
        whole = unquoted(text)
        if whole is not None:
            between = text[len(whole.path) : -len(whole.value)]
            path = self._compared_name(whole.path)
            return path + between + self._compared(whole.value, whole.path.lower())
        made: list[str] = []
        lexemes = _LEXEME.findall(text)
        about, around = "", list[str]()  # whose value is awaited; the same, outside of each selection
        opens, compared = True, False  # whether a name may come; an operator has come since the last one
        awaited = False  # whether only a value may come, which may be a word that joins elsewhere
        bare = False  # whether a value had no quotes, and was no word or number of JSON
        for place, lexeme in enumerate(lexemes):
            low = lexeme.lower()
            if lexeme[0] == '"' or (lexeme[0] == lexeme[-1] == "'"):
                opens = awaited = False
                made.append(self._compared(lexeme, about))
            elif lexeme.isspace() or lexeme in "()":
                made.append(lexeme)
            elif lexeme == "[":
                if not opens and not compared:
                    around.append(about)
                    opens = True
                made.append(lexeme)
            elif lexeme == "]":
                if around:
                    about, compared = around.pop(), False
                    opens = _follows(lexemes, place).startswith(".")
                made.append(lexeme)
            elif low in _JOINS and not awaited and (opens or low != "not"):
                opens = True
                made.append(lexeme)
            elif opens and (low in self._known or place == 0 or (not bare and _names(lexemes, place))):
                opens, compared = False, False
                about = f"{around[-1]}.{low}" if around else low
                made.append(self._compared_name(lexeme))
            elif low in _OPERATES and not opens and not compared:
                compared, awaited = True, low in _COMPARES
                made.append(lexeme)
            else:
                opens = awaited = False
                bare = bare or not _is_literal(lexeme)
                made.append(self._compared(lexeme, about))
        return "".join(made)

    def _compared(self, lexeme: str, about: str) -> str:
        """A value that is compared with an attribute; scimd's own times are nobody's."""
        if _SECRET.search(about):
            self._hide(lexeme)
            return f'"{PASSWORD}"' if lexeme.startswith('"') else PASSWORD
        of, _, name = about.replace(":", ".").rpartition(".")
        if lexeme.startswith('"'):
            return self._quoted(lexeme, name, of)
        return self._literal(lexeme, name)

    def _compared_name(self, text: str) -> str:
        return text if text.lower() in self._known else self._attribute(text)

    def _attribute(self, text: str) -> str:
        """``urn:…:User:name.sub`` and ``.sub`` as sent, where every part is fit to be a name."""
        head, colon, rest = text.rpartition(":")
        if colon and self.urn(head) != head:
            return self._of.text(text)
        fit = all(_NAME.fullmatch(each) for each in rest.split(".") if each) or (
            colon and _URN.fullmatch(text)
        )
        return self._kept(text) if fit else head + colon + self._of.text(rest)

    def _quoted(self, lexeme: str, name: str, of: str) -> str:
        try:
            value: str = orjson.loads(lexeme)
        except orjson.JSONDecodeError:
            return self._of.text(lexeme)
        made = value if of == "meta" and _is_own(name, value) else self._string(value, name)
        return orjson.dumps(made).decode()

    def _literal(self, text: str, name: str) -> str:
        if text.lower() in ("true", "false", "null"):
            return text
        try:
            value = orjson.loads(text) if name in self._numbers else text
        except orjson.JSONDecodeError:
            return self._of.text(text)
        return (
            self._of.text(text) if isinstance(value, str) else orjson.dumps(self._of.number(value)).decode()
        )

    # ------------------------------------------------------------------------------ addresses

    def url(self, text: str) -> str:
        """A value; below scimd's own address only the ids are exchanged."""
        if self._base and text.startswith(self._base):
            return self._base + self.address(text[len(self._base) :])
        return self._of.text(text)

    def address(self, text: str) -> str:
        """``/Users/<id>?filter=…`` below the base."""
        path, mark, query = text.partition("?")
        head, stands_for_id, bulk_id = path.partition(BULK_ID)
        parts = [unquote(each) for each in head.split("/")]
        if stands_for_id:
            parts[-1] += stands_for_id + bulk_id
        made = "/".join(map(self.segment, parts))
        return made + (f"?{self.query(query)}" if mark else "")

    def segment(self, text: str) -> str:
        if text.lower() in _ENDPOINTS or text == "" or _VERSION.fullmatch(text):
            return text
        if text.startswith(BULK_ID):
            return BULK_ID + quote(self._of.text(text.removeprefix(BULK_ID)), safe="")
        return quote(self.urn(text), safe=":")

    def query(self, raw: str) -> str:
        """A query string; parameters that SCIM does not know are values."""
        pairs = []
        for name, value in parse_qsl(plus_as_meant(raw), keep_blank_values=True, errors="replace"):
            known = _PARAMETERS.get(name.lower())
            pairs.append((name if known else self._of.text(name), self._parameter(known, value)))
        return urlencode(pairs, quote_via=quote)

    def _parameter(self, name: str | None, value: str) -> str:
        match name:
            case "filter":
                return self.expression(value)
            case "attributes" | "excludedAttributes" | "sortBy":
                return self.names(value)
            case "sortOrder":
                return self._verb(value)
            case "startIndex" | "count" if re.fullmatch(r"-?\d{1,9}", value, re.ASCII):
                return value
            case _:
                return self._of.text(value)

    # ------------------------------------------------------------------------------ scimd's sentences

    def sentence(self, text: str) -> str:
        """A detail that scimd wrote, without what it repeats of the request or says of a person."""
        if len(text) > _SENTENCE:
            return self._of.text(text)
        if self._said is None:
            self._said = {word for each in self._heard for word in words_of(each)} - self._spoken
        said, names = self._said, "\n".join(self._names)
        pieces: list[Piece] = [(text, False)]
        for pattern, made in (
            (_WHO, self._of.text),
            (_QUOTED, self._repeated),
            (_ADDRESS, self._of.text),
            (WORD, lambda word: self._repeats(word, said, names)),
        ):
            pieces = [piece for each in pieces for piece in exchanged(each, pattern, made)]
        return "".join(piece for piece, _ in pieces)

    def _repeated(self, quoted: str) -> str | None:
        """What stands in quotes: an expression, a value, or (None) a name that the request has."""
        mark, inner = quoted[0], quoted[1:-1]
        if inner in self._names or inner.lower() in self._known or inner.lower().startswith(_KNOWN_URNS):
            return None
        if not self._secrets.isdisjoint(words_of(inner)) and not _IS_EXPRESSION.search(inner):
            return f"{mark}{PASSWORD}{mark}"
        made = self.expression(inner) if _IS_EXPRESSION.search(inner) else self._of.text(inner)
        return f"{mark}{made}{mark}"

    def _repeats(self, word: str, said: set[str], names: str) -> str | None:
        if fold(word) not in said:
            return None
        if fold(word) in self._secrets:
            return PASSWORD
        return None if word in names else self._of.word(word)


#: Segments that name nobody: of the addresses that are served, and of those that somebody else's base has.
_ENDPOINTS = frozenset(each.lower() for each in (*ENDPOINTS, ".search", "User", "Group", "scim"))
_VERSION = re.compile(r"v[0-9]{1,2}", re.IGNORECASE)


def _follows(lexemes: Sequence[str], place: int) -> str:
    """The lexeme behind one; empty where there is none."""
    return lexemes[place + 1] if place + 1 < len(lexemes) else ""


def _names(lexemes: Sequence[str], place: int) -> bool:
    """Whether what stands behind a lexeme says that it is an attribute's name."""
    if lexemes[place].startswith(".") and place and lexemes[place - 1] == "]":
        return True
    then = _follows(lexemes, place)
    return then == "[" or (then.isspace() and _follows(lexemes, place + 1).lower() in _OPERATES)


def _is_literal(lexeme: str) -> bool:
    """Whether it is a value as JSON spells one, beside strings."""
    try:
        orjson.loads(lexeme)
    except orjson.JSONDecodeError:
        return False
    return True


def _is_own(name: str, value: Any) -> bool:
    """Whether a value of ``meta`` is of the form in which scimd makes it."""
    form = _META.get(name)
    return form is not None and isinstance(value, str) and form.fullmatch(value) is not None


def _is_message(value: Mapping[str, Any]) -> bool:
    schemas = value.get("schemas")
    return isinstance(schemas, list) and any(
        isinstance(each, str) and each.lower().startswith(_MESSAGES) for each in schemas
    )
