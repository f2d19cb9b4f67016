"""Fixtures that the whole suite shares; the servers behind them stand in ``tests/support/``."""

import functools

import pytest
import typer.main
import typer.testing
from hypothesis import HealthCheck, settings

# A loaded machine makes one example slow; that is no defect of what is tested.
_PATIENT = settings(
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
#: What is made by chance is the same each time: whoever changes something else does not meet its failure.
settings.register_profile("gate", _PATIENT, derandomize=True)
#: As the long tests are selected.
settings.register_profile("long", _PATIENT)


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("gate" if config.getoption("markexpr") == "not long" else "long")


# Typer builds the tree of all commands for each call of its runner, which takes five times the call.
typer.testing._get_command = functools.cache(typer.main.get_command)

pytest_plugins = [
    "tests.support.daemon",
    "tests.support.postgres",
    "tests.support.database",
    "tests.support.openldap",
    "tests.support.ldap_client",
    "tests.support.smtp",
    "tests.support.passwords",
    "tests.support.installation",
]
