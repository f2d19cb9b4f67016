"""The source ``hr``, which reads a file, in a config and on disk."""

from __future__ import annotations

from pathlib import Path

_SOURCE = """
[[organization.source]]
name = "hr"
connector = "file"
[organization.source.settings]
path = "{directory}"
"""


def file_source(folder: Path) -> str:
    """``hr`` of the organization that stands last in a config; in its directory is one person."""
    directory = folder / "directory"
    directory.mkdir(exist_ok=True)
    (directory / "users.jsonl").write_text('{"id": "x1", "userName": "dana"}\n')
    return _SOURCE.format(directory=directory)
