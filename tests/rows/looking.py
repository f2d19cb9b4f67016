"""What tests of rows look at people with, and send."""

from __future__ import annotations

import base64
import csv
import io
from typing import Any

from tests.support.installation import Installation

#: One transparent pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


def untimed(row: dict[str, Any]) -> dict[str, Any]:
    """Both doors give times, each in its own form of RFC 3339."""
    return {name: value for name, value in row.items() if not name.endswith("_at")}


async def listed(acme: Installation, who: str, *words: str) -> dict[str, Any]:
    """The line of the CLI's list."""
    (row,) = await acme.cli("user", "list", "--search", who, *words)
    found: dict[str, Any] = row
    return found


async def causes_of(acme: Installation, who: str) -> tuple[str, list[str]]:
    """Status and kinds of causes, by the CLI, which the API must say as well."""
    row = await listed(acme, who, "--org", "acme")
    said = await acme.api.get(f"/users/{row['id']}")
    assert (row["status"], row["causes"]) == (said["status"], said["causes"])
    return row["status"], [cause.partition(":")[0] for cause in row["causes"]]


def csv_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def patch_of(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": list(operations)}
