"""``scimd check SOURCE``: open the source as a run would, and ask it."""

from __future__ import annotations

from dataclasses import dataclass

from scimd import log
from scimd.config import Source
from scimd.connector_api import BadSetting, ConnectorError, Deadline
from scimd.sync.registry import NoConnector, connector

_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """One sentence for the admin; warnings are part of a good one."""

    ok: bool
    sentence: str


async def check(source: Source) -> Verdict:
    """Address, credentials, scope and read rights of a connector's source; changes nothing."""
    try:
        found = connector(source.connector)
        opened = found.open(found.parse(source.settings), log.get(source.name), Deadline.after(_TIMEOUT_S))
        try:
            checked = await opened.check()
        finally:
            await opened.aclose()
    except BadSetting as exc:
        return Verdict(False, f"settings.{exc.key}: {exc.why}")
    except (NoConnector, ConnectorError) as exc:
        return Verdict(False, str(exc))
    return Verdict(True, " ".join((checked.summary, *checked.warnings)))
