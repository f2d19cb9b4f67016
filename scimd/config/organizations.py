"""Organizations: who is told, how they sign in, their sources."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from scimd.config.addresses import domain, https_address, web_address
from scimd.config.sources import Source
from scimd.config.values import LARGEST, Lasting, Name, SecretSection, Section, Slug
from scimd.connector_api import Secret
from scimd.core.languages import ENGLISH, Language
from scimd.core.notifications import ACCOUNT_ADMINS, TOPICS, Topic
from scimd.core.people import address as one_address
from scimd.core.people import domain_key


class Notify(Section):
    """Who is told of what by mail."""

    to: list[str] = Field(min_length=1)
    about: list[Topic] = Field(list(TOPICS), min_length=1)

    @field_validator("to")
    @classmethod
    def _addresses(cls, to: list[str]) -> list[str]:
        for each in to:
            if each != ACCOUNT_ADMINS and one_address(each) != each:
                raise ValueError(f'{each!r} is neither one mail address nor "{ACCOUNT_ADMINS}"')
        return to


def _issuer(value: str) -> str:
    """An issuer is compared letter by letter (OpenID Connect Discovery §4.3), so it is kept as written."""
    checked = https_address(value)
    if "?" in value:
        raise ValueError("must be an address without query")
    return checked or value


class Oidc(SecretSection):
    """Sign-in by the organization's identity provider (OpenID Connect Core 1.0, code flow)."""

    issuer: Annotated[str, Field(max_length=500), AfterValidator(_issuer)]
    client_id: str = Field(min_length=1, max_length=500)
    client_secret: Secret
    #: What the button says.
    label: str = Field("your company account", min_length=1, max_length=60)
    scopes: list[str] = Field(["openid", "email", "profile"])
    #: The source whose externalId the claim is.
    source: Slug | None = None
    subject_claim: str = Field("sub", min_length=1, max_length=100)
    #: Whether a verified e-mail in a domain of the organization finds a person, too.
    match_email: bool = True
    #: Whether the issuer may be in a private network; never on this machine or its cloud's services.
    in_private_network: bool = False

    @field_validator("scopes")
    @classmethod
    def _asks_for_openid(cls, scopes: list[str]) -> list[str]:
        if "openid" not in scopes or any(not scope.isascii() or " " in scope for scope in scopes):
            raise ValueError('must hold "openid", and nothing with spaces')
        return scopes

    @model_validator(mode="after")
    def _finds_somebody(self) -> Oidc:
        if self.source is None and not self.match_email:
            raise ValueError("name a source, or leave match_email on: nobody would be found")
        return self


def _how_it_is_read(source: Source) -> None:
    """Said in the file of a source that is pushed to, it would have no effect."""
    if source.connector != "scim":
        return
    for key in ("schedule", "mapping", "mapping_test", "settings"):
        if getattr(source, key) != Source.model_fields[key].get_default():
            raise ValueError(
                f"{source.name}: {key}: only a source that is read has it, and this one is pushed to; "
                'connector = "…" is missing, with the name of the connector that reads it'
            )


def _priorities_differ(sources: Sequence[Source]) -> None:
    seen: dict[int, str] = {}
    for source in sources:
        if source.priority is not None and seen.setdefault(source.priority, source.name) != source.name:
            raise ValueError(
                f"{source.name}: priority: {source.priority} is that of {seen[source.priority]}; where two "
                "sources have one person, the lower one decides, so each needs its own"
            )


def alone(organizations: Sequence[Organization]) -> None:
    """What belongs to one organization, or one source, of the installation stands nowhere twice.

    Raises ValueError with both places.
    """
    holders: dict[str, str] = {}
    speakers: dict[tuple[str, str], str] = {}
    for organization in organizations:
        for each in organization.domains:
            holder = holders.setdefault(domain_key(each), organization.name)
            if holder != organization.name:
                raise ValueError(
                    f"{organization.name}: domains: {each} is the organization {holder}'s, and a domain "
                    "belongs to one"
                )
        for source in organization.source:
            if source.jwt is None:
                continue
            name = f"{organization.name}/{source.name}"
            speaker = speakers.setdefault((source.jwt.issuer, source.jwt.audience), name)
            if speaker != name:
                raise ValueError(
                    f"{name}: jwt: issuer and audience are those of {speaker}, and a pair belongs to one"
                )


class Organization(Section):
    name: Slug
    display_name: Name | None = None
    language: Language = ENGLISH
    #: No key: no limit.
    seats: int | None = Field(None, ge=0, le=LARGEST)
    seats_on_scim: Literal["hold", "reject", "allow"] = "hold"
    get_more_seats_url: Annotated[str | None, AfterValidator(web_address)] = None
    default_project: Name = "General"  # "none": people without a project wait
    domains: list[Annotated[str, AfterValidator(domain)]] = Field([])
    notify: list[Notify] = Field([])
    #: A SCIM source that pushed nothing for so long is told of as silent.
    silent_after: Lasting = timedelta(days=7)
    oidc: Oidc | None = None
    source: list[Source] = Field([])

    @field_validator("source")
    @classmethod
    def _names_are_unique(cls, sources: list[Source]) -> list[Source]:
        names = [source.name for source in sources]
        if len(set(names)) != len(names):
            raise ValueError("two sources have one name")
        for source in sources:
            _how_it_is_read(source)
        _priorities_differ(sources)
        return sources
