"""A value without quotes, against the grammar of filters: what that can read keeps its meaning."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from scim2_models.path import CompareOperator, Comparison

from scimd.scim import filters
from scimd.scim.errors import ScimError
from scimd.scim.quirks.authentik import quoted

_TOKENS = (
    "userName title emails urn:a:b:c null NULL true false 5 -1 1e5 007 dana x.y and or Or not eq ne co pr "
    "( ) [ ] . , \\ && ' é and( or( not( and[ 5or null)"
)
_PIECES = st.sampled_from(_TOKENS.split())
_SPACES = st.sampled_from(["", " ", " ", " ", "  ", "\t", "\u00a0"])
_TEXTS = st.lists(st.tuples(_PIECES, _SPACES), min_size=1, max_size=9).map(
    lambda pairs: "".join(map("".join, pairs))
)


@given(path=st.sampled_from(["userName", "externalId", "urn:x:hr:grade"]), value=_TEXTS)
def test_what_the_grammar_reads_stays_as_it_is_and_anything_else_is_one_value(path: str, value: str) -> None:
    """But for a number, since no attribute without a URN is one."""
    text = f"{path} eq {value}"
    try:
        node = filters.parse(text)
    except ScimError:
        assert quoted(text) == text or _one(quoted(text)) == value
    else:
        number = isinstance(node, Comparison) and type(node.value) in (int, float)
        assert quoted(text) == text or (number and path != "urn:x:hr:grade" and _one(quoted(text)) == value)


def _one(text: str) -> object:
    node = filters.parse(text)
    return node.value if isinstance(node, Comparison) and node.op is CompareOperator.eq else None
