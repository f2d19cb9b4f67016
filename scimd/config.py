"""The configuration: one TOML file, environment variables over it, secrets by reference.

Every key stands in ``config.example.toml`` with default, unit and effect; a test holds the file and
these models equal. Unknown keys are errors. A fault names the file, the key and what is allowed,
and never the value of a secret.

Precedence: environment (``SCIMD_SERVER__PORT``) over file over default.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from scimd.connector_api import BadSetting, Secret, read_secret
from scimd.core import bearer, extensions
from scimd.core.errors import InvalidValue

SLUG = r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$"
Slug = Annotated[str, Field(pattern=SLUG)]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class ConfigError(Exception):
    """The config cannot be used. ``faults`` has one sentence each: where, what, what is allowed."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def duration(value: object) -> object:
    """Seconds as a number, or a number with one of the units s m h d w: ``"90d"``."""
    if isinstance(value, str) and value.replace(".", "", 1).isdigit():
        return timedelta(seconds=float(value))
    if isinstance(value, str) and value[:-1].replace(".", "", 1).isdigit() and value[-1:] in _UNITS:
        return timedelta(seconds=float(value[:-1]) * _UNITS[value[-1]])
    if isinstance(value, bool | str):
        raise ValueError(
            'must be a number of seconds, or a number with a unit: "30s", "15m", "6h", "90d", "2w"'
        )
    return value


def _reference(value: object) -> Secret:
    try:
        return read_secret(value, "secret")
    except BadSetting as exc:
        raise ValueError(exc.why) from exc


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _durations_have_units(cls, value: object, info: Any) -> object:
        annotation = cls.model_fields[info.field_name].annotation
        return duration(value) if annotation in (timedelta, timedelta | None) else value


class SecretSection(Section):
    @field_validator("*", mode="before")
    @classmethod
    def _secrets_are_references(cls, value: object, info: Any) -> object:
        annotation = cls.model_fields[info.field_name].annotation
        if annotation is Secret or annotation == Secret | None:
            return None if value is None else _reference(value)
        if annotation == list[Secret]:
            rows = value if isinstance(value, list) else [value]
            return [_reference(row) for row in rows]
        return value


def _public_url(value: str) -> str:
    if not value.startswith(("http://", "https://")) or any(c in value for c in ' \r\n\t?#@"\\'):
        raise ValueError("must be an address such as https://scimd.example.com, without query or credentials")
    return value.rstrip("/")


class Server(Section):
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    #: The only source of every link, Location and meta.location; the request's Host is never used.
    public_url: Annotated[str, AfterValidator(_public_url)] = "http://127.0.0.1:8080"
    max_body_bytes: int = Field(2_097_152, ge=1024)
    request_timeout: timedelta = timedelta(seconds=30)
    shutdown_timeout: timedelta = timedelta(seconds=8)
    #: Run the worker process beside the server. Off where `scimd worker` runs elsewhere.
    worker: bool = True


class DatabaseSection(Section):
    url: str = "sqlite:///scimd.db"
    pool_size: int = Field(4, ge=1, le=200)
    timeout: timedelta = timedelta(seconds=10)
    writer_queue: int = Field(1024, ge=1)


class Secrets(SecretSection):
    #: The key behind links and tokens; the first signs, all verify. At least 32 bytes each.
    key: list[Secret] = []


class Mail(SecretSection):
    #: smtp: a server. folder: .eml files, for demos and tests.
    to: Literal["smtp", "folder"] = "smtp"
    folder: Path | None = None
    host: str = "127.0.0.1"
    port: int = Field(25, ge=1, le=65535)
    tls: Literal["none", "starttls", "tls"] = "starttls"
    user: str | None = None
    password: Secret | None = None
    sender: str = "scimd <scimd@localhost>"
    timeout: timedelta = timedelta(seconds=30)

    @model_validator(mode="after")
    def _folder_is_named(self) -> Mail:
        if self.to == "folder" and self.folder is None:
            raise ValueError('with to = "folder", folder must name where the .eml files go')
        return self


class Invitations(Section):
    valid_for: timedelta = timedelta(days=7)
    set_password_valid_for: timedelta = timedelta(hours=3)
    #: Counted from the person's last change, so that a push of user then groups gives one mail …
    mail_delay: timedelta = timedelta(minutes=2)
    #: … but never longer than this after the first change.
    mail_delay_at_most: timedelta = timedelta(minutes=15)
    #: Invitations by hand within an hour, of one admin or token and of one organization.
    per_actor: int = Field(500, ge=1)
    per_organization: int = Field(5000, ge=1)


class SignIn(Section):
    session_idle: timedelta = timedelta(minutes=30)
    session_absolute: timedelta = timedelta(hours=12)
    #: Failed attempts per account and per address in 15 minutes before both have to wait.
    attempts: int = Field(10, ge=1)


class Dns(Section):
    #: Name servers that are asked for the TXT records of domains, each an address with or without
    #: a port; none: the system's own.
    nameservers: list[str] = []


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"


#: Requests a second under which no token is held: what Microsoft asks of a SCIM endpoint.
SLOWEST_RATE = 25


class Scim(Section):
    max_page: int = Field(200, ge=1, le=10_000)
    default_page: int = Field(100, ge=1, le=10_000)
    max_operations: int = Field(1000, ge=1)
    max_bulk_operations: int = Field(1000, ge=1)
    cursor_valid_for: timedelta = timedelta(hours=1)
    #: Requests a second of one token, per process; none: unlimited.
    rate_per_token: float | None = None
    #: How long an access token of an OAuth client works.
    access_token_valid_for: timedelta = timedelta(hours=1)

    @field_validator("rate_per_token")
    @classmethod
    def _identity_providers_get_through(cls, rate: float | None) -> float | None:
        if rate is not None and not SLOWEST_RATE <= rate < float("inf"):
            raise ValueError(
                f"must be at least {SLOWEST_RATE}: Entra ID needs 25 requests a second of one token"
            )
        return rate

    @field_validator("access_token_valid_for")
    @classmethod
    def _access_tokens_are_short_lived(cls, value: timedelta) -> timedelta:
        if not timedelta(minutes=1) <= value <= timedelta(days=1):
            raise ValueError("must be between 1m and 1d")
        return value

    #: How long the request log keeps an entry; per organization so many and so many bytes of them at most.
    log_for: timedelta = timedelta(days=30)
    log_rows: int = Field(100_000, ge=1)
    log_bytes: int = Field(104_857_600, ge=1)
    #: A longer body is not kept with its entry.
    log_body_bytes: int = Field(65_536, ge=0)


class Rule(Section):
    """A numbered rule: a group, or a value of roles or entitlements, gives a project, a role, …"""

    number: int = Field(ge=1)
    group: str | None = None
    pattern: str | None = None
    scim_role: str | None = Field(None, min_length=1, max_length=500)
    entitlement: str | None = Field(None, min_length=1, max_length=500)
    project: str | None = None
    project_role: Slug = "member"
    role: Slug | None = None
    team: str | None = None
    licence: str | None = None
    may_give_account_admin: bool = False

    @model_validator(mode="after")
    def _matches_and_gives(self) -> Rule:
        matches = (self.group, self.pattern, self.scim_role, self.entitlement)
        if sum(each is not None for each in matches) != 1:
            raise ValueError(
                "a rule names one of group (an external id), pattern (of names), scim_role and entitlement"
            )
        if not any((self.project, self.role, self.team, self.licence)):
            raise ValueError("a rule gives at least one of project, role, team, licence")
        return self


class Limits(Section):
    """Above these a plan is held. Percentages are of the people linked at the start of 24 hours."""

    removals_count: int = Field(5, ge=0)
    removals_percent: float = Field(10, ge=0, le=100)
    removals_most: int = Field(200, ge=0)
    removals_half_from: int = Field(4, ge=1)
    groups_count: int = Field(3, ge=0)
    groups_percent: float = Field(20, ge=0, le=100)
    members_percent: float = Field(50, ge=0, le=100)
    members_from: int = Field(10, ge=1)
    new_admins: int = Field(0, ge=0)
    #: Where removals are held, may the rest of the plan go on?
    apply_additions: bool = True


class Groups(Section):
    #: project: each group is a project of its name. none: only what the rules name.
    default: Literal["project", "none"] | None = None
    #: Shell patterns on names; where given, only these groups are read at all.
    only: list[str] = []


class Mapping(Section):
    """CEL expressions over ``entry`` (attributes of the directory, lists of values) by SCIM path."""

    user: dict[str, str] = {}
    #: An expression that says whether an entry is a person to bring in.
    scope: str | None = None
    required: list[str] = ["userName"]


class MappingTest(Section):
    """An entry and what must come out of it; run before the source becomes active."""

    entry: dict[str, Any]
    expect: dict[str, Any]


class Described(Section):
    """One row of an extension, as RFC 7643 §7 describes attributes; never required of a client."""

    name: str = Field(pattern=extensions.NAME)
    description: str | None = None
    case_exact: bool = False
    #: Values that clients are told of; others are taken too.
    canonical_values: list[str] = []


class SubAttribute(Described):
    type: Literal["string", "boolean", "integer", "decimal", "dateTime", "reference"] = "string"


class ExtensionAttribute(Described):
    type: Literal["string", "boolean", "integer", "decimal", "dateTime", "reference", "complex"] = "string"
    multi_valued: bool = False
    returned: Literal["always", "default", "request"] = "default"
    #: The parts of a complex attribute.
    sub_attribute: list[SubAttribute] = []

    @model_validator(mode="after")
    def _complex_has_parts(self) -> ExtensionAttribute:
        if (self.type == "complex") != bool(self.sub_attribute):
            raise ValueError("sub_attribute: a complex attribute has some, and no other has any")
        _different(self.sub_attribute)
        return self


class Extension(Section):
    """A schema of the admin's own for the users of a source."""

    urn: str = Field(pattern=extensions.URN)
    name: str = Field(min_length=1, max_length=100)
    description: str | None = None
    attribute: list[ExtensionAttribute] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Extension:
        _different(self.attribute)
        return self


def _different(rows: Sequence[Described]) -> None:
    names = [row.name.lower() for row in rows]
    if len(set(names)) != len(names) or "schemas" in names:
        raise ValueError('two attributes have one name, whatever its case, or one is called "schemas"')


def _profile(value: str) -> str:
    try:
        return bearer.check_profile(value)
    except InvalidValue as exc:
        raise ValueError(exc.why) from exc


def _scopes(value: list[str]) -> list[str]:
    try:
        return bearer.scopes_of(value)
    except InvalidValue as exc:
        raise ValueError(exc.why) from exc


def _jwks_url(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        host = parts.hostname or ""
        named = bool(host) and parts.username is None and parts.port != 0
    except ValueError:
        named = False
    if named and not parts.fragment and parts.scheme == "https":
        return value
    if named and parts.scheme == "http" and host in ("127.0.0.1", "::1"):
        return value
    raise ValueError("must be an https address without credentials; http only on 127.0.0.1 and [::1]")


#: Asymmetric ones only: with HS256 or none, whoever knows the public key could sign.
JwtAlgorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"
]


class Jwt(Section):
    """Tokens that the customer's own identity provider signs (RFC 7519, RFC 9068)."""

    issuer: str = Field(min_length=1, max_length=500)
    audience: str = Field(min_length=1, max_length=500)
    jwks_url: Annotated[str | None, AfterValidator(_jwks_url)] = None
    jwks_file: str | None = None
    #: Whether jwks_url may lead into a private network; never to this machine or its cloud's services.
    jwks_in_private_network: bool = False
    algorithms: list[JwtAlgorithm] = Field(["RS256", "PS256", "ES256"], min_length=1)
    subjects: list[str] = []
    #: What each claim must be; of a claim that is a list, one element.
    claims: dict[str, str | int | bool] = {}
    leeway: timedelta = timedelta(seconds=60)
    scopes: Annotated[list[str], AfterValidator(_scopes)] = list(bearer.SCOPES)
    profile: Annotated[str, AfterValidator(_profile)] = "default"

    @model_validator(mode="after")
    def _names_keys_and_speakers(self) -> Jwt:
        if (self.jwks_url is None) == (self.jwks_file is None):
            raise ValueError("name either jwks_url or jwks_file")
        if not self.subjects and not self.claims:
            raise ValueError(
                "name subjects or claims: any client of that issuer can ask for a token of your audience"
            )
        if not timedelta(0) <= self.leeway <= timedelta(minutes=5):
            raise ValueError("leeway must be between 0s and 5m")
        return self


class Source(Section):
    name: Slug
    #: scim, or the entry point's name of a connector.
    connector: str = "scim"
    state: Literal["shadow", "staged", "active", "paused"] = "staged"
    invite: Literal["immediate", "never"] = "immediate"
    priority: int | None = Field(None, ge=1)
    ceiling: Slug = "manager"
    #: An interval ("15m") or a cron line ("0 3 * * *"); none: only on demand.
    schedule: str | None = None
    join: list[str] = []
    groups: Groups = Groups()
    rule: list[Rule] = []
    extension: list[Extension] = []
    mapping: Mapping = Mapping()
    mapping_test: list[MappingTest] = []
    limits: Limits = Limits()
    timeout: timedelta = timedelta(hours=1)
    jwt: Jwt | None = None
    #: The connector's own keys, parsed by the connector.
    settings: dict[str, Any] = {}

    @model_validator(mode="after")
    def _only_pushes_have_tokens(self) -> Source:
        if self.jwt is not None and self.connector != "scim":
            raise ValueError('jwt: only a source that is pushed to has tokens (connector = "scim")')
        return self

    @field_validator("rule")
    @classmethod
    def _numbers_are_unique(cls, rules: list[Rule]) -> list[Rule]:
        numbers = [rule.number for rule in rules]
        if len(set(numbers)) != len(numbers):
            raise ValueError("two rules have one number")
        return rules

    @field_validator("extension")
    @classmethod
    def _urns_are_free(cls, declared: list[Extension]) -> list[Extension]:
        taken = extensions.clash([each.urn for each in declared])
        if taken is not None:
            raise ValueError(f"the urn {taken} is served already, or one urn begins with another")
        return declared


class Organization(Section):
    name: Slug
    display_name: str | None = None
    #: No key: no limit.
    seats: int | None = Field(None, ge=0)
    seats_on_scim: Literal["hold", "reject", "allow"] = "hold"
    get_more_seats_url: str | None = None
    default_project: str = "General"  # "none": people without a project wait
    domains: list[str] = []
    source: list[Source] = []

    @field_validator("source")
    @classmethod
    def _names_are_unique(cls, sources: list[Source]) -> list[Source]:
        names = [source.name for source in sources]
        if len(set(names)) != len(names):
            raise ValueError("two sources have one name")
        return sources


class Config(BaseSettings):
    """The whole file."""

    model_config = SettingsConfigDict(
        env_prefix="SCIMD_",
        env_nested_delimiter="__",
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
    organization: list[Organization] = []

    @field_validator("organization")
    @classmethod
    def _names_are_unique(cls, organizations: list[Organization]) -> list[Organization]:
        names = [organization.name for organization in organizations]
        if len(set(names)) != len(names) or "system" in names:
            raise ValueError(
                'two organizations have one name, or one is called "system", which is kept for operators'
            )
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
        return env_settings, init_settings


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
        body = tomllib.loads(path.read_text(encoding="utf-8")) if path else {}
    except OSError as exc:
        raise ConfigError([f"{where}: cannot be read: {exc.strerror or type(exc).__name__}"]) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError([f"{where}: is not UTF-8 (byte {exc.start})"]) from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError([f"{where}: is not TOML: {exc}"]) from exc
    try:
        return Config(**body)
    except ValidationError as exc:
        faults = exc.errors(include_url=False, include_input=False)
        raise ConfigError([_sentence(where, fault) for fault in faults]) from exc


def _sentence(where: str, fault: Any) -> str:
    """One fault as file, key and what is allowed. The value itself is never repeated."""
    place = tuple(fault["loc"])
    key = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    why = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        why = f"unknown key; allowed here: {', '.join(_allowed(place[:-1]))}"
    return f"{where}: {key or 'file'}: {why}"


def _allowed(place: tuple[str | int, ...]) -> list[str]:
    """The keys of the section at a place such as ("organization", 0, "source")."""
    model: type[BaseModel] = Config
    for part in place:
        if isinstance(part, str) and part in model.model_fields:
            model = _section_of(model.model_fields[part].annotation)
    return sorted(model.model_fields)


def _section_of(annotation: Any) -> type[BaseModel]:
    inner = getattr(annotation, "__args__", (annotation,))[0]
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else Config
