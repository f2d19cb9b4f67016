"""``scimd replay``: an export of the request log, played again and compared."""

from scimd.cli.replay.command import register

__all__ = ["register"]
