"""The settings of an LDAP source, and its connector on a machine without python-ldap."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.ldap.connector import LdapConnector
from scimd.connector_api import BadSetting, ConnectorError, Deadline, Secret
from scimd.connector_testing import RecordingLog


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        ("url", {"url": "http://ldap.example.org"}),
        ("url", {"url": "ldap://ldap.example.org/dc=x??sub?(a=b)"}),
        ("url", {"url": "ldap://user:pw@ldap.example.org"}),
        ("url", {"url": "ldap://ldap.example.org:99999"}),
        ("url", {"url": 7}),
        ("start_tls", {"start_tls": False}),
        ("start_tls", {"url": "ldaps://ldap.example.org", "start_tls": True}),
        ("start_tls", {"start_tls": "yes"}),
        ("bind_password", {"bind_dn": "cn=x"}),
        ("bind_password", {"bind_dn": "cn=x", "bind_password": "in-clear"}),
        ("bind_dn", {"bind_dn": "nobody", "bind_password": Secret("x")}),
        ("user_base", {"user_base": ""}),
        ("user_base", {"user_base": "people"}),
        ("user_filter", {"user_filter": "objectClass=person"}),
        ("user_filter", {"user_filter": "(a=b))(c=d"}),
        ("user_filter", {"user_filter": "(a=b)(c=d)"}),
        ("user_attributes", {"user_attributes": []}),
        ("user_attributes", {"user_attributes": ["mail", "userPassword"]}),
        ("user_attributes", {"user_attributes": ["mail)(uid=*"]}),
        ("id_attribute", {"id_attribute": "mail"}),
        ("scope", {"scope": "base"}),
        ("page_size", {"page_size": 0}),
        ("page_size", {"page_size": 5000}),
        ("page_timeout_s", {"page_timeout_s": 0}),
    ],
)
def test_a_wrong_setting_is_refused_by_its_key(key: str, changed: dict[str, Any]) -> None:
    with pytest.raises(BadSetting) as refused:
        LdapConnector.parse({"url": "ldap://ldap.example.org", "user_base": "dc=example", **changed})
    assert refused.value.key == key


@pytest.mark.parametrize("missing", ["url", "user_base"])
def test_a_missing_setting_is_named(missing: str) -> None:
    given = {"url": "ldap://ldap.example.org", "user_base": "dc=example"}
    del given[missing]
    with pytest.raises(BadSetting) as refused:
        LdapConnector.parse(given)
    assert refused.value.key == missing


def test_starttls_is_on_unless_the_line_is_encrypted_anyway() -> None:
    def parsed(url: str) -> bool:
        return LdapConnector.parse({"url": url, "user_base": "dc=example"}).start_tls

    assert parsed("ldap://ldap.example.org")
    assert not parsed("ldaps://ldap.example.org")
    assert not parsed("ldapi://%2Frun%2Fslapd%2Fldapi")


def test_without_python_ldap_the_mend_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.ldap.connector.find_spec", lambda name: None)
    config = LdapConnector.parse({"url": "ldap://ldap.example.org", "user_base": "dc=example"})
    with pytest.raises(ConnectorError, match=r"scimd\[ldap\]"):
        LdapConnector.open(config, RecordingLog(), Deadline.after(1))
