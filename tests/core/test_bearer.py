"""Scopes, and which addresses may be called."""

from __future__ import annotations

import pytest

from scimd.core.addresses import Reach, is_within
from scimd.core.bearer import PROFILES, SCOPES, check_profile, missing_scopes, scopes_of
from scimd.core.errors import InvalidValue
from scimd.scim.quirks import profiles


def test_no_list_of_scopes_is_all_of_them_and_an_empty_one_a_mistake() -> None:
    assert scopes_of(None) == list(SCOPES)
    assert scopes_of(["groups:read", "users:read", "users:read"]) == ["users:read", "groups:read"]
    for wrong in ([], ["users:delete"], ["users:read", "USERS:WRITE"]):
        with pytest.raises(InvalidValue, match="must be some of users:read"):
            scopes_of(wrong)


def test_the_profiles_that_tokens_may_name_are_those_that_there_are() -> None:
    assert set(PROFILES) == set(profiles.PROFILES)
    assert check_profile("okta") == "okta"
    with pytest.raises(InvalidValue):
        check_profile("octa")


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "Users", ("users:read",)),
        ("HEAD", "Users/1", ("users:read",)),
        ("POST", "Users/.search", ("users:read",)),
        ("POST", "Users", ("users:write",)),
        ("PUT", "Users/1", ("users:write",)),
        ("PATCH", "Users/1", ("users:write",)),
        ("DELETE", "Users/1", ("users:write",)),
        ("GET", "Groups", ("groups:read",)),
        ("POST", "Groups/.search", ("groups:read",)),
        ("POST", "Groups", ("groups:write",)),
        ("PATCH", "Groups/1", ("groups:write",)),
        ("DELETE", "Groups/1", ("groups:write",)),
        ("POST", ".search", ("users:read", "groups:read")),
        ("GET", "Schemas", ()),
        ("GET", "ServiceProviderConfig", ()),
        ("POST", "Bulk", ()),
        ("GET", "Me", ()),
    ],
)
def test_what_a_request_needs(method: str, path: str, needed: tuple[str, ...]) -> None:
    segments = path.split("/")
    assert missing_scopes((), method, segments) == needed
    assert missing_scopes(SCOPES, method, segments) == ()
    for scope in needed:
        assert missing_scopes(set(SCOPES) - {scope}, method, segments) == (scope,)


@pytest.mark.parametrize(
    ("address", "reach", "allowed"),
    [
        ("93.184.215.14", "public", True),
        ("2606:2800:21f::1", "public", True),
        ("10.1.2.3", "public", False),
        ("10.1.2.3", "private", True),
        ("192.168.0.1", "private", True),
        ("fd12::1", "private", True),
        ("93.184.215.14", "private", True),
        ("127.0.0.1", "private", False),
        ("127.0.0.1", "public", False),
        ("127.0.0.1", "loopback", True),
        ("::1", "loopback", True),
        ("10.1.2.3", "loopback", False),
        ("0.0.0.0", "private", False),
        ("169.254.169.254", "private", False),
        ("fe80::1", "private", False),
        ("fd00:ec2::254", "private", False),
        ("100.64.0.1", "private", False),
        ("224.0.0.1", "public", False),
        ("255.255.255.255", "public", False),
        ("240.0.0.1", "public", False),
        ("::ffff:127.0.0.1", "public", False),
        ("::ffff:169.254.169.254", "private", False),
        ("64:ff9b::7f00:1", "public", False),
        ("2002:7f00:1::", "public", False),
        ("::127.0.0.1", "public", False),
        ("127.1", "loopback", False),
        ("example.com", "public", False),
        ("", "public", False),
    ],
)
def test_an_address_may_be_called_only_within_its_reach(address: str, reach: Reach, allowed: bool) -> None:
    assert is_within(address, reach) is allowed
