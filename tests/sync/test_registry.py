from __future__ import annotations

from typing import Any

import pytest

from scimd.config import Source
from scimd.sync import registry
from scimd.sync.registry import NoConnector
from tests.sync.world import Point


def source(**more: Any) -> Source:
    return Source.model_validate(
        {"name": "hr", "connector": "file", "settings": {"path": "people.csv"}} | more
    )


def test_our_own_connectors_are_found_as_a_strangers_would_be() -> None:
    assert {"file", "ldap"} <= set(registry.names())
    assert registry.connector("file").parse({"path": "x.csv"}) is not None


def test_unknown_connector_names_those_there_are() -> None:
    with pytest.raises(NoConnector, match=r"there is no connector 'fiel'; there are: scim, .*file"):
        registry.connector("fiel")


@pytest.mark.parametrize(
    ("name", "error", "part"),
    [
        ("ldap", ImportError("No module named 'ldap'", name="ldap"), 'the extra "ldap"'),
        ("strange", ImportError("No module named 'zeep'", name="zeep"), "a package that brings zeep"),
        ("strange", AttributeError("module has no attribute 'X'"), "no attribute 'X'"),
    ],
)
def test_connector_that_cannot_be_loaded_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, name: str, error: Exception, part: str
) -> None:
    class Broken(Point):
        def load(self) -> Any:
            raise error

    monkeypatch.setattr(registry, "_found", lambda: {name: Broken()})
    with pytest.raises(NoConnector) as caught:
        registry.connector(name)
    assert part in str(caught.value)


def test_source_in_order_has_no_faults() -> None:
    tests = [{"entry": {"userName": "ada"}, "expect": {"userName": "ada"}}]
    assert registry.faults_of(source(schedule="15m", mapping_test=tests)) == []
    assert registry.faults_of(Source(name="okta")) == []


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"connector": "nothing"}, "connector: there is no connector 'nothing'"),
        ({"settings": {}}, "settings.path: is missing"),
        ({"schedule": "often"}, "schedule: 'often': write an interval"),
        ({"mapping": {"user": {"title": "entry."}}}, "mapping.user.title: line 1, column 7: Syntax error"),
        (
            {"mapping_test": [{"entry": {"userName": "ada"}, "expect": {"userName": "eve"}}]},
            "mapping test 1: userName is 'ada', and 'eve' was expected",
        ),
    ],
)
def test_each_fault_is_a_sentence_with_its_key(more: dict[str, Any], fault: str) -> None:
    (found,) = registry.faults_of(source(**more))
    assert found.startswith(fault)


def test_all_faults_are_told_at_once() -> None:
    wrong = source(settings={}, schedule="often", mapping={"user": {"title": "entry."}})
    assert len(registry.faults_of(wrong)) == 3
