"""The command line. A file per noun; ``main`` is the entry point."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from scimd import __version__
from scimd.cli import (
    admin,
    audit,
    catalogue,
    check,
    common,
    decide,
    doctor,
    domain,
    export,
    group,
    invitation,
    org,
    partner,
    replay,
    rule,
    run,
    scim_log,
    seats,
    serve,
    sign_ins,
    source,
    sync,
    token,
    token_api,
    token_client,
    user,
    user_changes,
    user_explain,
    user_links,
    user_show,
)
from scimd.core.words import of_a_check


class _Commands(TyperGroup):
    """Says what is wrong with an option in our words, not in those of the library that checks it."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as exc:
            exc.message = of_a_check(exc.message)
            raise


app = typer.Typer(
    name="scimd",
    cls=_Commands,
    help="Keeps an organization's people, projects and roles true to the company's directory. Times are UTC.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    add_completion=False,
)
for commands in (serve, check, sync, doctor, replay):
    commands.register(app)
user_changes.register(user.app)
user_links.register(user.app)
user_explain.register(user.app)
user_show.register(user.app)
for words, commands_listed in (
    ("user", user.app),
    ("invitation", invitation.app),
    ("group", group.app),
    ("project", catalogue.projects),
    ("team", catalogue.teams),
    ("licence", catalogue.licences),
    ("role", catalogue.roles),
    ("seats", seats.app),
    ("session", sign_ins.session),
    ("login-attempt", sign_ins.login_attempt),
    ("source", source.app),
    ("rule", rule.app),
    ("token", token.app),
    ("token client", token_client.app),
    ("token api", token_api.app),
    ("scim-log", scim_log.app),
    ("run", run.app),
    ("decide", decide.app),
    ("domain", domain.app),
    ("org", org.app),
    ("partner", partner.app),
    ("audit", audit.app),
):
    export.add(commands_listed, words)
for noun in (
    org,
    partner,
    domain,
    token,
    source,
    group,
    rule,
    scim_log,
    run,
    decide,
    user,
    invitation,
    seats,
    audit,
    admin,
):
    app.add_typer(noun.app)
for commands_of in (
    catalogue.projects,
    catalogue.teams,
    catalogue.licences,
    catalogue.roles,
    sign_ins.session,
    sign_ins.login_attempt,
):
    app.add_typer(commands_of)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"scimd {__version__}")  # noqa: T201 - the answer itself
        raise typer.Exit


def ended_by(exc: BaseException) -> None:
    """End a command that was run past these commands as they end."""

    def again() -> NoReturn:
        raise exc

    try:
        common.guarded(again)
    except typer.Exit as ended:
        sys.exit(ended.exit_code)


#: What writing raises where there is no more room; a reader that went away is Click's to end.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main() -> None:
    if sys.stdout is None:  # the database would be opened in its place, and be printed into
        _end("standard output: it is closed; send it to a file or to /dev/null")
    for argument in map(os.fsencode, sys.argv[1:]):
        encoding = sys.getfilesystemencoding()
        text = argument.decode(encoding, "backslashreplace")
        if text.encode(encoding, "replace") != argument:
            _end(f"argument {text}: is not {encoding}; type it in the encoding of this terminal's locale")
    for stream in (sys.stdout, sys.stderr):
        # A letter that the terminal's encoding lacks is a question mark, and ends no list.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    # Wrong usage ends like any other error; Click's own 2 would say that a plan has changes.
    usage_error: Any = typer.BadParameter.__bases__[0]
    usage_error.exit_code = 1
    try:
        app()
    except OSError as exc:
        if exc.errno not in _FULL or exc.filename is not None:
            raise
        with open(os.devnull, "wb") as nowhere:  # Python writes what is left once more as it ends
            os.dup2(nowhere.fileno(), 1)
        _end(f"standard output: {exc.strerror}")


def _end(sentence: str) -> NoReturn:
    with contextlib.suppress(typer.Exit):
        common.fail(sentence)
    sys.exit(1)
