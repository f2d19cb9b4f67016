"""Fixtures that the whole suite shares; the servers behind them stand in ``tests/support/``."""

pytest_plugins = [
    "tests.support.daemon",
    "tests.support.postgres",
    "tests.support.openldap",
    "tests.support.smtp",
]
