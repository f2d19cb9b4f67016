"""``python -m scimd``."""

import sys
from pathlib import Path

from scimd.app import BESIDE_SERVER, work_beside_server

if sys.argv[1:2] == [BESIDE_SERVER]:
    work_beside_server(Path(sys.argv[2]) if len(sys.argv) > 2 else None)
else:
    from scimd.cli import main

    main()
