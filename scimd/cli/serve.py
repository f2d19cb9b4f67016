"""``scimd serve``, ``worker`` and ``migrate``: the processes."""

from __future__ import annotations

from typing import Annotated

import typer

from scimd import app as composition
from scimd import opening
from scimd.cli.common import ConfigOption, JsonOption, guarded, load, said
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
    """Answer HTTP: SCIM, the page, the links of the mails. Owns those who answer, and a worker."""
    if demo_:
        from scimd.cli import demo  # with an HTTP client, which the worker has no use for

        guarded(demo.run)
        return
    guarded(lambda: composition.serve_with_children(load(config), find(config)))


def worker(config: ConfigOption = None) -> None:
    """Run schedule, sync, mail and settling, without HTTP. `serve` starts one by itself."""

    def work() -> None:
        loaded = load(config)
        # On PostgreSQL it may be started before any `serve` was.
        opening.require_schema(loaded, make=loaded.database.url.startswith("postgresql"))
        composition.run(composition.work(loaded, parent=False))

    guarded(work)


def migrate(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Bring the database's schema up to this version. `serve` does it too."""

    revision = guarded(lambda: opening.migrate_schema(load(config)))
    said({"revision": revision}, f"The schema is at revision {revision}.", json=json)
