"""The import contracts of pyproject.toml hold, and would notice if they did not."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import grimp
import pytest
from importlinter.api import read_configuration
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.layers import LayersContract
from importlinter.domain.contract import Contract

ROOT = Path(__file__).parent.parent
OPTIONS = read_configuration(str(ROOT / "pyproject.toml"))
PACKAGES: list[str] = OPTIONS["session_options"]["root_packages"]
CONTRACTS: dict[str, dict[str, Any]] = {each["name"]: each for each in OPTIONS["contracts_options"]}
TYPES: dict[str, type[Contract]] = {"layers": LayersContract, "forbidden": ForbiddenContract}


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)


def _is_kept(name: str, imports: grimp.ImportGraph) -> bool:
    options = copy.deepcopy(CONTRACTS[name])
    contract = TYPES[options["type"]](name, OPTIONS["session_options"], options)
    check = contract.check(copy.deepcopy(imports), verbose=False)
    if not check.kept:
        contract.render_broken_contract(check)
    return check.kept


@pytest.mark.parametrize("name", CONTRACTS)
def test_contract_is_kept(name: str, imports: grimp.ImportGraph) -> None:
    assert _is_kept(name, imports)


@pytest.mark.parametrize(
    ("name", "importer", "imported"),
    [
        ("imports run one way", "scimd.core.errors", "scimd.db"),
        ("imports run one way", "scimd.scim", "scimd.admin"),
        ("imports run one way", "scimd.db", "scimd.org"),
        ("the core is pure", "scimd.core.errors", "asyncio"),
        ("the core is pure", "scimd.connector_api", "logging"),
        ("only expressions know CEL", "scimd.sync", "cel_expr_python"),
        ("the edges and sync see no database", "scimd.web", "sqlalchemy"),
        ("the edges and sync see no database", "scimd.cli", "scimd.db"),
        ("connectors know only the contract", "connectors.file", "scimd.core.errors"),
        ("scimd finds connectors by entry point only", "scimd.sync", "connectors.ldap"),
    ],
)
def test_contract_breaks_when_import_crosses_it(
    name: str, importer: str, imported: str, imports: grimp.ImportGraph
) -> None:
    changed = copy.deepcopy(imports)
    changed.add_module(imported, is_squashed=imported.split(".")[0] not in PACKAGES)
    changed.add_import(importer=importer, imported=imported, line_number=1, line_contents="import it")
    assert not _is_kept(name, changed)


def test_every_contract_has_an_import_that_breaks_it() -> None:
    (marker,) = test_contract_breaks_when_import_crosses_it.pytestmark  # type: ignore[attr-defined]
    assert {name for name, *_ in marker.args[1]} == set(CONTRACTS)


def test_stray_module_breaks_the_layers(imports: grimp.ImportGraph) -> None:
    changed = copy.deepcopy(imports)
    changed.add_module("scimd.utils")
    assert not _is_kept("imports run one way", changed)


def test_connectors_are_kept_from_every_package_of_scimd(imports: grimp.ImportGraph) -> None:
    kept_from = set(CONTRACTS["connectors know only the contract"]["forbidden_modules"])
    assert imports.find_children("scimd") - kept_from == {"scimd.connector_api"} | (
        {"scimd.__main__"} & imports.modules
    )
