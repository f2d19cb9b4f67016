"""Tokens that a customer's identity provider signs."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from scimd.config.addresses import https_address
from scimd.config.values import Section
from scimd.core import bearer
from scimd.core.errors import InvalidValue

#: Asymmetric ones only: with HS256 or none, whoever knows the public key could sign.
JwtAlgorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"
]


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


class Jwt(Section):
    """Tokens that the customer's own identity provider signs (RFC 7519, RFC 9068)."""

    issuer: str = Field(min_length=1, max_length=500)
    audience: str = Field(min_length=1, max_length=500)
    jwks_url: Annotated[str | None, AfterValidator(https_address)] = None
    jwks_file: str | None = None
    #: Whether jwks_url may lead into a private network; never to this machine or its cloud's services.
    jwks_in_private_network: bool = False
    algorithms: list[JwtAlgorithm] = Field(["RS256", "PS256", "ES256"], min_length=1)
    subjects: list[str] = Field([])
    #: What each claim must be; of a claim that is a list, one element.
    claims: dict[str, str | int | bool] = Field({})
    leeway: timedelta = timedelta(seconds=60)
    scopes: Annotated[list[str], AfterValidator(_scopes)] = Field(list(bearer.SCOPES))
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
