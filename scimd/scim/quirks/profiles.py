"""The profiles by name. A token without one, or with a name unknown here, has DEFAULT."""

from __future__ import annotations

from scimd.scim.patch import PatchRules
from scimd.scim.quirks import Profile, authentik, entra, keycloak, okta
from scimd.scim.values import Rules

#: Takes what all of them send.
DEFAULT = Profile("default", (*entra.QUIRKS, *okta.QUIRKS))

#: The letter of RFC 7644: unknown attributes refused, noTarget where a filter matches nothing.
RFC = Profile(
    "rfc",
    (),
    PatchRules(Rules(refuse_unknown=True, tolerant=False), create_missing=False, remove_listed=False),
    group_patch_answers=True,
)

PROFILES = {
    profile.name: profile
    for profile in (
        DEFAULT,
        RFC,
        Profile("okta", okta.QUIRKS, catalogue="okta"),
        Profile("entra", entra.QUIRKS),
        Profile("onelogin", DEFAULT.quirks),
        Profile("jumpcloud", DEFAULT.quirks),
        Profile("google", DEFAULT.quirks),
        Profile("ping", DEFAULT.quirks),
        Profile("keycloak", (*DEFAULT.quirks, *keycloak.QUIRKS)),
        Profile("authentik", authentik.QUIRKS),
    )
}


def named(name: str | None) -> Profile:
    return PROFILES.get(name or DEFAULT.name, DEFAULT)
