"""A directory that speaks LDAP: OpenLDAP, 389 Directory Server and their kin.

This module can be imported without python-ldap, which is an extra; only opening a source needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from connectors.ldap.config import LdapConfig, parse
from scimd.connector_api import ConnectorError, Deadline, Log

if TYPE_CHECKING:
    from connectors.ldap.source import LdapSource


class LdapConnector:
    """The entry point ``ldap``."""

    @staticmethod
    def parse(settings: Mapping[str, Any]) -> LdapConfig:
        return parse(settings)

    @staticmethod
    def open(config: LdapConfig, log: Log, deadline: Deadline) -> LdapSource:
        if find_spec("ldap") is None:
            raise ConnectorError(
                "the ldap connector needs python-ldap, which is not installed: install scimd[ldap]"
                " (on Debian it takes gcc, python3-dev, libldap2-dev and libsasl2-dev to build)"
            )
        from connectors.ldap.source import LdapSource  # only here, since it imports python-ldap

        return LdapSource(config, log, deadline)
