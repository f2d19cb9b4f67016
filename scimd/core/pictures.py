"""Pictures of people: which files are taken, by what they hold and not by what they are called.

They are never decoded here. They go out as what their first bytes say they are, under ``nosniff``, so that
no browser takes one for a page; SVG, which may hold scripts, is none of them.
"""

from __future__ import annotations

from scimd.core.errors import InvalidValue, TooLarge

AT_MOST = 524_288
_PIXELS_AT_MOST = 4096


def kind_of(image: bytes) -> str:
    """The media type. Raises InvalidValue, TooLarge (bytes)."""
    if len(image) > AT_MOST:
        raise TooLarge("The picture's bytes", AT_MOST)
    if image.startswith(b"\x89PNG\r\n\x1a\n") and image[12:16] == b"IHDR":
        width, height = (int.from_bytes(image[at : at + 4], "big") for at in (16, 20))
        if not (0 < width <= _PIXELS_AT_MOST and 0 < height <= _PIXELS_AT_MOST):
            raise InvalidValue("image", f"must be at most {_PIXELS_AT_MOST} pixels wide and high")
        return "image/png"
    if image.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return "image/webp"
    raise InvalidValue("image", "must be a PNG, JPEG or WebP file")
