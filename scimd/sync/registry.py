"""Which connectors there are, and whether a source's own part of the config can be used.

Connectors are found through the entry points of the group ``scimd.connectors``, scimd's own and a
stranger's alike.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from scimd.config import Source
from scimd.connector_api import BadSetting, Connector
from scimd.core.extensions import users_with
from scimd.core.sync.mapping import Mapping, WrongMapping, compile_mapping, failing_tests, path_of
from scimd.sync.schedule import WrongSchedule, following

GROUP = "scimd.connectors"
#: What to install where a connector of ours lacks a library.
_EXTRAS = {
    "ldap": 'the extra "ldap" (pip install "scimd[ldap]"; it needs gcc, libldap2-dev and libsasl2-dev)'
}


class NoConnector(Exception):
    """There is no such connector, or it cannot be loaded; the text is a sentence for the admin."""


def names() -> list[str]:
    return sorted(_found())


@cache
def _found() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def connector(name: str) -> type[Connector]:
    """The class that the entry point names. Raises NoConnector."""
    point = _found().get(name)
    if point is None:
        raise NoConnector(f"there is no connector {name!r}; there are: {', '.join(['scim', *names()])}")
    try:
        loaded: type[Connector] = point.load()
    except ImportError as exc:
        missing = _EXTRAS.get(name, f"a package that brings {exc.name or 'what it imports'}")
        raise NoConnector(f"the connector {name!r} cannot be loaded: {exc}. Install {missing}") from exc
    except AttributeError as exc:
        raise NoConnector(f"the connector {name!r} cannot be loaded: {exc}") from exc
    return loaded


def mapping_of(source: Source) -> Mapping:
    """The source's mapping over its connector's defaults. Raises WrongMapping."""
    return compile_mapping(
        source.mapping.user,
        connector=source.connector,
        scope=source.mapping.scope,
        required=source.mapping.required,
    )


def faults_of(source: Source) -> list[str]:
    """Everything that is wrong with the source's connector, settings, mapping and mapping tests."""
    if source.connector == "scim":
        return []
    try:
        found = connector(source.connector)
    except NoConnector as exc:
        return [f"connector: {exc}"]
    faults = [*_settings_faults(found, source), *_schedule_faults(source), *_attribute_faults(source)]
    try:
        mapping = mapping_of(source)
    except WrongMapping as exc:
        return [*faults, *exc.faults]
    tests = [(test.entry, test.expect) for test in source.mapping_test]
    return [*faults, *failing_tests(mapping, tests)]


def _attribute_faults(source: Source) -> list[str]:
    """What the mapping writes to, and no schema has."""
    kind = users_with([each.model_dump() for each in source.extension])
    faults = []
    for text in source.mapping.user:
        try:
            keys = path_of(text).keys
        except ValueError:
            continue  # the mapping says so itself
        names = keys[1:] if keys[0].startswith("urn:") else keys
        if kind.resolve(keys[0] if names is not keys else None, *names) is None:
            faults.append(
                f"mapping.user.{text!r}: there is no such attribute; one of your own is declared as "
                "[[organization.source.extension]]"
            )
    return faults


def _settings_faults(found: type[Connector], source: Source) -> list[str]:
    try:
        found.parse(source.settings)
    except BadSetting as exc:
        return [f"settings.{exc.key}: {exc.why}"]
    return []


def _schedule_faults(source: Source) -> list[str]:
    if source.schedule is None:
        return []
    try:
        following(source.schedule, datetime.now(UTC))
    except WrongSchedule as exc:
        return [f"schedule: {exc}"]
    return []
