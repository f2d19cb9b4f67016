"""Pseudonyms: stable, shaped like their values, related as their values are, and nothing of them."""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scimd.core import request_pseudonyms
from scimd.core.attributes import USER, USER_URN, Attribute, Schema
from scimd.core.people import address, fold
from scimd.core.pseudonyms import Pseudonyms, shares
from scimd.core.request_pseudonyms import PASSWORD, RequestPseudonyms, canonical_words
from scimd.core.request_texts import shape, without_selections, words_of

KEY = b"k" * 32
OF = Pseudonyms(KEY, canonical_words())
BASE = "https://scimd.example.com/scim/v2"
LETTERS = st.characters(categories=("L", "Nd"), max_codepoint=0x2FFF)
WORDS = st.text(LETTERS, min_size=1, max_size=60)
TEXTS = st.text(max_size=60)
KEYS = st.sampled_from(("schemas", "Operations", "op", "path", "value", "meta", "password", "count", "data"))
DIGITS = st.text("0123456789", min_size=1, max_size=20)


@given(TEXTS)
def test_same_value_has_the_same_pseudonym_whoever_makes_it(text: str) -> None:
    assert OF.text(text) == Pseudonyms(KEY, canonical_words()).text(text)


@given(WORDS)
@example("anna")
@example("Straße")
@example("0000")
def test_word_shares_no_four_characters_with_its_pseudonym(word: str) -> None:
    assert not shares(word, OF.word(word))
    assert not shares(f"{word} -- ", " -- ")  # no letters, nor digits


@given(st.text(st.characters(categories=("L",), max_codepoint=0x17F), min_size=1, max_size=20))
@example("STRASSE")
@example("straße")
def test_values_that_are_equal_but_for_case_stay_so(word: str) -> None:
    for other in (word.upper(), word.lower(), word.title(), word.casefold()):
        if fold(other) == fold(word):
            assert fold(OF.text(other)) == fold(OF.text(word))


@given(st.sets(st.text("abcdefghij0123456789", min_size=4, max_size=12), min_size=2, max_size=200))
def test_different_words_stay_different(words: set[str]) -> None:
    assert len({OF.word(word) for word in words}) >= len(words) - 1  # see _unlike


@pytest.mark.parametrize("size", [1, 2])
def test_short_words_are_exchanged_one_for_one(size: int) -> None:
    words = {
        a + b
        for a in "abcdefghijklmnopqrstuvwxyz"
        for b in ("abcdefghijklmnopqrstuvwxyz" * (size - 1) or " ")
    }
    words = {word.strip() for word in words}
    assert {OF.word(word) for word in words} == words


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("Anna", r"[A-Z][a-z]{3}"),
        ("O'Brien-Kovács", r"[A-Z]'[A-Z][a-z]{4}-[A-Z][a-z]{2}[à-ž][a-z]{2}"),
        ("ANNA", r"[A-Z]{4}"),
        ("Алексей", r"[А-Я][а-я]{6}"),
        ("王小明", r"[\u4e00-\u9fa5]{3}"),
        ("+36 (1) 234-5678", r"\+\d\d \(\d\) \d{3}-\d{4}"),
        ("00u1a2b3", r"\d\d[a-z]\d[a-z]\d[a-z]\d"),
        ("https://hr.acme.com:8443/a/b?c=1", r"https://[a-z]{2}\.[a-z]{4}\.[a-z]{3}\.example:\d{4}/[a-z]/[a-z]\?[a-z]=\d"),
        ("anna@acme.com", r"[a-z]{4}@[a-z]{4}\.[a-z]{3}\.example"),
        ("3F2504E0-4F89-41D3-9A0C-0305E82C3301", r"[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-9[0-9A-F-]{16}"),
        ("True", "True"),
        ("work", "work"),
        ("", ""),
    ],
)  # fmt: skip
def test_shape_stays(value: str, form: str) -> None:
    assert re.fullmatch(form, OF.text(value)), OF.text(value)


@given(st.emails())
def test_address_stays_an_address_in_a_reserved_domain(mail: str) -> None:
    made = OF.text(mail)
    if address(mail) and mail.isascii() and re.fullmatch(r"[\w.+-]+@[\w.-]+", mail):
        assert address(made)
        assert made.endswith(".example")
        local, _, domain = mail.partition("@")
        # A whole value that is kept ("Group") is one only by itself.
        assert OF.text(local) in (made.partition("@")[0], local) or "." not in domain


def test_what_values_have_in_common_stays_in_common() -> None:
    given_name, family = OF.text("Anna"), OF.text("Kovacs")
    assert OF.text("Anna Kovacs") == f"{given_name} {family}"
    mail = OF.text("anna.kovacs@acme.com")
    assert mail.startswith(f"{given_name}.{family}@".lower())
    assert OF.text("ben@acme.com").partition("@")[2] == mail.partition("@")[2]


@given(st.dates(date(1900, 1, 1), date(2200, 1, 1)), st.integers(0, 9_999))
def test_dates_keep_their_distances(day: date, apart: int) -> None:
    one, other = (
        date.fromisoformat(OF.text(each.isoformat())) for each in (day, day + timedelta(days=apart))
    )
    assert other - one == timedelta(days=apart)
    assert one.year != day.year


@given(st.integers(-(2**63), 2**64 - 1))
@example(2**64 - 1)
@example(10**19)
@example(-(2**63))
@example(2**53)
def test_numbers_keep_their_digits_and_sign(number: int) -> None:
    made = OF.number(number)
    assert len(str(made)) == len(str(number))
    assert (made < 0) == (number < 0)
    assert (abs(made) < 2**53) == (abs(number) < 2**53)
    assert number < 2**53 or made != number
    assert orjson.loads(orjson.dumps(made)) == made


@pytest.mark.parametrize("number", [2.0**53, 9999999999999998.0, -(2.0**53), 2.0**64, -0.5, -1e300, 1e-7])
def test_number_with_a_fraction_or_beyond_the_exact_ones_has_a_pseudonym_under_any_key(number: float) -> None:
    """Under one key in ten, no other digit stands for 0."""
    for key in range(40):
        made = Pseudonyms(bytes([key]) * 32).number(number)
        assert (made < 0) == (number < 0)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | TEXTS,
        lambda each: st.lists(each, max_size=4) | st.dictionaries(TEXTS | KEYS, each, max_size=4),
    ),
    st.booleans(),
)
def test_any_json_can_be_kept(value: Any, message: bool) -> None:
    try:
        raw = orjson.dumps(value)
    except orjson.JSONEncodeError:  # half a character
        return
    masks = RequestPseudonyms(OF, BASE)
    for body in (raw, orjson.dumps({"value": raw.decode()})):
        masks.begin()
        orjson.loads(masks.body(body, message=message)[0])


@given(st.uuids())
def test_ids_stay_ids(one: uuid.UUID) -> None:
    made = uuid.UUID(OF.text(str(one)))
    assert (made.version, made.variant) == (one.version, one.variant)
    assert OF.text(f"{BASE}/Users/{one}").endswith(str(made))


# ------------------------------------------------------------------------------ messages


@pytest.fixture
def masks() -> RequestPseudonyms:
    return RequestPseudonyms(OF, BASE)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('userName eq "Anna"', r'userName eq "[A-Z][a-z]{3}"'),
        ('emails[type eq "work"].value', r'emails\[type eq "work"\]\.value'),
        ("userName eq anna.kovacs", r"userName eq [a-z]{4}\.[a-z]{6}"),
        ('not (active eq "False") and title pr', r'not \(active eq "False"\) and title pr'),
        ('password eq "geheim"', re.escape(f'password eq "{PASSWORD}"')),
        ('meta.lastModified gt "2026-01-01T00:00:00Z"', r'meta\.lastModified gt "2026-01-01T00:00:00Z"'),
        ("shoeSize", "shoeSize"),
        (f'schemas eq "{USER_URN}"', f'schemas eq "{USER_URN}"'),
        ('schemas eq "anna"', r'schemas eq "[a-z]{4}"'),
        ("anna@acme.com", r"[a-z]{4}@[a-z]{4}\.[a-z]{3}\.example"),
        ('emails[type eq "work"].shoe', r'emails\[type eq "work"\]\.shoe'),
        (
            '(shoe eq "a") and not (sock pr or lace[knot pr])',
            r'\(shoe eq "[a-z]"\) and not \(sock pr or lace\[knot pr\]\)',
        ),
        ('meta.resourceType eq "User"', 'meta.resourceType eq "User"'),
    ],
)
def test_filters_and_paths_keep_their_names(text: str, kept: str, masks: RequestPseudonyms) -> None:
    assert re.fullmatch(kept, masks.expression(text)), masks.expression(text)


@pytest.mark.parametrize(
    "text",
    [
        "userName eq 'Zdenka (Quartzova)'", "userName eq (Zdenka Quartzova)",
        "userName eq Zdenka [Quartzova]",
        "displayName eq Zdenka and Quartzova", "displayName eq 'Zdenka and Quartzova'", "title pr Quartzova",
        "displayName eq not Quartzova", "displayName eq not Quartzova co x", "userName eq Or Quartzova le x",
        "displayName eq Zdenka not Quartzova co x", "displayName eq Zdenka and Quartzova co x",
        "displayName eq Zdenka or Quartzova[x]",
        'displayName eq "x"] Quartzova', 'title eq "x" and (Quartzova)',
        "addresses[formatted eq (Quartzova Str)].x", "addresses[Quartzova]", 'title eq "x" Quartzova eq "y"',
        'meta.created gt "Quartzova"', "meta.resourceType eq Quartzova", 'meta.version eq "W/Quartzova"',
    ],
)  # fmt: skip
def test_behind_an_operator_there_is_a_value_whatever_it_is_made_of(
    text: str, masks: RequestPseudonyms
) -> None:
    made = masks.expression(text)
    assert "Quartzova" not in made
    assert re.sub(r"\w", "", made) == re.sub(r"\w", "", text)
    assert "Quartzova" not in masks.sentence(f"The filter {text!r} cannot be read.")


@pytest.mark.parametrize("name", ["Research and Zdenka", " Zdenka  Quartzova ", "Or (Zdenka) [x]"])
def test_value_without_quotes_has_the_pseudonym_that_it_has_with_them(
    name: str, masks: RequestPseudonyms
) -> None:
    assert masks.expression(f"{USER_URN}:nickName  EQ {name}") == f"{USER_URN}:nickName  EQ {OF.text(name)}"
    assert masks.expression(f'nickName eq "{name}"') == f'nickName eq "{OF.text(name)}"'
    assert masks.expression(f"password eq {name}") == f"password eq {PASSWORD}"


def test_password_in_an_expression_stands_in_no_sentence_either(masks: RequestPseudonyms) -> None:
    for text in (
        "password eq (hunter2hunter2)",
        "password eq 'hunter2hunter2' \"x\"",
        "password eq hunter2hunter2 a",
    ):
        masks.begin()
        masks.heard(text)
        told = masks.expression(text) + masks.sentence(f"The filter {text!r} cannot be read: hunter2hunter2.")
        assert PASSWORD in told
        for kept in ("hunter2hunter2", OF.text("hunter2hunter2")):
            assert kept not in told


def test_of_meta_only_what_scimd_makes_is_kept(masks: RequestPseudonyms) -> None:
    own = {
        "created": "2026-11-22T19:45:03.123Z",
        "lastModified": "2026-11-22T19:45:03Z",
        "resourceType": "User",
    }
    assert masks.document({"meta": own}) == {"meta": own}
    for sent in (
        {"created": "Karla Quartzova"},
        {"lastModified": "+4915212345678"},
        {"resourceType": "Quartzova"},
    ):
        [(name, value)] = sent.items()
        assert masks.document({"meta": sent}) == {"meta": {name: OF.text(value)}}


@given(TEXTS)
def test_whatever_is_sent_has_a_pseudonym(text: str) -> None:
    masks = RequestPseudonyms(OF, BASE)
    masks.begin()
    masks.heard(text)
    for made in (masks.expression(text), masks.address(text), masks.query(text), masks.sentence(text)):
        assert isinstance(made, str)
    masks.body(text.encode("utf-8", "replace"))
    masks.body(
        orjson.dumps({text.encode("utf-8", "replace").decode(): text.encode("utf-8", "replace").decode()})
    )


def test_password_has_no_pseudonym_wherever_it_stands(masks: RequestPseudonyms) -> None:
    for body in (
        {"password": "geheim"},
        {"PassWord": ["geheim", {"a": "geheim"}]},
        {"urn:ietf:params:scim:schemas:core:2.0:User:password": "geheim"},
        {"Operations": [{"op": "replace", "path": "password", "value": "geheim"}]},
        {"Operations": [{"op": "replace", "value": {"password": "geheim"}}]},
        {"Operations": [{"data": [{"op": "replace", "path": "password", "value": "geheim"}]}]},
    ):
        made, _ = masks.body(orjson.dumps(body), message=True)
        assert PASSWORD.encode() in made
        assert OF.text("geheim").encode() not in made
        assert b"geheim" not in made


def test_detail_loses_what_it_repeats(masks: RequestPseudonyms) -> None:
    masks.body(b'{"userName": "anna.kovacs", "shoeSize": "Kovacs"}')
    made = masks.sentence("userName 'anna.kovacs' is taken. shoeSize: Kovacs is no number.")
    assert "ovacs" not in made
    assert made.startswith("userName '")
    assert made.endswith(" is no number.")
    assert "shoeSize: " in made
    seat = "Seat limit reached: 1 of 1 used (1 active, 0 invited). Dana Klein was not created. Free a seat."
    assert "Dana" not in masks.sentence(seat)
    assert masks.sentence(seat).endswith(" was not created. Free a seat.")


def test_detail_has_the_pseudonym_that_the_request_has(masks: RequestPseudonyms) -> None:
    """The pseudonym of an address is an address."""
    made, _ = masks.body(b'{"userName": "anna@acme.com"}')
    name = orjson.loads(made)["userName"]
    assert masks.sentence("userName 'anna@acme.com' is taken.") == f"userName '{name}' is taken."
    assert masks.sentence("userName: anna@acme.com is taken.") == f"userName: {name} is taken."


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("count=x", "count: must be a whole number, not {x}"),
        ("filter=foo", "The filter {foo} cannot be read: an operator is missing."),
        ("startIndex=anna&filter=remove", "startIndex: a filter may remove no Users."),
    ],
)
def test_detail_keeps_the_words_of_the_protocol(said: str, sentence: str, masks: RequestPseudonyms) -> None:
    masks.begin()
    masks.heard(said, "Users", USER_URN)
    made = masks.sentence(sentence.format(x="'x'", foo="'foo'"))
    kept = sentence.format(x=f"'{OF.text('x')}'", foo=f"'{OF.text('foo')}'")
    assert made == kept


def test_number_in_a_filter_is_that_of_a_body() -> None:
    numbers = Attribute("level", "", "decimal"), Attribute("floor", "", "integer")
    kind = replace(USER, extensions=(Schema("urn:x:acme:2.0:User", "Acme", "", numbers),))
    masks = RequestPseudonyms(OF, BASE, (kind,))
    for text, number in (("12.50", 12.5), ("77", 77.0), ("77.0", 77), ("-1.5", -1.5)):
        made = masks.expression(f"urn:x:acme:2.0:User:level eq {text}").rpartition(" ")[2]
        assert orjson.loads(made) == masks.document(number)
    assert masks.expression("badges[floor eq 4711]") == f"badges[floor eq {OF.number(4711)}]"
    assert masks.expression("userName eq 4711") == f"userName eq {OF.text('4711')}"


def test_different_numbers_stay_different() -> None:
    numbers = [each / 100 for each in range(20_000)]
    assert len({OF.number(each) for each in numbers}) == len(numbers)


def test_body_that_is_no_json_is_kept_as_its_shape() -> None:
    assert shape(b'{"userName": "Anna", 12') == '{"aaaaAaaa": "Aaaa", 00'
    assert len(shape(b"x" * 100_000)) == 2_000


@pytest.mark.parametrize(
    ("version", "kept"),
    [('W/"3-7"', True), ("dana@acme.example", False), ('W/"Dana Smith"', False), ({"a": "Dana"}, False)],
)
def test_a_version_is_kept_where_it_is_one_of_ours(
    masks: RequestPseudonyms, version: Any, kept: bool
) -> None:
    masks.begin()
    operation = {"method": "DELETE", "path": "/Users/x", "version": version}
    for sent in ({"Operations": [operation]}, {"userName": "a", "meta": {"version": version}}):
        made, _ = masks.body(orjson.dumps(sent), message="Operations" in sent)
        told = orjson.loads(made)
        found = told["Operations"][0] if "Operations" in told else told["meta"]
        assert (found["version"] == version) is kept


def test_a_body_of_the_dearest_texts_is_made_in_a_moment() -> None:
    """V19: entries are made beside requests that are answered; each of these took seconds, or minutes."""
    urn = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
    texts = ["a" * 64_000, "0" * 64_000, "invited). " * 6_400, "'\"" * 32_000, "\u0315\u0300" * 16_000]
    bodies: list[dict[str, Any]] = [{"schemas": [urn], "detail": text} for text in texts]
    bodies += [{"userName": " ".join(["abcdefghi" * 222 + str(n) for n in range(30)])}]
    bodies += [{"Operations": [{"detail": "word"}] * 4_000}]
    made = RequestPseudonyms(OF, "https://scimd.example/scim/v2")
    began = time.process_time()
    for each in bodies:
        made.begin()
        assert made.body(orjson.dumps(each), message=True)[1] == each
    OF.text("\u0315\u0300" * 250_000)
    assert time.process_time() - began < 30


def test_a_long_word_is_not_made_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """V19: what is so long shares four digits in a row with whatever is made of it."""
    permuted, chars = Pseudonyms._permuted, 0

    def counting(of: Pseudonyms, folded: str, counter: int) -> str:
        nonlocal chars
        chars += len(folded)
        return permuted(of, folded, counter)

    monkeypatch.setattr(Pseudonyms, "_permuted", counting)
    for numbers in (1_000, 10_000):
        chars, word = 0, "".join(map(str, range(numbers)))
        Pseudonyms(KEY).word(word)
        assert chars <= len(word) + 4_000


def test_a_long_detail_is_no_sentence_but_a_value() -> None:
    made = RequestPseudonyms(OF, "https://scimd.example/scim/v2")
    for text in ("This is not allowed here. " * 100, "x" * 3_000):
        assert made.sentence(text) == OF.text(text) != text
    short = "This is not allowed here. " * 50
    assert made.sentence(short) == short


def test_words_of_a_request_are_told_apart_once_for_all_its_sentences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def words(value: Any) -> Any:
        asked.append(value)
        return words_of(value)

    monkeypatch.setattr(request_pseudonyms, "words_of", words)
    made = RequestPseudonyms(OF, "https://scimd.example/scim/v2")
    made.heard("quartz")
    for _ in range(50):
        assert made.sentence("there are quartz and marble") != made.sentence("there are marble and quartz")
    assert len(asked) == 1
    made.heard("marble")  # from now on that one may be a value, too
    assert "marble" not in made.sentence("there are quartz and marble")
    made.begin()
    assert made.sentence("there are quartz and marble") == "there are quartz and marble"


def test_selections_are_left_out_of_paths_however_many_open() -> None:
    for text, wanted in (
        ('emails[type eq "work"].value,ims[value pr]', "emails.value,ims"),
        ("a[b[c]d]e", "ad]e"),
        ("a[b", "a[b"),
        ("a]b[c", "a]b[c"),
        ("a[]b[c]d[e", "abd[e"),
    ):
        assert without_selections(text) == wanted
    assert without_selections("[" * 1_000_000) == "[" * 1_000_000  # each would look for its end


def test_address_is_exchanged_in_a_sentence_wherever_it_stands() -> None:
    made = RequestPseudonyms(OF, "https://scimd.example/scim/v2")
    here = "There is a@b.example, (c@d.example) and 'e@f.example', x00000000-0000-4000-8000-000000000000 too"
    ours = made.sentence(here)
    assert not any(each in ours for each in ("a@b", "c@d", "e@f", "00000000-0000"))
