"""What SQLAlchemy made of statements, kept by how much it takes and not by how many they are.

A statement in memory takes some hundred times its text, and a client's filter makes one of 20,000
characters that is never asked again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.engine import Compiled

#: Longer ones are compiled anew each time: so long is what a client's filter makes of a dozen terms.
LONGEST: Final = 8_000
_AT_MOST: Final = 250_000


class CompiledCache(OrderedDict[Hashable, Compiled]):
    """Texts of ``at_most`` characters together; those that were not asked for longest go first.

    For one thread, as a connection of ``db`` is.
    """

    def __init__(self, at_most: int = _AT_MOST) -> None:
        super().__init__()
        self._at_most = at_most
        self._size = 0

    def get(self, key: Hashable, default: Compiled | None = None) -> Compiled | None:  # type: ignore[override]
        found = super().get(key)
        if found is None:
            return default
        self.move_to_end(key)
        return found

    def __setitem__(self, key: Hashable, compiled: Compiled) -> None:
        size = len(compiled.string or "")
        if size > LONGEST or key in self:
            return
        super().__setitem__(key, compiled)
        self._size += size
        while self._size > self._at_most:
            _, oldest = self.popitem(last=False)
            self._size -= len(oldest.string or "")


def bounded(engine: Engine) -> Engine:
    """The engine, with such a cache in place of SQLAlchemy's, which counts statements."""
    engine.update_execution_options(compiled_cache=CompiledCache())
    return engine
