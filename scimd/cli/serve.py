"""``scimd serve``, ``worker`` and ``migrate``: the processes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from scimd import app as composition
from scimd.cli import demo
from scimd.cli.common import ConfigOption, JsonOption, guarded, load, out, print_json
from scimd.config import find


def register(app: typer.Typer) -> None:
    app.command("serve")(serve)
    app.command("worker")(worker)
    app.command("migrate")(migrate)


def serve(
    demo_: Annotated[
        bool, typer.Option("--demo", help="A whole company to look at, afresh each time, in ./.demo/.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Answer HTTP: SCIM, the page, the links of the mails. Owns a worker process."""
    if demo_:
        guarded(demo.run)
        return
    guarded(lambda: _run(composition.serve(load(config), find(config))))


def _run(serving: Coroutine[Any, Any, None]) -> None:
    """On uvloop where it is installed: half the time of asyncio's own loop per request."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(serving)
    else:
        uvloop.run(serving)


def worker(
    parent: Annotated[
        bool, typer.Option("--parent", hidden=True, help="Stop when standard input ends.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Run schedule, sync, mail and settling, without HTTP. `serve` starts one by itself."""
    guarded(lambda: asyncio.run(composition.work(load(config), parent=parent)))


def migrate(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Bring the database's schema up to this version. `serve` does it too."""

    revision = guarded(lambda: composition.migrate_schema(load(config)))
    if json:
        print_json({"revision": revision})
    else:
        out.print(f"The schema is at revision {revision}.")
