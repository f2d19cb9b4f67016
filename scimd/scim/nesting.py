"""JSON that is bounded in depth before it is parsed: a body, and what stands within a string of one."""

from __future__ import annotations

from typing import Any

import orjson

#: Deeper than any SCIM message, and far from any recursion limit.
MAX_DEPTH = 32


def too_deep(body: bytes) -> bool:
    """Whether the JSON nests deeper than MAX_DEPTH."""
    return body.count(b"{") + body.count(b"[") > MAX_DEPTH and _depth(body) > MAX_DEPTH


def _depth(body: bytes) -> int:
    """How deep the JSON nests, but no more than it matters; brackets inside strings do not count."""
    if b"\\" in body:
        # A backslash hides the character after it; without these pairs, a quote is a string's border.
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Megabytes come here. Two quotes side by side go without what stands between others changing sides.
    borders = body.translate(_ALIKE, _NO_BORDERS).replace(b'""', b"")
    brackets = b"".join(borders.split(b'"')[::2])
    depth = 0
    while brackets and depth <= MAX_DEPTH:
        inner = brackets.replace(b"[]", b"")
        if inner == brackets:  # what is no JSON has brackets without a partner
            return depth + brackets.count(b"[")
        brackets, depth = inner, depth + 1
    return depth


_NO_BORDERS = bytes(set(range(256)) - set(b'[]{}"'))
_ALIKE = bytes.maketrans(b"{}", b"[]")


def unpacked(value: Any) -> Any:
    """The object or array that was written as JSON within a string; any other value as it is.

    SCIM-SDK's client writes a single value of a PATCH so (``PatchRequestOperation.java``, checked 2026-11).
    """
    if not isinstance(value, str) or not seems_packed(value):
        return value
    try:
        text = value.encode()
        return value if too_deep(text) else orjson.loads(text)
    except (UnicodeEncodeError, orjson.JSONDecodeError):
        return value


def seems_packed(text: str) -> bool:
    """Whether the text begins like an object or an array of JSON."""
    return text.lstrip().startswith(("{", "["))
