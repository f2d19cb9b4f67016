"""Whatever stands where in an answer, the doctor comes to a verdict and cleans up."""

from __future__ import annotations

from typing import Any

import pytest

from scimd.cli.doctor.redaction import Redaction
from scimd.cli.doctor.report import as_document
from tests.cli.doctor_target import served
from tests.cli.faulty_scim import ENTERPRISE
from tests.cli.test_doctor_sequences import play

KEYS = ["schemas", "id", "meta", "members", "Resources", "totalResults", "emails", "name", "detail",
        "userName", "displayName", ENTERPRISE]  # fmt: skip
VALUES: list[Any] = [None, 5, "x\n\ud800", [5], [None, []], {"value": [5]}]


@pytest.mark.parametrize("key", KEYS)
def test_every_answer_is_judged_whatever_stands_in_it(key: str) -> None:
    for value in VALUES:
        for idp in ("okta", "entra"):
            with served() as target:
                target.scim.mangled = {key: value}
                played = play(idp, target)
            document = as_document(played)
            assert document["verdict"] in ("passed", "failed")
            assert len(played.results) == sum(document["counts"].values())


@pytest.mark.parametrize(
    "spelled",
    [
        'ab/cd+ef&gh"==',
        'ab/cd+ef&gh\\"==',
        'ab\\/cd+ef&gh\\"==',
        "ab%2Fcd%2Bef%26gh%22%3D%3D",
        "ab/cd+ef&amp;gh&quot;==",
    ],
)
def test_token_is_hidden_however_the_endpoint_spells_it(spelled: str) -> None:
    token = 'ab/cd+ef&gh"=='
    assert Redaction(token).text(f"Bearer {spelled}.") == "Bearer ***."
