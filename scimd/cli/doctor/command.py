"""``scimd doctor --as IDP``: the command around the sequences.

Exit codes: 0 nothing failed · 1 something failed or could not be removed, or wrong usage · 2 the endpoint
could not be reached or refused the token · 130 interrupted (143 by SIGTERM).
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.markup import escape

from scimd.cli.common import ConfigOption, JsonOption, err, fail, guarded, load, out, print_json
from scimd.cli.doctor import report
from scimd.cli.doctor.client import Client
from scimd.cli.doctor.play import Play, Result
from scimd.cli.doctor.sequences import SEQUENCES
from scimd.cli.doctor.stage import Names, NoEntry


class Idp(StrEnum):
    okta = "okta"
    entra = "entra"
    onelogin = "onelogin"
    jumpcloud = "jumpcloud"
    google = "google"
    ping = "ping"


class BadTarget(ValueError):
    """An option that cannot be used; the text says why, without the token."""


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def doctor(
    idp: Annotated[Idp, typer.Option("--as", help="The identity provider to play.")],
    token: Annotated[str, typer.Option(help="The bearer token, or better env:NAME or file:PATH.")],
    url: Annotated[
        str | None, typer.Option(help="The SCIM base URL; else server.public_url + /scim/v2.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report to share into this file.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, max=600, help="Seconds for one request.")] = 30,
    domain: Annotated[
        str, typer.Option(help="The domain of the addresses that are made; one that gets no mail.")
    ] = "example.invalid",
    keep: Annotated[bool, typer.Option("--keep", help="Leave what was made, to look at it.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Play an identity provider against a SCIM endpoint, clean up, and say what to change.

    It makes a few people and groups named scimd-doctor-… and removes them. Any endpoint will do, not
    only scimd's.
    """
    try:
        base = checked_url(
            guarded(lambda: load(config).server.public_url + "/scim/v2") if url is None else url
        )
        secret = read_token(token)
        names = Names(checked_domain(domain))
        if html is not None and not html.absolute().parent.is_dir():
            raise BadTarget(f"--html: there is no folder {html.parent}")
    except BadTarget as exc:
        fail(str(exc))
    sequence = SEQUENCES[idp]
    client = Client(base, secret, sequence.manner, timeout_s=timeout)
    play = Play(sequence, client, names, keep=keep, tell=_quiet if json else _tell)
    if not json:
        out.print(f"[bold]{escape(sequence.title)}[/bold] against {escape(base)}")
    ended_by = _run(play, as_json=json)
    _finish(play, html, as_json=json, ended_by=ended_by)


def _run(play: Play, *, as_json: bool) -> int | None:
    """The signal that ended it, or None. Its first ends the sequence; one during the clean-up ends that."""
    caught: list[int] = []

    async def work() -> None:
        loop, playing = asyncio.get_running_loop(), asyncio.ensure_future(play.run())

        def stop(number: int) -> None:
            if not caught and not play.cleaning:
                err.print("Interrupted: removing what was made. Once more, and the rest stays.")
            caught.append(number)
            playing.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, number)
        async with play.stage.client:
            await playing

    try:
        asyncio.run(work())
    except asyncio.CancelledError:
        if not caught:
            raise
    except NoEntry as exc:
        if as_json:
            print_json(
                {
                    "as": play.sequence.key,
                    "url": play.stage.client.url,
                    "verdict": "no entry",
                    "why": str(exc),
                }
            )
        fail(str(exc), code=2)
    return caught[0] if caught else None


def _finish(play: Play, html: Path | None, *, as_json: bool, ended_by: int | None) -> None:
    interrupted = ended_by is not None
    if as_json:
        print_json(report.as_document(play, interrupted=interrupted))
    else:
        report.print_end(out, play)
    if html is not None:
        try:
            report.write_html(html, play, interrupted=interrupted)
        except OSError as exc:
            fail(f"--html: {html}: {exc.strerror}")
        err.print(f"The report is in {html}.", markup=False)
    if ended_by is not None:
        fail("Interrupted.", code=128 + ended_by)
    if play.failed:
        raise typer.Exit(1)


def _tell(result: Result) -> None:
    report.print_result(out, result)


def _quiet(_: Result) -> None:
    """In JSON all comes at the end."""


def read_token(given: str) -> str:
    """The token itself, or what env:NAME or file:PATH holds. Raises BadTarget, never with the token."""
    kind, _, rest = given.partition(":")
    if kind == "env" and rest:
        value = os.environ.get(rest, "")
        if not value:
            raise BadTarget(f"--token: the environment variable {rest} is not set")
    elif kind == "file" and rest:
        try:
            value = Path(rest).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise BadTarget(
                f"--token: {rest} cannot be read: {getattr(exc, 'strerror', None) or 'no text'}"
            ) from exc
    else:
        value = given
    value = value.strip()
    if not value or not re.fullmatch(r"[!-~]+", value):
        raise BadTarget("--token: a token is one word of printable ASCII")
    return value


def checked_url(given: str) -> str:
    try:
        parts = urlsplit(given)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 0) >= 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment or parts.username or re.search(r"\s", given):
        raise BadTarget(
            "--url: give the SCIM base URL, such as https://scim.example.com/scim/v2, and nothing more"
        )
    base = given.rstrip("/")
    if base.lower().endswith(("/users", "/groups", "/schemas", "/resourcetypes", "/serviceproviderconfig")):
        raise BadTarget(f"--url: {given} is an endpoint; give the SCIM base URL: {base.rpartition('/')[0]}")
    return base


def checked_domain(given: str) -> str:
    if not re.fullmatch(
        r"(?=.{1,200}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+", given, re.I
    ):
        raise BadTarget(f"--domain: {given!r} is no domain")
    return given
