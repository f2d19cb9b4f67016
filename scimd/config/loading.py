"""The whole file, how it is found and read, and what is said of its faults."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from scimd.config import environment
from scimd.config.environment import Environment
from scimd.config.faults import sentence
from scimd.config.organizations import Organization, alone
from scimd.config.sections import DatabaseSection, Dns, Invitations, Log, Mail, Scim, Secrets, Server, SignIn


class ConfigError(Exception):
    """The config cannot be used. ``faults`` has one sentence each: where, what, what is allowed."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Config(BaseSettings):
    """The whole file."""

    model_config = SettingsConfigDict(
        env_prefix=environment.PREFIX,
        env_nested_delimiter=environment.NESTED,
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
    )

    server: Server = Server()
    database: DatabaseSection = DatabaseSection()
    secrets: Secrets = Secrets()
    mail: Mail = Mail()
    invitations: Invitations = Invitations()
    sign_in: SignIn = SignIn()
    scim: Scim = Scim()
    dns: Dns = Dns()
    log: Log = Log()
    organization: list[Organization] = Field([])

    @field_validator("organization")
    @classmethod
    def _names_are_unique(cls, organizations: list[Organization]) -> list[Organization]:
        names = [organization.name for organization in organizations]
        if len(set(names)) != len(names) or "system" in names:
            raise ValueError(
                'two organizations have one name, or one is called "system", which is kept for operators'
            )
        alone(organizations)
        return organizations

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The file arrives as keywords; the environment goes over it."""
        return Environment(settings_cls), init_settings


def find(given: Path | None) -> Path | None:
    """The file to read: as given, else ``SCIMD_CONFIG``, else ``./scimd.toml``, else none."""
    if given is not None:
        return given
    if named := os.environ.get("SCIMD_CONFIG"):
        return Path(named)
    return Path("scimd.toml") if Path("scimd.toml").is_file() else None


def load(path: Path | None) -> Config:
    """Read and check the whole config; ``path`` None means defaults and environment only.

    Raises ConfigError with every fault at once.
    """
    where = str(path) if path else "environment"
    try:
        text = path.read_text(encoding="utf-8") if path else ""
        body = tomllib.loads(text)
    except OSError as exc:
        raise ConfigError([f"{where}: cannot be read: {exc.strerror or type(exc).__name__}"]) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError([f"{where}: is not UTF-8 (byte {exc.start})"]) from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError([f"{where}: is not TOML: {exc}"]) from exc
    misspelt = environment.misspelt(Config.model_fields, body)
    try:
        loaded = Config(**body)
    except ValidationError as exc:
        faults = exc.errors(include_url=False, include_input=False)
        raise ConfigError([*misspelt, *(sentence(where, Config, fault) for fault in faults)]) from exc
    if misspelt:
        raise ConfigError(misspelt)
    return loaded


def unheard(path: Path | None) -> list[str]:
    """The variables that begin with SCIMD_ and tell the config nothing, nor hold a secret that it names."""
    body = tomllib.loads(path.read_text(encoding="utf-8")) if path else {}
    return environment.unheard(Config.model_fields, body)
