"""What a standing lets a person do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scimd.core.access import (
    above_ceiling,
    is_account_admin,
    is_privileged,
    permissions,
    protect_last_account_admin,
    require,
)
from scimd.core.errors import Forbidden, Protected
from scimd.core.people import PersonId, RoleName
from scimd.core.roles import ACCOUNT_ADMIN, AUDITOR, BUILT_IN, MANAGER, USER
from scimd.core.standing import ManualGrant

from .people import HR, ROLES, by, decide, gate, in_group, role, rules

NOBODY = RoleName("no-such-role")
ADMIN = (ManualGrant("role", ACCOUNT_ADMIN, "ann"),)


@pytest.mark.parametrize(
    ("name", "ceiling", "above"),
    [
        (USER, USER, False),
        (MANAGER, MANAGER, False),
        (AUDITOR, MANAGER, True),
        (MANAGER, AUDITOR, True),
        (ACCOUNT_ADMIN, MANAGER, True),
        (ACCOUNT_ADMIN, ACCOUNT_ADMIN, False),
        (USER, NOBODY, False),
        (MANAGER, NOBODY, True),
        (NOBODY, ACCOUNT_ADMIN, True),
    ],
)
def test_above_the_ceiling_holds_a_permission_that_the_ceiling_lacks(name, ceiling, above):
    assert above_ceiling(name, ceiling, BUILT_IN) is above


def test_permissions_are_those_of_the_whole_role_set():
    found = decide(
        by(HR), grants=(ManualGrant("role", AUDITOR, "ann"),), memberships=(in_group(role(MANAGER)),)
    )
    assert permissions(found, rules()) == ROLES[AUDITOR].permissions | ROLES[MANAGER].permissions


@pytest.mark.parametrize("more", [{"gates": (gate(),)}, {"has_seat": False}, {"accepted": False}])
def test_whoever_may_not_come_in_has_no_permissions(more):
    assert permissions(decide(grants=ADMIN, **more), rules()) == frozenset()


def test_require_names_the_permission():
    require({"users.read"}, "users.read")
    with pytest.raises(Forbidden, match=r"users\.manage"):
        require({"users.read"}, "users.manage")


def test_disabled_admin_is_still_privileged():
    disabled = decide(grants=ADMIN, gates=(gate("disabled"),))
    assert is_privileged(disabled, rules())
    assert not is_account_admin(disabled)
    assert not is_privileged(decide(), rules())


def test_account_admin_is_who_can_act_as_one():
    assert is_account_admin(decide(grants=ADMIN))
    assert not is_account_admin(decide())


people = st.frozensets(st.sampled_from([PersonId("ann"), PersonId("bob")]))


@given(people, people)
def test_last_account_admin_is_protected(before, after) -> None:
    if before and not after:
        with pytest.raises(Protected, match="ann cannot be deactivated"):
            protect_last_account_admin(before, after, "ann")
    else:
        protect_last_account_admin(before, after, "ann")
