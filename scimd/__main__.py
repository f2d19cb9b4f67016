"""``python -m scimd``."""

from scimd.cli import main

main()
