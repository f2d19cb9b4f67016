"""The profiles by name. A token without one, or with a name unknown here, has DEFAULT."""

from __future__ import annotations

from scimd.scim.patch import PatchRules
from scimd.scim.quirks import Profile, authentik, entra, keycloak, okta, onelogin
from scimd.scim.values import Rules

#: Takes what all of them send.
DEFAULT = Profile("default", (*entra.QUIRKS, *okta.QUIRKS, *onelogin.QUIRKS))

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
        # Microsoft's validator sends a PATCH of no operation, and wants it done: scimmyjs/scimmy#59.
        Profile("entra", entra.QUIRKS, PatchRules(allow_none=True)),
        # These four publish little of what they send: each takes what all of them do.
        Profile("onelogin", DEFAULT.quirks),
        # No quirk of its own (2026-11): it removes members by a list of values without a filter, which
        # ``PatchRules.remove_listed`` takes, and adds again who is there, which changes nothing
        # (jumpcloud.com, "Identity Management using a Custom SCIM Integration"; Infisical/infisical#2138).
        Profile("jumpcloud", DEFAULT.quirks),
        # No quirk of its own (2026-11): it probes by ``/Users?count=1``, looks up by ``userName eq`` with
        # ``startIndex=1`` and no count, and sends what RFC 7644 has (support.google.com/a, "Automated user
        # provisioning"; grokability/snipe-it#12642 shows its requests).
        Profile("google", DEFAULT.quirks),
        # No quirk of its own (2026-11): users come by PUT, whole, with two addresses that are both marked as
        # primary, of which every lenient profile takes the first; groups by PUT (*overwrite*) or PATCH
        # (*merge*); it looks up by a filter that an admin types, ``userName Eq "…"`` or ``emails eq "…"`` to
        # begin with (docs.pingidentity.com, "SCIM provisioning known limitations").
        Profile("ping", DEFAULT.quirks),
        Profile("keycloak", (*DEFAULT.quirks, *keycloak.QUIRKS)),
        Profile("authentik", authentik.QUIRKS),
    )
}


def named(name: str | None) -> Profile:
    return PROFILES.get(name or DEFAULT.name, DEFAULT)
