"""python-ldap, for whoever reads a directory here."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from tests.support.requirement import require


@pytest.fixture(scope="session")
def python_ldap() -> None:
    """Leave a test out where the extra ``ldap`` is not installed."""
    require(find_spec("ldap"), "python-ldap is not installed")
