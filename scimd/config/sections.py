"""The sections of the daemon itself: all but ``organization``."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from scimd.config.addresses import base_url, mailbox, name_server, network, own_host
from scimd.config.values import LARGEST, Delay, Lasting, SecretSection, Section, Timeout, text_or_reference
from scimd.connector_api import Secret


class Server(Section):
    host: Annotated[str, AfterValidator(own_host)] = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    #: The only source of every link, Location and meta.location; the request's Host is never used.
    public_url: Annotated[str, AfterValidator(base_url)] = "http://127.0.0.1:8080"
    #: Proxies in front, whose ``X-Forwarded-For`` is believed: addresses and networks.
    trusted_proxies: list[Annotated[str, AfterValidator(network)]] = Field([])
    max_body_bytes: int = Field(2_097_152, ge=1024, le=LARGEST)
    request_timeout: Timeout = timedelta(seconds=30)
    shutdown_timeout: Timeout = timedelta(seconds=8)
    #: Processes that answer; 0: half as many as there are processors, at most 4. One: ``serve`` itself.
    processes: int = Field(0, ge=0, le=64)
    #: Run the worker process beside the server. Off where `scimd worker` runs elsewhere.
    worker: bool = True


class DatabaseSection(Section):
    #: Itself, or a reference to it: it may hold a password.
    url: Annotated[str, BeforeValidator(text_or_reference)] = "sqlite:///scimd.db"
    pool_size: int = Field(4, ge=1, le=200)
    timeout: Timeout = timedelta(seconds=10)
    writer_queue: int = Field(1024, ge=1, le=LARGEST)


class Secrets(SecretSection):
    #: The key behind links and tokens; the first signs, all verify. At least 32 bytes each.
    key: list[Secret] = Field([])


class Mail(SecretSection):
    #: smtp: a server. folder: .eml files, for demos and tests.
    to: Literal["smtp", "folder"] = "smtp"
    folder: Path | None = None
    host: str = "127.0.0.1"
    port: int = Field(25, ge=1, le=65535)
    tls: Literal["none", "starttls", "tls"] = "starttls"
    user: str | None = None
    password: Secret | None = None
    sender: Annotated[str, AfterValidator(mailbox)] = "scimd <scimd@localhost>"
    timeout: Timeout = timedelta(seconds=30)

    @model_validator(mode="after")
    def _folder_is_named(self) -> Mail:
        if self.to == "folder" and self.folder is None:
            raise ValueError('with to = "folder", folder must name where the .eml files go')
        return self


class Invitations(Section):
    valid_for: Lasting = timedelta(days=7)
    set_password_valid_for: Lasting = timedelta(hours=3)
    #: Counted from the person's last change, so that a push of user then groups gives one mail …
    mail_delay: Delay = timedelta(minutes=2)
    #: … but never longer than this after the first change.
    mail_delay_at_most: Delay = timedelta(minutes=15)
    #: Invitations by hand within an hour, of one admin or token and of one organization.
    per_actor: int = Field(500, ge=1, le=LARGEST)
    per_organization: int = Field(5000, ge=1, le=LARGEST)

    @model_validator(mode="after")
    def _the_delay_can_be_kept(self) -> Invitations:
        if "mail_delay" in self.model_fields_set and self.mail_delay > self.mail_delay_at_most:
            raise ValueError("mail_delay is longer than mail_delay_at_most, so it would never be kept")
        return self


class SignIn(Section):
    session_idle: Lasting = timedelta(minutes=30)
    session_absolute: Lasting = timedelta(hours=12)
    #: Failed attempts per account and per address in 15 minutes before both have to wait.
    attempts: int = Field(10, ge=1, le=LARGEST)
    #: Who must have a second factor: whoever holds a *.manage permission, everybody, or nobody.
    second_factor: Literal["managers", "everybody", "nobody"] = "managers"

    @model_validator(mode="after")
    def _idle_sessions_end_first(self) -> SignIn:
        if "session_idle" in self.model_fields_set and self.session_idle > self.session_absolute:
            raise ValueError("session_idle is longer than session_absolute, so it would never be kept")
        return self


class Dns(Section):
    #: Name servers that are asked for the TXT records of domains, each an address with or without
    #: a port; none: the system's own.
    nameservers: list[Annotated[str, AfterValidator(name_server)]] = Field([])


class Log(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"


#: Requests a second under which no token is held: what Microsoft asks of a SCIM endpoint.
SLOWEST_RATE = 25


class Scim(Section):
    max_page: int = Field(200, ge=1, le=10_000)
    default_page: int = Field(100, ge=1, le=10_000)
    max_operations: int = Field(1000, ge=1, le=LARGEST)
    max_bulk_operations: int = Field(1000, ge=1, le=LARGEST)
    cursor_valid_for: Lasting = timedelta(hours=1)
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
    log_for: Lasting = timedelta(days=30)
    log_rows: int = Field(100_000, ge=1, le=LARGEST)
    log_bytes: int = Field(104_857_600, ge=1, le=2**50)
    #: A longer body is not kept with its entry.
    log_body_bytes: int = Field(65_536, ge=0, le=LARGEST)

    @model_validator(mode="after")
    def _the_default_is_a_page(self) -> Scim:
        if "default_page" in self.model_fields_set and self.default_page > self.max_page:
            raise ValueError("default_page is larger than max_page, so it would never be given")
        return self
