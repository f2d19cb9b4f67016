"""Memory that is given back and taken again at each answer costs more than filling it.

A page of a list is 140 kB. As glibc comes, what lies at the end of the heap and is as large as that goes
back to the system when it is freed, and each next page is made of memory that the system has to find and
to clear first, page by page: ten times what copying it takes.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Final

_M_TRIM_THRESHOLD: Final = -1  # malloc.h
_M_MMAP_THRESHOLD: Final = -3
#: So much may lie free at the end of the heap.
_FREE_BYTES: Final = 4 << 20
#: What is larger than this is taken from the system by itself, and given back at once.
_LARGE_BYTES: Final = 1 << 20


def keep_freed() -> None:
    """Let this process keep what answers were made of. Only glibc has this switch; twice changes nothing."""
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_M_TRIM_THRESHOLD, _FREE_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
