"""What may be shown of what an endpoint says: no token, no password, nothing that steers a terminal.

Judged is what came, as it came; only what is shown passes here.
"""

from __future__ import annotations

import html
import json
from typing import Any, Final
from urllib.parse import quote

HIDDEN: Final = "***"


class Redaction:
    def __init__(self, token: str = "") -> None:
        self._spellings: list[str] = []
        self._hide(token)

    def hide_passwords(self, sent: Any) -> None:
        """From now on hide the passwords in a body that is sent, wherever the endpoint repeats them."""
        if isinstance(sent, dict):
            for key, inner in sent.items():
                if key == "password" and isinstance(inner, str):
                    self._hide(inner)
                else:
                    self.hide_passwords(inner)
        elif isinstance(sent, list):
            for inner in sent:
                self.hide_passwords(inner)

    def _hide(self, secret: str) -> None:
        inner = json.dumps(secret)[1:-1]
        spellings = {secret, inner, inner.replace("/", "\\/"), html.escape(secret), quote(secret, safe="")}
        self._spellings = sorted({*self._spellings, *spellings} - {""}, key=len, reverse=True)

    def text(self, said: str) -> str:
        """One line that can be printed; what cannot is spelled as an escape, such as \\x1b."""
        for spelling in self._spellings:
            said = said.replace(spelling, HIDDEN)
        return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in said)

    def value(self, found: Any) -> Any:
        """A copy of a JSON value, its keys included; whatever is a password in it is hidden."""
        if isinstance(found, dict):
            return {
                self.text(key): HIDDEN if key.lower() == "password" else self.value(inner)
                for key, inner in found.items()
            }
        if isinstance(found, list):
            return [self.value(inner) for inner in found]
        return self.text(found) if isinstance(found, str) else found
