"""From a config to a door: the keys, the database with its schema, and whether the config holds.

``opened(config)`` gives a door for as long as it is needed.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from scimd.config import Config, ConfigError, Jwt
from scimd.db import migrate
from scimd.db.engine import Database, Tuning, is_sqlite, parse, sqlite_path
from scimd.org.audit import audit
from scimd.org.declared import declared_faults
from scimd.org.grants import promotion
from scimd.org.settling import settle
from scimd.org.tokens.secrets import Keyring, load_or_make_key_file
from scimd.org.tx import Door, DoorSettings
from scimd.sync import registry

#: Of SQLite's pages, for reads and for writes.
CACHES_KIB = Tuning().cache_kib, Tuning().write_cache_kib
_NO_DATABASE = (
    "database.url: there is no database of scimd's yet at {where}. `scimd serve` makes it, and so do `scimd "
    "migrate` and `scimd org create`. If you have one, name its config: --config FILE"
)
_KEY_IS_GONE = (
    "secrets.key: the key file {path} is missing beside a database that is in use. Without that key its "
    "links, authenticator apps and recovery codes are dead: put it back from the backup. To go on without "
    "it, make another: (umask 077; openssl rand -base64 48 > {path})"
)
_KEY_IS_MISSING = (
    "secrets.key: must be set on PostgreSQL, where several processes share it. Make one with "
    '`openssl rand -base64 48` and name it: key = ["file:/etc/scimd/key"]'
)


def keyring(config: Config, *, make: bool) -> Keyring:
    """The keys behind links and cookies.

    On SQLite without ``secrets.key`` they live in ``<database>.key``, which is made (mode 0600) when
    ``make``; never beside a database that is in use: ConfigError. On PostgreSQL several processes share
    them, so they must be given: ConfigError.
    """
    if config.secrets.key:
        try:
            return Keyring([secret.reveal().encode() for secret in config.secrets.key])
        except ValueError as exc:
            raise ConfigError([f"secrets.key: {exc}"]) from exc
    path = _key_file(config)
    if path is None:
        raise ConfigError([_KEY_IS_MISSING])
    if not path.exists() and migrate.is_in_use(config.database.url):
        raise ConfigError([_KEY_IS_GONE.format(path=path)])
    return Keyring([load_or_make_key_file(path, make=make)])


def _key_file(config: Config) -> Path | None:
    """Beside SQLite's file; nowhere on PostgreSQL."""
    if not config.database.url.startswith("sqlite"):
        return None
    return Path(config.database.url.removeprefix("sqlite:///") + ".key")


def key_comes_first(config: Config) -> bool:
    """Whether there is no key yet, nor anybody in the database who would need it."""
    path = None if config.secrets.key else _key_file(config)
    return path is not None and not path.exists() and not migrate.is_in_use(config.database.url)


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
    keys: Keyring | None = None,
    caches_kib: tuple[int, int] = CACHES_KIB,
    only_writes: bool = False,
    holder: str | None = None,
) -> AsyncIterator[Door]:
    """A door on the configured database; the schema must be there. Closes the database at the end.

    ``keys``: those that another process read when it started; None: they are read now, and made where there
    are none with ``make_key``. ``caches_kib``: of SQLite, for reads and for writes; see ``Tuning``.
    ``only_writes``: nobody waits for an answer of this process's loop. ``holder``: as in ``Door``.
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
        await db.look_at_clock()
        yield Door(
            db,
            keys or keyring(config, make=make_key),
            door_settings(config),
            settle=settle.settle,
            write_events=audit.write_events,
            promote=promotion.promote,
            clock=db.now,
            holder=holder,
        )
    finally:
        await db.aclose()


def migrate_schema(config: Config) -> str:
    """Bring the schema up to this version; gives the revision."""
    try:
        migrate.upgrade(config.database.url)
        return migrate.current(config.database.url) or ""
    except (migrate.NotForUs, ValueError) as exc:
        raise ConfigError([f"database.url: {exc}"]) from exc


def require_schema(config: Config, *, make: bool = False) -> None:
    """Refuse an older schema, a newer one, and another program's database, with the way out.

    Where there is none yet, it is made with ``make``; else that is refused as well.
    """
    if has_schema(config):
        return
    if not make:
        raise ConfigError([_NO_DATABASE.format(where=where(config))])
    migrate_schema(config)


def has_schema(config: Config) -> bool:
    """Whether there is a database yet. ConfigError for one that is not what this scimd works with."""
    try:
        state = migrate.check(config.database.url)
    except (migrate.NotForUs, ValueError) as exc:
        raise ConfigError([f"database.url: {exc}"]) from exc
    if state == "behind":
        raise ConfigError(["database.url: the schema is older than this scimd. Run: scimd migrate"])
    if state in ("ahead", "foreign"):
        migrate_schema(config)  # which says it in words
    return state != "empty"


def where(config: Config) -> str:
    """Where the database is: SQLite's file, or PostgreSQL's address without the password."""
    url = parse(config.database.url)
    return str(sqlite_path(url).absolute()) if is_sqlite(url) else url.render_as_string(hide_password=True)


def prove_writable(config: Config) -> None:
    """Whether PostgreSQL lets scimd write. Raises DatabaseUnavailable."""
    migrate.prove_writable(config.database.url)


def prove_place(config: Config) -> None:
    """Whether a database that is not there yet can be made. Raises ConfigError, DatabaseUnavailable."""
    prove_writable(config)
    url = parse(config.database.url)
    folder = sqlite_path(url).absolute().parent if is_sqlite(url) else None
    if folder is not None and not folder.is_dir():
        raise ConfigError([f"database.url: the folder {folder} is not there; make it, or name another"])
    if folder is not None and not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError([f"database.url: nothing can be written in the folder {folder}"])


def prove(config: Config, file: Path | None = None) -> None:
    """Whatever can be wrong with the config is found here, before a port is bound.

    Raises ConfigError: each source's settings are parsed by its connector, its mapping compiled and
    its mapping tests run.
    """
    faults = [
        f"{f'{file}: ' if file else ''}organization {organization.name}, source {source.name}: {fault}"
        for organization in config.organization
        for source in organization.source
        for fault in registry.faults_of(source)
    ]
    if faults:
        raise ConfigError(faults)


async def leads_nowhere(config: Config, door: Door | None) -> list[str]:
    """What the config names and is not there, or not yet: files, a folder, roles, sources.

    scimd starts all the same. ``door`` None: before there is a database.
    """
    faults = list(_folder_faults(config))
    for each in config.organization:
        if door is None:
            faults += declared_faults.leads_nowhere(None, each)
        else:
            faults += await door.read(partial(declared_faults.leads_nowhere, wanted=each))
        for source in each.source:
            if source.jwt is not None and source.jwt.jwks_file is not None:
                at = f"organization {each.name}, source {source.name}: jwt.jwks_file"
                faults += [f"{at}: {why}" for why in await _no_keys(source.jwt)]
    return faults


def _folder_faults(config: Config) -> Iterator[str]:
    folder = config.mail.folder
    if config.mail.to != "folder" or folder is None:
        return
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield f"mail.folder: nothing can be written in {there}"


async def _no_keys(rules: Jwt) -> list[str]:
    """Why nothing can be proved by the file's keys; nothing where it can."""
    # With an HTTP client, which few commands have a use for.
    from scimd.http import jwks
    from scimd.http.outward import CannotFetch

    try:
        found = jwks.parse(await jwks.read_keys(rules))
    except OSError as exc:
        return [f"{rules.jwks_file} cannot be read: {exc.strerror}"]
    except (CannotFetch, ValueError) as exc:
        return [f"{rules.jwks_file}: {exc}"]
    return [] if found else [f"{rules.jwks_file} holds no public key that can be used"]
