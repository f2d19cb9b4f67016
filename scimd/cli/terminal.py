"""Standard output and standard error of the commands. What is said passes here, and nowhere else."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from scimd.core.printable import spelled_out


class Terminal(Console):
    """A console on which text is text: one line each, and what would steer the terminal is spelled out.

    Names, addresses and errors are other people's: an identity provider's, a directory's, an endpoint's.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        # Into a file or a pipe, tables are as wide as they like.
        wide = not stderr and not (sys.stdout and sys.stdout.isatty())
        super().__init__(
            stderr=stderr, highlight=False, emoji=False, soft_wrap=True, width=1000 if wide else None
        )

    def render_str(self, text: str, **how: Any) -> Text:
        """Every string that is printed, in a table too, becomes a Text here."""
        return super().render_str(spelled_out(text), **how)
