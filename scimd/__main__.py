"""``python -m scimd``, and the entry point of the command line."""

import os
import signal
import sys
from pathlib import Path


def main() -> None:
    _stand_in()
    # While the modules load, Ctrl-C ends us as SIGTERM does: a traceback through them tells nobody anything.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from scimd import app

    match sys.argv[1:]:
        case [app.WORK_BESIDE_SERVER]:
            app.work_beside_server()
        case [app.ANSWER_BESIDE_SERVER, *files]:
            app.answer_beside_server(files)
        case ["serve"]:
            _serve(None)
        case ["serve", "--config", path] if path:
            _serve(Path(path))
        case _:
            from scimd.cli import main as commands

            if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            commands()


def _stand_in() -> None:
    """Open /dev/null in place of standard streams that are closed.

    The next file to be opened would have its place else, be it a database or a pipe to a child.
    """
    for file in range(3):
        try:
            os.fstat(file)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest that is free: this one
    # Without standard output a command has nowhere to say what it found, and refuses.
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - as long as the process
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _serve(path: Path | None) -> None:
    """``scimd serve`` past the commands, whose modules would weigh on it and what it forks for good.

    They say what is wrong, where something is.
    """
    from scimd import app, config, log

    try:
        found = config.find(path)
        loaded = config.load(found)
        log.configure(loaded.log.level, loaded.log.format)
        app.serve_with_children(loaded, found)
    except (Exception, KeyboardInterrupt) as exc:
        from scimd.cli import ended_by

        ended_by(exc)


if __name__ == "__main__":
    main()
