from __future__ import annotations

import sys
import time

import pytest

from scimd.core.sync.expressions import NoValue, WrongExpression, bind, compile_expression


def value_of(source: str, **attributes: object) -> object:
    return compile_expression(source).of(bind(attributes, "id-1", "uid=ada"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("entry.mail[0]", "ada@example.com"),
        ("entry.?mail[?0]", "ada@example.com"),
        ("entry.?nothing[?0]", None),
        ("entry.?nothing[?0].orValue('x')", "x"),
        ("entry.?mail // with a comment", ["ada@example.com", "a@example.org"]),
        ("entry.givenname[0] + ' ' + entry.givenName[0]", "Ada Ada"),
        ("id + ' ' + name", "id-1 uid=ada"),
        ("has(entry.nothing)", False),
        ("entry.mail.map(m, {'value': m})", [{"value": "ada@example.com"}, {"value": "a@example.org"}]),
        ("entry.mail[0].split('@')[1].upperAscii()", "EXAMPLE.COM"),
        ("timestamp('2020-01-02T03:04:05Z')", "2020-01-02T03:04:05Z"),
        ("duration('90s')", "90s"),
        ("entry.nested[0].a[1]", 2),
        ("entry.number[0] + 1", 8),
        ("string(entry.blob[0])", "abc"),
        ("null", None),
    ],
)
def test_expression_gives_value(source: str, value: object) -> None:
    assert value == value_of(
        source,
        mail=("ada@example.com", "a@example.org"),
        givenName="Ada",
        nested={"a": (1, 2)},
        number=7,
        blob=b"abc",
    )


def test_attribute_spelt_as_in_the_directory_wins_over_its_lower_case_twin() -> None:
    assert value_of("entry.mail[0]", MAIL="upper", mail="lower") == "lower"


@pytest.mark.parametrize(
    ("source", "line", "column", "part"),
    [
        ("entry.uid +", 1, 12, "Syntax error"),
        ("foo(1)", 1, 5, "undeclared reference to 'foo'"),
        ("entry.uid\n  .map(x, y)", 2, 12, "undeclared reference to 'y'"),
        ("1 == 'a'", 1, 4, "no matching overload"),
        ("(" * 300 + "1" + ")" * 300, 1, 1, "recursion limit"),
        ("1" * 100_001, 1, 1, "codepoint limit"),
    ],
)
def test_wrong_expression_names_line_and_column(source: str, line: int, column: int, part: str) -> None:
    with pytest.raises(WrongExpression) as caught:
        compile_expression(source)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert part in caught.value.why


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("entry.title[0]", "no attribute 'title' (where it may be missing, write entry.?title[?0])"),
        ("entry.uid[4]", "index=4"),
        ("int(entry.uid[0])", "cannot convert"),
        ("entry.uid[0] > 1", "overload"),
        ("[entry.?uid[?0]]", "orValue"),
        ("bytes(entry.uid[0])", "binary"),
        ("entry.many.map(a, entry.many.map(b, entry.many.map(c, a + b + c)))", "too many steps"),
    ],
)
def test_failing_expression_says_why(source: str, part: str) -> None:
    with pytest.raises(NoValue) as caught:
        value_of(source, uid="ada", many=tuple(range(300)))
    assert part in str(caught.value)


def test_number_beyond_64_bits_is_its_digits() -> None:
    assert value_of("entry.big[0]", big=2**70) == str(2**70)


def test_costly_expression_is_stopped_soon() -> None:
    begun = time.process_time()
    with pytest.raises(NoValue):
        value_of("entry.m.all(a, entry.m.all(b, entry.m.all(c, a + b + c < 99999)))", m=tuple(range(1000)))
    assert time.process_time() - begun < 30  # all of it would take hours


@pytest.mark.parametrize("source", ["null", "[null, {'a': null}]", "entry.?nothing[?0]"])
def test_null_does_not_use_up_pythons_none(source: str) -> None:
    """The library's own conversion does: a run of some thousand entries ended the process."""
    expression, bound = compile_expression(source), bind({}, "id-1", "n")
    before = sys.getrefcount(None)
    for _ in range(3000):
        expression.of(bound)
    assert abs(sys.getrefcount(None) - before) < 1000
