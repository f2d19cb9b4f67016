"""Fixtures that the whole suite shares; the servers behind them stand in ``tests/support/``."""

import functools
import gc
import os

import pytest
import structlog
import typer.main
import typer.testing
from hypothesis import HealthCheck, settings

from scimd.org.ids import Chance

# A loaded machine makes one example slow; that is no defect of what is tested.
_PATIENT = settings(
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
#: What is made by chance is the same each time: whoever changes something else does not meet its failure.
settings.register_profile("gate", _PATIENT, derandomize=True)
#: As the long tests are selected.
settings.register_profile("long", _PATIENT)


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("gate" if config.getoption("markexpr") == "not long" else "long")


@pytest.fixture
def by_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions count changes, so that a test can say how many there were."""
    monkeypatch.setattr(Chance, "step", lambda chance: 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """One more than there are processors: a worker waits for a quarter of its time, for others to answer."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return min(os.cpu_count() or 1, 4) + 1


#: What takes longest, so that no worker begins with it when the others have nothing left to do.
_LONGEST = (
    "tests/e2e/",
    "tests/doors/",
    "tests/scim/test_machines.py",
    "tests/scim/test_filters_against_library.py",
    "tests/scim/test_served_attributes.py",
    "tests/scim/test_tester.py",
    "tests/admin/test_matrix.py",
    "tests/admin/test_promises.py",
    "tests/web/test_browser.py",
    "tests/sync/test_two_processes.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each worker gets a slice of the list (``--dist worksteal``): the longest are the first of each."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    longest = [item for item in items if item.nodeid.startswith(_LONGEST)]
    others = [item for item in items if not item.nodeid.startswith(_LONGEST)]
    share = -(-len(others) // workers)
    items[:] = [
        item for n in range(workers) for item in (*longest[n::workers], *others[n * share : (n + 1) * share])
    ]


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What is loaded by now stays: no collection of garbage needs to look at all of it again."""
    gc.collect()
    gc.freeze()


# As scimd itself has it (``scimd.log``). structlog's own choice draws each frame with all its variables,
# which takes seconds.
structlog.dev.ConsoleRenderer.get_active().exception_formatter = structlog.dev.plain_traceback

# Typer builds the tree of all commands for each call of its runner, which takes five times the call.
typer.testing._get_command = functools.cache(typer.main.get_command)

pytest_plugins = [
    "tests.support.daemon",
    "tests.support.postgres",
    "tests.support.database",
    "tests.support.openldap",
    "tests.support.ds389",
    "tests.support.ldap_client",
    "tests.support.smtp",
    "tests.support.passwords",
    "tests.support.documents",
    "tests.support.installation",
]
