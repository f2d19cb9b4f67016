"""The configuration: one TOML file, environment variables over it, secrets by reference.

Every key stands in ``config.example.toml`` with default, unit and effect; a test holds the file and
these models equal. Unknown keys are errors. A fault names the file, the key and what is allowed,
and never the value of a secret.

Precedence: environment (``SCIMD_SERVER__PORT``) over file over default.

The daemon's own sections stand in ``sections``; an organization's in ``organizations``, ``sources`` and
what those are made of; ``loading`` reads the file.
"""

from scimd.config.extensions import Described, Extension, ExtensionAttribute, SubAttribute
from scimd.config.loading import Config, ConfigError, find, load, unheard
from scimd.config.organizations import Notify, Oidc, Organization
from scimd.config.sections import (
    SLOWEST_RATE,
    DatabaseSection,
    Dns,
    Invitations,
    Log,
    Mail,
    Scim,
    Secrets,
    Server,
    SignIn,
)
from scimd.config.signed_tokens import Jwt, JwtAlgorithm
from scimd.config.sources import Groups, Limits, Mapping, MappingTest, Rule, Source
from scimd.config.values import LARGEST, SLUG, SecretSection, Section, Slug, duration

__all__ = [
    "LARGEST",
    "SLOWEST_RATE",
    "SLUG",
    "Config",
    "ConfigError",
    "DatabaseSection",
    "Described",
    "Dns",
    "Extension",
    "ExtensionAttribute",
    "Groups",
    "Invitations",
    "Jwt",
    "JwtAlgorithm",
    "Limits",
    "Log",
    "Mail",
    "Mapping",
    "MappingTest",
    "Notify",
    "Oidc",
    "Organization",
    "Rule",
    "Scim",
    "SecretSection",
    "Secrets",
    "Section",
    "Server",
    "SignIn",
    "Slug",
    "Source",
    "SubAttribute",
    "duration",
    "find",
    "load",
    "unheard",
]
