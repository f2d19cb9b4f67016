"""Requests made from the OpenAPI document, good and bad: what is answered is what it says (schemathesis)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.generation.hypothesis.builder import (
    HypothesisTestConfig,
    HypothesisTestMode,
    create_test,
)
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from scimd.admin import openapi
from scimd.admin.table import TABLE
from scimd.core.errors import InvalidValue, WeakPassword
from scimd.http import guard
from tests.admin.client import form_token_of
from tests.admin.probe import PROBES
from tests.admin.serving import in_thread
from tests.web.site import Site, site

ROWS = (*TABLE, *PROBES)
#: Those of schemathesis but for its 5xx; and 413, as a text may be longer than any body may be.
REFUSALS = ["400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429"]
SCHEMA = schemathesis.openapi.from_dict(
    openapi.document(ROWS, "http://127.0.0.1"),
    config=SchemathesisConfig.from_dict(
        {
            "checks": {
                "missing_required_header": {"expected-statuses": ["401", "403", "422", "428"]},
                "negative_data_rejection": {"expected-statuses": REFUSALS},
            }
        }
    ),
)
#: They check values by what is stored as well, so that not every value of the right form is taken.
RULED = {row.name for row in ROWS if {InvalidValue, WeakPassword} & set(row.refuses)}
_RULED: list[Any] = [ignored_auth, positive_data_acceptance]
#: It would leave out one of two credentials and expect a refusal.
_OTHERS: list[Any] = [ignored_auth]
#: In all, over the endpoints.
EXAMPLES, EXAMPLES_LONG = 500, 5000


@dataclass
class Target:
    url: str
    headers: dict[str, str]
    cookies: dict[str, str]
    ids: Iterator[str]
    turns: Iterator[int]
    keys: set[str] = field(default_factory=set)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    path: Path = tmp_path_factory.mktemp("contract") / "scimd.db"
    with in_thread(lambda: site(f"sqlite:///{path}", api=ROWS)) as (acme, awaited):
        found: Any = awaited(_signed_in(acme))
        ids: Any = awaited(_ids(acme))
        yield Target(acme.url, found[0], found[1], itertools.cycle(ids), itertools.count(1))


async def _signed_in(acme: Site) -> tuple[dict[str, str], dict[str, str]]:
    async with acme.signed_in() as session:
        token = await form_token_of(acme, session)
        cookies = {cookie.key: cookie.value for cookie in session.cookie_jar}
    return {guard.FORM_TOKEN: token, "Sec-Fetch-Site": "same-origin"}, cookies


async def _ids(acme: Site) -> list[str]:
    """One of each thing that there is."""
    source = await acme.source("directory", kind="connector", connector="file")
    okta = await acme.source("okta")
    people = await acme.push(okta, {"userName": "dana@acme.example"}, {"userName": "bo@acme.example"})
    return [source.id, okta.id, *people, await acme.run(source, "done"), await acme.decision(), "nothing"]


def _check(case: Any, target: Target) -> None:
    """Made-up ids and organizations name nothing, so most become real ones; and no two keys are one."""
    turn = next(target.turns)
    if "id" in (case.path_parameters or {}) and turn % 4:
        case.path_parameters["id"] = next(target.ids)
    if isinstance((case.query or {}).get("organization"), str) and turn % 4:
        case.query["organization"] = "acme"
    if re.fullmatch(r"[A-Za-z0-9_-]{0,2000}", str((case.query or {}).get("cursor", "!"))):
        del case.query["cursor"]  # of the right form, and none of ours
    key = str((case.headers or {}).get("Idempotency-Key", "")).strip()
    if "Idempotency-Key" in (case.headers or {}) and (turn % 4 or key in target.keys):
        case.headers["Idempotency-Key"] = f"key-{turn}"
    target.keys.add(key)
    case.call_and_validate(
        base_url=f"{target.url}/api/v1",
        headers=target.headers,
        cookies=target.cookies,
        excluded_checks=_RULED if case.operation.definition.raw["operationId"] in RULED else _OTHERS,
    )


def _holds(name: str, target: Target, examples: int) -> None:
    """Ask one endpoint by examples, by the bounds of each value, and at random.

    Its test, 50 cases and more, is made when it runs: :meth:`SCHEMA.parametrize` makes all of them, which
    takes 15 s and 800 MB, in every worker and whenever a test is collected.
    """
    chosen = settings(
        max_examples=max(2, examples // len(ROWS)),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    create_test(
        operation=SCHEMA.find_operation_by_id(name),
        test_func=_check,
        config=HypothesisTestConfig(
            project=SCHEMA.config, modes=list(HypothesisTestMode), explicit_settings=chosen
        ),
    )(target=target)


@pytest.mark.parametrize("name", [row.name for row in ROWS])
def test_endpoint_answers_as_its_document_says(name: str, target: Target) -> None:
    _holds(name, target, EXAMPLES)


@pytest.mark.long
@pytest.mark.parametrize("name", [row.name for row in ROWS])
def test_endpoint_answers_as_its_document_says_at_length(name: str, target: Target) -> None:
    _holds(name, target, EXAMPLES_LONG)
