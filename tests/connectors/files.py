"""Reading files as a run does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from connectors.file.connector import FileConnector
from scimd.connector_api import Deadline
from scimd.connector_testing import RecordingLog, Whole, read_whole


async def read(path: Path, **more: Any) -> Whole:
    config = FileConnector.parse({"path": str(path), **more})
    return await read_whole(FileConnector.open(config, RecordingLog(), Deadline.after(60)))
