"""``scimd check SOURCE``: open the source as a run would, and ask it."""

from __future__ import annotations

from dataclasses import dataclass

from scimd import log
from scimd.config import Source
from scimd.connector_api import BadSetting, Checked, ConnectorError, Deadline
from scimd.sync.collect import as_connector_error
from scimd.sync.registry import NoConnector, connector
from scimd.sync.waiting import TookTooLong, let_go, within

logger = log.get(__name__)

_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """One sentence for the admin; warnings are part of a good one."""

    ok: bool
    sentence: str


async def check(source: Source) -> Verdict:
    """Address, credentials, scope and read rights of a connector's source; changes nothing."""
    try:
        checked = await _ask(source)
    except BadSetting as exc:
        return Verdict(False, f"settings.{exc.key}: {exc.why}")
    except NoConnector as exc:
        return Verdict(False, str(exc))
    except TookTooLong:
        return Verdict(False, f"the check was not finished after {_TIMEOUT_S:g} s")
    except Exception as exc:
        if not isinstance(exc, ConnectorError):
            logger.error("connector_broke_its_contract", exc_info=exc)
        return Verdict(False, str(as_connector_error(exc)))
    return Verdict(True, " ".join((checked.summary, *checked.warnings)))


async def _ask(source: Source) -> Checked:
    """Raises TookTooLong where the connector minds no deadline, and whatever it raises itself."""
    found = connector(source.connector)
    opened = found.open(found.parse(source.settings), log.get(source.name), Deadline.after(_TIMEOUT_S))
    try:
        return await within(_TIMEOUT_S, opened.check())
    finally:
        await let_go(opened, source.name)
