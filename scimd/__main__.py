"""``python -m scimd``."""

import sys

from scimd.app import ANSWER_BESIDE_SERVER, WORK_BESIDE_SERVER, answer_beside_server, work_beside_server

match sys.argv[1:]:
    case [command, *arguments] if command == WORK_BESIDE_SERVER:
        work_beside_server(arguments)
    case [command, *arguments] if command == ANSWER_BESIDE_SERVER:
        answer_beside_server(arguments)
    case _:
        from scimd.cli import main

        main()
