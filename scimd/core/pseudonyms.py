"""Pseudonyms: values that say nothing of anybody and still behave like those that they stand for.

The same value has the same pseudonym everywhere, under one key, and in one shape: an address stays
an address (in a domain that RFC 2606 reserves), a name stays letters of its length, case and script,
digits stay digits, a date a date, a UUID a UUID. It is made word by word, so that what values have in
common stays in common: a given name in a user name, two addresses of one domain, a phrase in a longer
one. Two values that are equal but for case have pseudonyms that are equal but for case.

A word is permuted among the words of its shape (a Feistel network over mixed radices, as in
NIST SP 800-38G, with keyed BLAKE2b as its function), so different words stay different. A pseudonym
of four characters or more shares no four in a row with its word. Whoever holds the key can undo it,
which is why this is pseudonymous, not anonymous, data.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from scimd.core.composed import composed
from scimd.core.people import fold

_KEPT = frozenset(("true", "false", ""))
_SCHEMES = r"https?|ftps?|ldaps?|mailto|tel|urn"
_PIECE = re.compile(
    r"(?P<uuid>(?<![0-9A-Za-z])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9A-Za-z]))"
    rf"|(?P<scheme>(?<![0-9A-Za-z])(?:{_SCHEMES}):(?://)?)(?P<host>(?<=//)[^\s/?#\"'\\]+)?"
    r"|(?P<domain>@[^\s@,;:<>()\[\]\"'\\/]+\.[^\s@,;:<>()\[\]\"'\\/]+)"
    r"|(?P<word>[0-9A-Za-z\x80-\U0010ffff]+)",
    re.IGNORECASE,
)
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)(T[\d:.]+(?:Z|[+-]\d\d:?\d\d)?)?", re.ASCII | re.IGNORECASE)
_RESERVED = ".example"
#: Characters that are permuted together. Longer words are cut; the function's 512 bits bound it.
_BLOCK = 48
_ROUNDS = 6
_TABLE = 1024
#: Values and words whose pseudonyms are remembered, for each organization, and how long such a value may
#: be. A value takes some 200 bytes, its words but little less; what is said again and again are few words.
_VALUES_KNOWN = 10_000
_WORDS_KNOWN = 2_000
_LONG = 200
_SHARED = 4
#: Characters that are made, at most, to find a pseudonym which shares nothing with its word.
_TRIED = 4_000
#: Between two of these a number stays with its pseudonym: integers below 2**53 are the same for every reader
#: of JSON, and those of more than 64 bits, signed or not, no writer of it takes.
_BORDERS = (2**53, 2**63 + 1, 2**64)


class _Alphabet:
    """Letters of one kind that stand for each other: each has one capital, or all have none."""

    __slots__ = ("letters", "places", "size")

    def __init__(self, letters: Iterable[str]) -> None:
        self.letters: Final = "".join(letters)
        self.size: Final = len(self.letters)
        self.places: Final = {letter: place for place, letter in enumerate(self.letters)}

    def __contains__(self, letter: str) -> bool:
        return letter in self.places


def _between(first: int, last: int) -> Iterable[str]:
    """The letters of a range that fold to themselves, and whose capital folds back to them."""
    for letter in map(chr, range(first, last + 1)):
        capital = letter.upper()
        if letter.isalpha() and fold(letter) == letter and len(capital) == 1 and fold(capital) == letter:
            yield letter


_LATIN = _Alphabet("abcdefghijklmnopqrstuvwxyz")
_DIGITS = _Alphabet("0123456789")


@lru_cache(maxsize=1)
def _alphabets() -> tuple[_Alphabet, ...]:
    ranges = (
        (0xDF, 0x17F),  # Latin with marks
        (0x3AC, 0x3CE),  # Greek
        (0x430, 0x45F),  # Cyrillic
        (0x561, 0x586),  # Armenian
        (0x5D0, 0x5EA),  # Hebrew
        (0x621, 0x64A),  # Arabic
        (0x905, 0x939),  # Devanagari
        (0xE01, 0xE2E),  # Thai
        (0x10D0, 0x10F0),  # Georgian
        (0x3041, 0x3096),  # Hiragana
        (0x30A1, 0x30FA),  # Katakana
        (0x4E00, 0x9FA5),  # Han
        (0xAC00, 0xD7A3),  # Hangul
    )
    return tuple(_Alphabet(_between(*each)) for each in ranges)


@lru_cache(maxsize=8192)
def _alphabet(letter: str) -> _Alphabet | None:
    """What a folded character may become; None: it stays, being neither letter nor digit.

    A letter of no alphabet here becomes Latin; a digit of another script becomes one of ours.
    """
    if letter in _LATIN:
        return _LATIN
    if letter.isdecimal():
        return _DIGITS
    found = next((each for each in _alphabets() if letter in each), None)
    if found is not None:
        return found
    return _LATIN if unicodedata.category(letter)[0] in "LMNC" else None


class Pseudonyms:
    """The pseudonyms of one organization. ``kept``: whole values that stand for themselves, folded."""

    def __init__(self, key: bytes, kept: Iterable[str] = ()) -> None:
        self._keyed = blake2b(key=key)  # to take a copy of it costs less than to begin with the key again
        self._kept = _KEPT | {fold(each) for each in kept}
        self._texts: dict[str, str] = {}
        self._words: dict[str, str] = {}
        self._tables: dict[int, list[int]] = {}
        # 30 to 57 years back: no year that is shared, and no date that a database could not hold.
        self._days = timedelta(days=10_957 + self._hash(b"days") % 9_999)
        self._replaced: dict[str, Callable[[re.Match[str]], str]] = {
            "uuid": lambda match: self._uuid(match[0]),
            "scheme": lambda match: match[0],
            "host": lambda match: match["scheme"] + self._host(match["host"]),
            "domain": lambda match: self._domain(match[0]),
            "word": lambda match: self.word(match[0]),
        }

    def text(self, value: str) -> str:
        """The pseudonym of a value, or of a text that holds several."""
        made = self._texts.get(value)
        if made is None:
            if len(self._texts) >= _VALUES_KNOWN:
                self._texts.clear()
            made = self._text(value)
            if len(value) <= _LONG:
                self._texts[value] = made
        return made

    def _text(self, value: str) -> str:
        if value.lower() in self._kept:
            return value
        if not value.isascii():
            value = composed(value)
        if (match := _DATE.fullmatch(value)) is not None and (moved := self._moved(match)) is not None:
            return moved
        return _PIECE.sub(self._piece, value)

    def word(self, word: str) -> str:
        """The pseudonym of one run of letters and digits."""
        folded = word.lower() if word.isascii() else fold(word)
        made = self._words.get(folded)
        if made is None:
            made = self._unlike(folded, self._permuted)
            if len(self._words) >= _WORDS_KNOWN:
                self._words.clear()
            self._words[folded] = made
        return made if word == folded else _cased(word, folded, made)

    def number(self, number: int | float) -> int | float:
        """A number of as many digits, the same for 7 and 7.0; one digit says nothing, and stays."""
        if number < 0:
            return -self.number(-number)
        if isinstance(number, float):
            if number.is_integer() and number < _BORDERS[-1]:
                return float(self.number(int(number)))
            whole, _, rest = repr(number).partition(".")
            if not rest.isdecimal():
                return float(self._hash(repr(number).encode()) % 1000)
            part = self.word(rest)
            while part.endswith("0"):  # which would be a number of fewer digits
                part = self.word(part)
            return float(f"{self.number(int(whole))}.{part}")
        if number < 10:
            return number
        return int(self._unlike(str(number), self._number))

    # ------------------------------------------------------------------------------ pieces

    def _piece(self, match: re.Match[str]) -> str:
        return self._replaced[match.lastgroup or "word"](match)

    def _uuid(self, text: str) -> str:
        """Another UUID; its version and variant stay."""
        low = text.lower()

        def made(_: str, counter: int) -> str:
            digits = f"{self._hash(b'uuid', counter, low.encode()):0128x}"
            digits = f"{digits[:12]}{low[14]}{digits[13:16]}{low[19]}{digits[17:32]}"
            return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

        found = self._unlike(low, made)
        return found.upper() if text.isupper() else found

    def _domain(self, text: str) -> str:
        """A domain, with or without its @: in other words, below a name that nobody can own."""
        return _PIECE.sub(self._bare, text) + _RESERVED

    def _host(self, text: str) -> str:
        user, at, rest = text.rpartition("@")
        name, colon, port = rest.partition(":")
        return f"{_PIECE.sub(self._bare, user)}{at}{self._domain(name)}{colon}{self.text(port)}"

    def _bare(self, match: re.Match[str]) -> str:
        if match.lastgroup == "word":
            return self.word(match[0])
        return "".join(self.word(each) if each.isalnum() else each for each in re.split(r"(\W)", match[0]))

    def _moved(self, match: re.Match[str]) -> str | None:
        """A date as far back as all others: their order and their distances stay."""
        try:
            moved = date(int(match[1]), int(match[2]), int(match[3])) - self._days
        except (ValueError, OverflowError):
            return None
        return f"{moved.isoformat()}{match[4] or ''}"

    # ------------------------------------------------------------------------------ permuting

    def _unlike(self, text: str, made: Callable[[str, int], str]) -> str:
        """The first that shares no four characters in a row with the text; the chance is small each time.

        Of a text that is so long that any two have some in common, one of the first.
        """
        for counter in range(min(64, _TRIED // len(text) + 1)):
            found = made(text, counter)
            if not shares(text, found):
                return found
        return found

    def _permuted(self, folded: str, counter: int) -> str:
        if len(folded) <= _BLOCK:
            return self._block(folded, counter)
        blocks = (folded[at : at + _BLOCK] for at in range(0, len(folded), _BLOCK))
        return "".join(self._block(each, counter) for each in blocks)

    def _block(self, folded: str, counter: int) -> str:
        alphabets = [_alphabet(letter) for letter in folded]
        places, sizes, strange = [], [], []
        for letter, alphabet in zip(folded, alphabets, strict=True):
            if alphabet is None:
                continue
            place = alphabet.places.get(letter)
            if place is None:
                strange.append(letter)
            sizes.append(alphabet.size)
            places.append(place or 0)
        moved = iter(self._permute(places, sizes, counter, "".join(strange).encode()))
        pairs = zip(folded, alphabets, strict=True)
        return "".join(letter if each is None else each.letters[next(moved)] for letter, each in pairs)

    def _permute(self, places: list[int], sizes: list[int], counter: int, tweak: bytes) -> list[int]:
        """Digits of a number in mixed radices → those of the number that it is exchanged for."""
        half = len(sizes) // 2
        left, lefts = _joined(places[:half], sizes[:half])
        right, rights = _joined(places[half:], sizes[half:])
        if lefts * rights <= _TABLE and not tweak:
            left, right = divmod(self._table(lefts * rights)[left * rights + right], rights)
        else:
            shape = b"%d,%d,%d" % (counter, lefts, rights) + tweak
            left, right = self._feistel(left, lefts, right, rights, shape)
        return _parted(left, sizes[:half]) + _parted(right, sizes[half:])

    def _number(self, digits: str, counter: int) -> str:
        """As many digits, no zero in front, and between the same borders."""
        size = 10 ** (len(digits) - 1)
        half = 10 ** (len(digits) // 2)
        shape = b"number%d,%d" % (counter, size)
        made, between = int(digits), bisect(_BORDERS, int(digits))
        while True:  # what is permuted again and again comes back to where it began
            left, right = divmod(made - size, half)
            left, right = self._feistel(left, 9 * size // half, right, half, shape)
            made = size + left * half + right
            if bisect(_BORDERS, made) == between:
                return str(made)

    def _feistel(self, left: int, lefts: int, right: int, rights: int, shape: bytes) -> tuple[int, int]:
        for turn in range(_ROUNDS):
            if turn % 2:
                right = (right + self._hash(shape, turn, b"%x" % left)) % rights
            else:
                left = (left + self._hash(shape, turn, b"%x" % right)) % lefts
        return left, right

    def _table(self, size: int) -> list[int]:
        """All of a small domain, in an order of the key's."""
        found = self._tables.get(size)
        if found is None:
            found = sorted(range(size), key=lambda each: self._hash(b"table%d" % size, each))
            self._tables[size] = found
        return found

    def _hash(self, label: bytes, turn: int = 0, text: bytes = b"") -> int:
        hashed = self._keyed.copy()
        hashed.update(b"%b|%d|%b" % (label, turn, text))
        return int.from_bytes(hashed.digest())


def shares(one: str, other: str) -> bool:
    """Whether four letters or digits in a row of one stand in the other, whatever their case."""
    return any(map(str.isalnum, _runs(fold(one)) & _runs(fold(other))))


def _runs(text: str) -> set[str]:
    return {text[at : at + _SHARED] for at in range(len(text) - _SHARED + 1)}


def _joined(places: list[int], sizes: list[int]) -> tuple[int, int]:
    number, of = 0, 1
    for place, size in zip(places, sizes, strict=True):
        number, of = number * size + place, of * size
    return number, of


def _parted(number: int, sizes: list[int]) -> list[int]:
    places = []
    for size in reversed(sizes):
        number, place = divmod(number, size)
        places.append(place)
    places.reverse()
    return places


def _cased(word: str, folded: str, made: str) -> str:
    """The pseudonym with capitals where the word has them."""
    if len(word) != len(folded):  # a letter that folds into two
        return made.upper() if word.isupper() else made
    pairs = zip(word, folded, made, strict=True)
    return "".join(new.upper() if was != low else new for was, low, new in pairs)
