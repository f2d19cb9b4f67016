"""``python -m scimd``, and the entry point of the command line."""

import sys
from pathlib import Path

from scimd import app, config, log


def main() -> None:
    match sys.argv[1:]:
        case [app.WORK_BESIDE_SERVER, *arguments]:
            app.work_beside_server(arguments)
        case [app.ANSWER_BESIDE_SERVER, *arguments]:
            app.answer_beside_server(arguments)
        case ["serve"]:
            _serve(None)
        case ["serve", "--config", path] if path:
            _serve(Path(path))
        case _:
            from scimd.cli import main as commands

            commands()


def _serve(path: Path | None) -> None:
    """``scimd serve`` past the commands, whose modules would weigh on it and what it forks for good.

    They say what is wrong, where something is.
    """
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
