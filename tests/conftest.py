"""Fixtures that the whole suite shares; the servers behind them stand in ``tests/support/``."""

from hypothesis import settings

# A loaded machine makes one example slow; that is no defect of what is tested.
settings.register_profile("scimd", deadline=None, print_blob=True)
settings.load_profile("scimd")

pytest_plugins = [
    "tests.support.daemon",
    "tests.support.postgres",
    "tests.support.openldap",
    "tests.support.ldap_client",
    "tests.support.smtp",
]
