"""Fixtures that the whole suite shares; the servers behind them stand in ``tests/support/``."""

import functools

import typer.main
import typer.testing
from hypothesis import settings

# A loaded machine makes one example slow; that is no defect of what is tested.
settings.register_profile("scimd", deadline=None, print_blob=True)
settings.load_profile("scimd")

# Typer builds the tree of all commands for each call of its runner, which takes five times the call.
typer.testing._get_command = functools.cache(typer.main.get_command)

pytest_plugins = [
    "tests.support.daemon",
    "tests.support.postgres",
    "tests.support.database",
    "tests.support.openldap",
    "tests.support.ldap_client",
    "tests.support.smtp",
    "tests.support.installation",
]
