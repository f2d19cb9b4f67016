"""Parts of a directory that another server keeps, as a search names them."""

from __future__ import annotations

import pytest

from connectors.referrals import Referrals

_BASE = "dc=acme,dc=example"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("ldap://paris.acme.example/ou=paris,dc=acme,dc=example??sub", "ou=paris,dc=acme,dc=example"),
        ("ldap://x/ou=S%C3%A3o%20Paulo,dc=acme,dc=example", "ou=São Paulo,dc=acme,dc=example"),
        ("ldap://emea.acme.example/DC=emea,DC=acme,DC=example", "DC=emea,DC=acme,DC=example"),
        ("ldap://x/CN=Configuration,OU=paris,DC=acme", "CN=Configuration,OU=paris,DC=acme"),
        ("ldap://x/cn=configuration\\2cdc=acme", "cn=configuration\\2cdc=acme"),
        ("ldap://x/", _BASE),
        ("ldap://x", _BASE),
        ("somewhere", _BASE),
    ],
)
def test_a_referral_is_a_part_that_was_not_read(address: str, name: str) -> None:
    (bad,) = Referrals(()).unread([[address]], _BASE)
    assert (bad.external_id, bad.name) == (None, name)
    assert address in bad.why


@pytest.mark.parametrize("partition", ["DC=ForestDnsZones", "DC=DomainDnsZones", "CN=Configuration"])
def test_partitions_of_active_directory_hold_no_people(partition: str) -> None:
    addresses = [f"ldap://acme.example/{partition},DC=acme,DC=example"]
    assert not Referrals(()).unread([addresses], _BASE)


def test_a_part_is_told_once_however_many_addresses_and_searches_name_it() -> None:
    referrals = Referrals(())
    addresses = ["ldap://a/ou=paris,dc=x", "ldap://b/OU=Paris,DC=x"]
    (bad,) = referrals.unread([addresses])
    assert "ldap://b" in bad.why
    assert not referrals.unread([addresses[1:]])


def test_only_what_is_named_is_ignored() -> None:
    referrals = Referrals(["OU=Paris, dc=x"])
    assert not referrals.unread([["ldap://a/ou=paris,dc=x"]])
    assert referrals.unread([["ldap://a/ou=lyon,dc=x"], ["ldap://a/ou=dep,ou=paris,dc=x"]])


def test_a_referral_without_an_address_counts() -> None:
    (bad,) = Referrals(()).unread([[]], _BASE)
    assert bad.name == _BASE
