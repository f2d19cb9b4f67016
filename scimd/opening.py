"""From a config to a door: the keys, the database with its schema, and whether the config holds.

``opened(config)`` gives a door for as long as it is needed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from scimd.config import Config, ConfigError
from scimd.db import migrate
from scimd.db.engine import Database, Tuning
from scimd.org import audit, promotion, settle
from scimd.org.secrets import Keyring, load_or_make_key_file
from scimd.org.tx import Door, DoorSettings
from scimd.sync import registry

#: Of SQLite's pages, for reads and for writes.
CACHES_KIB = Tuning().cache_kib, Tuning().write_cache_kib
_KEY_IS_MISSING = (
    "secrets.key: must be set on PostgreSQL, where several processes share it. Make one with "
    '`openssl rand -base64 48` and name it: key = ["file:/etc/scimd/key"]'
)


def keyring(config: Config, *, make: bool) -> Keyring:
    """The keys behind links and cookies.

    On SQLite without ``secrets.key`` they live in ``<database>.key``, which is made (mode 0600) when
    ``make``. On PostgreSQL several processes share them, so they must be given: ConfigError.
    """
    if config.secrets.key:
        try:
            return Keyring([secret.reveal().encode() for secret in config.secrets.key])
        except ValueError as exc:
            raise ConfigError([f"secrets.key: {exc}"]) from exc
    if config.database.url.startswith("sqlite"):
        path = Path(config.database.url.removeprefix("sqlite:///") + ".key")
        return Keyring([load_or_make_key_file(path, make=make)])
    raise ConfigError([_KEY_IS_MISSING])


def door_settings(config: Config) -> DoorSettings:
    inv, sign_in = config.invitations, config.sign_in
    return DoorSettings(
        invitation_valid_s=inv.valid_for.total_seconds(),
        set_password_valid_s=inv.set_password_valid_for.total_seconds(),
        mail_delay_s=inv.mail_delay.total_seconds(),
        mail_delay_at_most_s=inv.mail_delay_at_most.total_seconds(),
        invitations_per_actor=inv.per_actor,
        invitations_per_organization=inv.per_organization,
        session_idle_s=sign_in.session_idle.total_seconds(),
        session_absolute_s=sign_in.session_absolute.total_seconds(),
        sign_in_attempts=sign_in.attempts,
        second_factor=sign_in.second_factor,
    )


@asynccontextmanager
async def opened(
    config: Config,
    *,
    make_key: bool = False,
    caches_kib: tuple[int, int] = CACHES_KIB,
    only_writes: bool = False,
) -> AsyncIterator[Door]:
    """A door on the configured database; the schema must be there. Closes the database at the end.

    ``caches_kib``: of SQLite, for reads and for writes; see ``Tuning``. ``only_writes``: nobody waits for an
    answer of this process's loop.
    """
    try:
        db = Database.open(
            config.database.url,
            Tuning(
                pool_size=config.database.pool_size,
                timeout_s=config.database.timeout.total_seconds(),
                writer_queue=config.database.writer_queue,
                cache_kib=caches_kib[0],
                write_cache_kib=caches_kib[1],
                on_loop=only_writes,
            ),
        )
    except ValueError as exc:
        raise ConfigError([f"database.url: {exc}"]) from exc
    try:
        yield Door(
            db,
            keyring(config, make=make_key),
            door_settings(config),
            settle=settle.settle,
            write_events=audit.write_events,
            promote=promotion.promote,
        )
    finally:
        await db.aclose()


def migrate_schema(config: Config) -> str:
    """Bring the schema up to this version; gives the revision."""
    try:
        migrate.upgrade(config.database.url)
        return migrate.current(config.database.url) or ""
    except (migrate.SchemaTooNew, ValueError) as exc:
        raise ConfigError([f"database.url: {exc}"]) from exc


def require_schema(config: Config) -> None:
    """Make the schema in an empty database; refuse an older or a newer one with the way out."""
    try:
        state = migrate.check(config.database.url)
    except ValueError as exc:
        raise ConfigError([f"database.url: {exc}"]) from exc
    if state == "behind":
        raise ConfigError(["database.url: the schema is older than this scimd. Run: scimd migrate"])
    if state != "current":  # empty, or newer, which upgrade says in words
        migrate_schema(config)


def prove(config: Config) -> None:
    """Whatever can be wrong with the config is found here, before a port is bound.

    Raises ConfigError: each source's settings are parsed by its connector, its mapping compiled and
    its mapping tests run.
    """
    faults = [
        f"organization {organization.name}, source {source.name}: {fault}"
        for organization in config.organization
        for source in organization.source
        for fault in registry.faults_of(source)
    ]
    if faults:
        raise ConfigError(faults)
