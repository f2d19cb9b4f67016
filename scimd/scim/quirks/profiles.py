"""The profiles by name. A token without one, or with a name unknown here, has DEFAULT."""

from __future__ import annotations

from dataclasses import replace

from scim2_models.path import FilterNode

from scimd.scim.operations import PatchRules
from scimd.scim.quirks import Profile, authentik, entra, keycloak, okta, onelogin, ping, wso2
from scimd.scim.values import Rules


def _read_filter(text: str) -> FilterNode:
    """A filter's syntax tree, in the form of each of them. Raises invalidFilter."""
    return entra.read_filter(authentik.quoted(text))


#: Takes what all of them send.
DEFAULT = Profile(
    "default",
    (*entra.QUIRKS, *okta.QUIRKS, *onelogin.QUIRKS, *ping.QUIRKS, *wso2.QUIRKS),
    read_filter=_read_filter,
)

#: The letter of RFC 7644: unknown attributes refused, noTarget where a filter matches nothing, no value of a
#: remove but for members, which it names.
RFC = Profile(
    "rfc",
    (),
    PatchRules(
        Rules(refuse_unknown=True, tolerant=False),
        create_missing=False,
        remove_listed=False,
        out_of_list=False,
    ),
    group_patch_answers=True,
)

PROFILES = {
    profile.name: profile
    for profile in (
        DEFAULT,
        RFC,
        Profile("okta", okta.QUIRKS, catalogue="okta"),
        # Microsoft's validator sends a PATCH of no operation, and wants it done: scimmyjs/scimmy#59.
        Profile("entra", entra.QUIRKS, PatchRules(allow_none=True), read_filter=entra.read_filter),
        # These publish little of what they send: each takes what all of them do.
        replace(DEFAULT, name="onelogin"),
        # No quirk of its own (2026-11): it removes members by a list of values without a filter, which
        # ``PatchRules.remove_listed`` takes, and adds again who is there, which changes nothing
        # (jumpcloud.com, "Identity Management using a Custom SCIM Integration"; Infisical/infisical#2138).
        replace(DEFAULT, name="jumpcloud"),
        # No quirk of its own (2026-11): it probes by ``/Users?count=1``, looks up by ``userName eq`` with
        # ``startIndex=1`` and no count, and sends what RFC 7644 has (support.google.com/a, "Automated user
        # provisioning"; grokability/snipe-it#12642 shows its requests).
        replace(DEFAULT, name="google"),
        replace(DEFAULT, name="ping"),
        # Its plugins want the resource of a PATCH (2026-11): to SCIM-SDK's client 204 was a failure until
        # Captain-P-Goldfish/SCIM-SDK#519, suvera/keycloak-scim2-storage reads the body of every answer.
        replace(
            DEFAULT, name="keycloak", quirks=(*DEFAULT.quirks, *keycloak.QUIRKS), group_patch_answers=True
        ),
        Profile("authentik", authentik.QUIRKS, read_filter=authentik.read_filter),
    )
}


def named(name: str | None) -> Profile:
    return PROFILES.get(name or DEFAULT.name, DEFAULT)
