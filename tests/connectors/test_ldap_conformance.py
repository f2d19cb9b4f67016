"""The LDAP connector holds the contract against a real OpenLDAP, over StartTLS and over LDAPS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from connectors.ldap.connector import LdapConnector
from scimd.connector_api import Secret
from scimd.connector_testing import ConnectorConformance
from tests.support.guard import free_port
from tests.support.openldap import OpenLdap
from tests.support.patience import AT_MOST_S

pytestmark = pytest.mark.usefixtures("python_ldap")


class TestStartTls(ConnectorConformance):
    connector = LdapConnector
    timeout_s = AT_MOST_S
    directory: OpenLdap

    @pytest.fixture(autouse=True)
    def _directory(self, openldap: Callable[..., OpenLdap]) -> None:
        self.directory = openldap(users=200)

    def url(self) -> str:
        return self.directory.url

    def settings(self) -> Mapping[str, Any]:
        return {
            "url": self.url(),
            "ca_file": str(self.directory.ca),
            "bind_dn": self.directory.bind_dn,
            "bind_password": Secret(self.directory.bind_password),
            "user_base": f"ou=people,{self.directory.base}",
            "group_base": self.directory.base,
            "page_size": 50,
        }

    def secrets(self) -> tuple[str, ...]:
        return self.directory.bind_password, "wrong-secret"

    def faults(self) -> Mapping[str, Mapping[str, Any]]:
        settings = self.settings()
        scheme = self.url().partition(":")[0]
        return {
            "wrong password": {**settings, "bind_password": Secret("wrong-secret")},
            "wrong CA": {**settings, "ca_file": str(self.directory.wrong_ca)},
            "no such CA file": {**settings, "ca_file": str(self.directory.folder / "nothing.pem")},
            "nobody listens": {**settings, "url": f"{scheme}://127.0.0.1:{free_port()}"},
            "no such base": {**settings, "user_base": f"ou=nowhere,{self.directory.base}"},
            "no such group base": {**settings, "group_base": f"ou=nowhere,{self.directory.base}"},
            "a filter that is none": {**settings, "user_filter": "(uid=\\zz)"},
        }


class TestLdaps(TestStartTls):
    def url(self) -> str:
        return self.directory.ldaps_url
