"""Whether two answers to one request say the same, and where they do not.

Not compared: when something was made or changed, versions, cursors, what rules and groups give, and ids as
such. An id of then stands for one of now from the first answer that gave it; from there on they must agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

from scimd.core.attributes import SCIMD_URN

#: Whatever may differ between two runs of one version.
_PASSED_OVER = frozenset(("created", "lastModified", "version", "nextCursor", "previousCursor"))
#: What rules, groups and hands give, in scimd's extension: a bundle holds no rules, and ids of its own.
_GIVEN = frozenset(("licences", "projects", "team"))
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_TAG = re.compile(r'(?:W/)?"[0-9-]+"')


class Then:
    """What the recording's ids, cursors and entity tags are called now."""

    def __init__(self, base_then: str, base_now: str) -> None:
        self._bases = base_then, base_now
        self._now: dict[str, str] = {}
        self._tags: dict[tuple[str, str], str] = {}

    def sent(self, value: Any) -> Any:
        """A recorded value as it is to be sent now."""
        if isinstance(value, str):
            text = value.replace(self._bases[0], self._bases[1])
            return self._now.get(text) or _UUID.sub(lambda match: self._now.get(match[0], match[0]), text)
        if isinstance(value, Mapping):
            return {self.sent(name): self.sent(each) for name, each in value.items()}
        return [self.sent(each) for each in value] if isinstance(value, list) else value

    def path(self, text: str) -> str:
        return quote(str(self.sent(unquote(text))), safe="/:")

    def tag(self, path: str, text: str) -> str:
        """An entity tag of then, of the resource at a path, as it is now; one never given stays."""
        return _TAG.sub(lambda match: self._tags.get((path.lower(), match[0]), match[0]), text)

    def tagged(self, path: str, then: str | None, now: str | None) -> None:
        if then is not None and now is not None:
            self._tags[path.lower(), then] = now  # an endpoint's name counts whatever its case

    def learn(self, then: Any, now: Any) -> None:
        """Take note of the ids and cursors that two answers give in the same places."""
        if isinstance(then, Mapping) and isinstance(now, Mapping):
            for name in then.keys() & now.keys():
                if name in ("id", "nextCursor", "previousCursor") and isinstance(then[name], str):
                    self._bind(then[name], str(now[name]))
                elif name == "location" and isinstance(then[name], str):
                    self._place(then[name], str(now[name]))
                else:
                    self.learn(then[name], now[name])
            if isinstance(version := then.get("version"), str) and isinstance(then.get("location"), str):
                path = self.path(then["location"].removeprefix(self._bases[0]))
                self.tagged(path, version, str(now.get("version")))
        elif isinstance(then, list) and isinstance(now, list):
            for one, other in zip(sorted(then, key=self._key_now), _ordered(now), strict=False):
                self.learn(one, other)

    def _key_now(self, then: Any) -> str:
        return _key(self.sent(then))

    def _place(self, then: str, now: str) -> None:
        """An address gives an id, and where the endpoint says that it is: seldom where it was reached."""
        self._bind(then.rpartition("/")[2], now.rpartition("/")[2])
        base, tail = self._bases[0], then.removeprefix(self._bases[0])
        if then.startswith(f"{base}/") and now.count("/") >= tail.count("/"):
            self._bases = base, now.rsplit("/", tail.count("/"))[0]

    def _bind(self, then: str, now: str) -> None:
        self._now.setdefault(then, now)


def differences(then: Any, now: Any, where: str = "") -> Iterator[str]:
    """Where two answers differ; ``then`` has the ids of now already."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for name in sorted(then.keys() | now.keys()):
            place = f"{where}.{name}" if where else name
            if name in _PASSED_OVER or (where.endswith(SCIMD_URN) and name in _GIVEN):
                continue
            if name not in now:
                yield f"{place}: missing"
            elif name not in then:
                yield f"{place}: not there then"
            elif name == "detail" and "schemas" in then:
                continue  # a sentence for people; status and scimType are the contract
            elif name == "causes" and where.endswith(SCIMD_URN):
                yield from differences(_kinds(then[name]), _kinds(now[name]), place)
            else:
                yield from differences(then[name], now[name], place)
    elif isinstance(then, list) and isinstance(now, list):
        if len(then) != len(now):
            yield f"{where}: {len(now)} values instead of {len(then)}"
            return
        for place, (one, other) in enumerate(zip(_ordered(then), _ordered(now), strict=True)):
            yield from differences(one, other, f"{where}[{place}]")
    elif type(then) is not type(now) or then != now:
        yield f"{where}: {_shown(now)} instead of {_shown(then)}"


def _kinds(causes: list[str]) -> list[str]:
    """Without whose doing they are: a source's id."""
    return [each.partition(":")[0] for each in causes]


def _ordered(values: list[Any]) -> list[Any]:
    """Order says nothing in SCIM but in a sorted list, and pseudonyms sort otherwise than values."""
    return sorted(values, key=_key)


def _key(value: Any) -> str:
    if isinstance(value, Mapping):
        own = value.get("userName") or value.get("displayName") or value.get("value") or value.get("bulkId")
        return (
            f"{own}|{value.get('type')}|{value.get('method')}|{value.get('location')}" if own else repr(value)
        )
    return repr(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
