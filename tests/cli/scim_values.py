"""Filters and PATCH for the little server of the doctor's tests: plain dictionaries, no schema.

Written from RFC 7644 §3.4.2.2 and §3.5.2 for these tests only; scimd's own code is not used.
"""

from __future__ import annotations

import copy
import re
from typing import Any

URN = re.compile(r"(?i)(urn:ietf:params:scim:schemas:[^\s\[]*?:(?:User|Group)):")
TERM = re.compile(
    r'\s*([\w:.$-]+(?:\[[^\]]*\])?(?:\.\w+)?)\s+(\w+)\s+("(?:[^"\\]|\\.)*"|true|false)\s*', re.I
)


class Refused(Exception):
    def __init__(self, status: int, scim_type: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.scim_type, self.detail = status, scim_type, detail


def matches(filter_: str, resource: dict[str, Any]) -> bool:
    """``eq`` and ``co``, joined by ``and``; strings without regard to case, but for ids."""
    rest, verdict = filter_, True
    while True:
        term = TERM.match(rest)
        if not term or term[2].lower() not in ("eq", "co"):
            raise Refused(400, "invalidFilter", f"not understood: {rest}")
        wanted = term[3][1:-1] if term[3].startswith('"') else term[3].lower()
        found = [text(one) for one in values(resource, term[1])]
        one = any(
            wanted.lower() == f.lower() if term[2].lower() == "eq" else wanted.lower() in f.lower()
            for f in found
        )
        verdict, rest = verdict and one, rest[term.end() :]
        if not rest:
            return verdict
        if not rest.lower().startswith("and "):
            raise Refused(400, "invalidFilter", f"not understood: {rest}")
        rest = rest[4:]


def text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def values(resource: dict[str, Any], path: str) -> list[Any]:
    """Every value at a path; a complex value of a list stands for its ``value``."""
    base, name, filter_, sub = parse(path)
    holder = resource.get(base, {}) if base else resource
    found = holder.get(key_of(holder, name))
    rows = found if isinstance(found, list) else [] if found is None else [found]
    if filter_:
        rows = [row for row in rows if matches(filter_, row)]
    return [row.get(sub or "value") if isinstance(row, dict) else row for row in rows]


def key_of(holder: dict[str, Any], name: str) -> str:
    return next((key for key in holder if key.lower() == name.lower()), name)


def parse(path: str) -> tuple[str, str, str, str]:
    """(extension's URN, attribute, value filter, sub-attribute), each perhaps empty."""
    base = ""
    if urn := URN.match(path):
        base, path = urn[1], path[urn.end() :]
        if "core" in base:
            base = ""
    found = re.fullmatch(r"([\w$-]+)(?:\[(.*)\])?(?:\.([\w$]+))?", path)
    if not found:
        raise Refused(400, "invalidPath", f"not understood: {path}")
    return base, found[1], found[2] or "", found[3] or ""


def patched(
    resource: dict[str, Any], operations: list[dict[str, Any]], faults: frozenset[str]
) -> dict[str, Any]:
    """A changed copy."""
    result = copy.deepcopy(resource)
    for operation in operations:
        op, path, value = operation["op"].lower(), operation.get("path"), operation.get("value")
        if path:
            change(result, op, path, value, faults)
            continue
        if not isinstance(value, dict):
            raise Refused(400, "invalidValue", "without a path the value must be an object")
        for key, inner in value.items():
            if key in ("id", "schemas", "meta"):
                continue
            if "dotted_keys_dropped" in faults and "." in key:
                continue
            if isinstance(inner, dict) and not key.lower().startswith("urn:"):
                for sub, one in inner.items():
                    change(result, op, f"{key}.{sub}", one, faults)
            else:
                change(result, op, key, inner, faults)
    return result


def change(resource: dict[str, Any], op: str, path: str, value: Any, faults: frozenset[str]) -> None:
    base, name, filter_, sub = parse(path)
    holder = resource.setdefault(base, {}) if base else resource
    name = key_of(holder, name)
    if filter_:
        change_within(holder, name, op, filter_, sub, value, faults)
    elif op == "remove":
        remove(holder, name, value, faults)
    elif sub:
        holder.setdefault(name, {})[sub] = value
    elif isinstance(holder.get(name), list) or name == "members":
        put_list(holder, name, op, value if isinstance(value, list) else [value], faults)
    else:
        holder[name] = as_stored(name, value, faults)


def as_stored(name: str, value: Any, faults: frozenset[str]) -> Any:
    if name == "manager":
        value = value[0] if isinstance(value, list) else value
        if isinstance(value, str) and "manager_string_refused" in faults:
            raise Refused(400, "invalidValue", "manager must be an object")
        value = (
            {"value": value} if isinstance(value, str) else {k: v for k, v in value.items() if v is not None}
        )
        return value if value.get("value") else {}
    if name == "active" and isinstance(value, str) and "boolean_kept_as_string" not in faults:
        return value.lower() == "true"
    return value


def remove(holder: dict[str, Any], name: str, value: Any, faults: frozenset[str]) -> None:
    rows = holder.get(name)
    if isinstance(rows, list) and value and "remove_list_wipes" not in faults:
        gone = {row["value"] for row in value}
        holder[name] = [row for row in rows if row["value"] not in gone]
    else:
        holder.pop(name, None)


def put_list(holder: dict[str, Any], name: str, op: str, rows: list[Any], faults: frozenset[str]) -> None:
    rows = [{k: v for k, v in row.items() if v is not None} for row in rows]
    old = holder.get(name) or []
    additive = op == "add" or "replace_is_additive" in faults
    if "re_add_409" in faults and op == "add" and any(row in old for row in rows):
        raise Refused(409, "uniqueness", "already a member")
    kept = list(old) if additive else []
    present = set() if "re_add_doubles" in faults else {row["value"] for row in kept}
    holder[name] = kept + [row for row in rows if row["value"] not in present]


def change_within(
    holder: dict[str, Any], name: str, op: str, filter_: str, sub: str, value: Any, faults: frozenset[str]
) -> None:
    rows = holder.setdefault(name, [])
    hits = [row for row in rows if matches(filter_, row)]
    if op == "remove":
        holder[name] = [row for row in rows if row not in hits]
        return
    if not hits:
        if "no_target" in faults:
            raise Refused(400, "noTarget", f"nothing matches {filter_}")
        term = TERM.match(filter_)
        assert term
        wanted = term[3].strip('"')
        hits = [{term[1]: wanted.lower() == "true" if term[1] == "primary" else wanted}]
        rows.extend(hits)
    for row in hits:
        row.update({sub or "value": value})
