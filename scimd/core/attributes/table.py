"""THE attribute table: every SCIM attribute that scimd serves of users and groups, said once."""

from __future__ import annotations

from typing import Any

from scimd.core.attributes.kinds import ResourceKind
from scimd.core.attributes.rows import INDEXED, SHOWN, Attribute, Schema, Type, composite, flag, plural, text

USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_URN = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE_URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
SCIMD_URN = "urn:ietf:params:scim:schemas:extension:scimd:2.0:User"

_NAME = composite(
    "name",
    "The parts of the person's name.",
    text("formatted", "The whole name, as it is to be shown."),
    text("familyName", "The family name.", column="family_name_key"),
    text("givenName", "The given name.", column="given_name_key"),
    text("middleName", "Names between the given and the family name."),
    text("honorificPrefix", "What stands before the name, such as Dr."),
    text("honorificSuffix", "What stands after the name, such as III."),
)

_ADDRESSES = composite(
    "addresses",
    "Postal addresses.",
    text("formatted", "The whole address, as it is to be shown."),
    text("streetAddress", "Street, house number, apartment; may have several lines."),
    text("locality", "City or place."),
    text("region", "State or region."),
    text("postalCode", "Postal code."),
    text("country", "Country, as ISO 3166-1 alpha-2."),
    text("type", "What the address is for.", canonical=("work", "home", "other")),
    flag("primary", "Whether this is the preferred value; true at most once."),
    multi=True,
)

_GROUPS = composite(
    "groups",
    "The groups of this source to which the person belongs, directly or through other groups.",
    text("value", "The id of the group.", case_exact=True, mutability="readOnly"),
    Attribute(
        "$ref",
        "The address of the group.",
        "reference",
        case_exact=True,
        mutability="readOnly",
        references=("Group",),
    ),
    text("display", "The name of the group.", mutability="readOnly"),
    text(
        "type",
        "Whether the membership is direct.",
        mutability="readOnly",
        canonical=("direct", "indirect"),
    ),
    multi=True,
    mutability="readOnly",
)

USER_SCHEMA = Schema(
    USER_URN,
    "User",
    "User Account",
    (
        text(
            "userName",
            "The name by which the provisioning client knows the person; unique in its source.",
            required=True,
            uniqueness="server",
            column="user_name_key",
            max_chars=INDEXED,
        ),
        _NAME,
        text("displayName", "The name to show.", column="display_name_key", max_chars=SHOWN),
        text("nickName", "What the person is called in daily life."),
        Attribute("profileUrl", "A page about the person.", "reference", references=("external",)),
        text("title", "The person's title, such as Vice President."),
        text("userType", "How the person relates to the organization, such as Employee."),
        text("preferredLanguage", "The language that the person prefers, as in Accept-Language."),
        text("locale", "Locale for dates, numbers and currency."),
        text("timezone", "Time zone, by its name in the IANA database."),
        flag("active", "What the provisioning client says of the account; scimd may yet hold it back."),
        text(
            "password",
            "Accepted and dropped: scimd takes no credential from a provisioning client.",
            mutability="writeOnly",
            returned="never",
            filterable=False,
        ),
        plural(
            "emails", "E-mail addresses.", text("value", "The address.", max_chars=INDEXED, address=True),
            "work", "home", "other",
        ),
        plural(
            "phoneNumbers", "Telephone numbers.", text("value", "The number."),
            "work", "home", "mobile", "fax", "pager", "other",
        ),
        plural(
            "ims", "Addresses for instant messages.", text("value", "The address."),
            "aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo",
        ),
        plural(
            "photos",
            "Addresses of photos.",
            Attribute("value", "The address.", "reference", references=("external",)),
            "photo", "thumbnail",
        ),
        _ADDRESSES,
        _GROUPS,
        plural("entitlements", "Entitlements.", text("value", "The entitlement.")),
        plural("roles", "Roles, as the provisioning client calls them.", text("value", "The role.")),
        plural(
            "x509Certificates",
            "X.509 certificates.",
            Attribute("value", "The certificate: DER, in base64.", "binary", case_exact=True),
        ),
    ),
)  # fmt: skip

ENTERPRISE_SCHEMA = Schema(
    ENTERPRISE_URN,
    "EnterpriseUser",
    "Enterprise User",
    (
        text("employeeNumber", "The number that the employer gave.", max_chars=INDEXED),
        text("costCenter", "Cost center."),
        text("organization", "Organization."),
        text("division", "Division."),
        text("department", "Department."),
        composite(
            "manager",
            "The person's manager.",
            text("value", "The id of the manager, as the provisioning client sends it.", case_exact=True),
            Attribute(
                "$ref", "The address of the manager.", "reference", case_exact=True, references=("User",)
            ),
            text("displayName", "The manager's name.", mutability="readOnly"),
        ),
    ),
)


def _told(name: str, description: str, of: Type = "string", **more: Any) -> Attribute:
    """A row of scimd's extension: decided here, so read-only, and compared exactly.

    Shown on request (``attributes=urn:…:scimd:2.0:User``): an answer otherwise holds what the client
    sent, and nothing that it could not send back.
    """
    return Attribute(
        name, description, of, mutability="readOnly", case_exact=of == "string", returned="request", **more
    )


SCIMD_SCHEMA = Schema(
    SCIMD_URN,
    "ScimdUser",
    "What scimd makes of the person",
    (
        _told("status", "The person's status.", canonical=("active", "pending", "inactive")),
        _told("causes", "Why the status is what it is, the strongest first.", multi=True),
        _told("team", "The person's team."),
        _told("licences", "The person's licences.", multi=True),
        _told(
            "projects",
            "The projects in which the person takes part.",
            "complex",
            multi=True,
            sub=(
                _told("value", "The id of the project."),
                _told("role", "The person's role in it."),
            ),
        ),
        _told("seat", "Whether the person takes a seat.", "boolean"),
        text("employmentStart", "The first day of employment, as the provisioning client gives it."),
    ),
)

_MEMBERS = composite(
    "members",
    "The members of the group.",
    text("value", "The id of the member.", case_exact=True, mutability="immutable", max_chars=INDEXED),
    Attribute(
        "$ref",
        "The address of the member.",
        "reference",
        case_exact=True,
        mutability="immutable",
        references=("User", "Group"),
    ),
    text("type", "What the member is.", mutability="immutable", canonical=("User", "Group")),
    # Compared exactly: it is the owner's word for the person, of which no folded key is kept.
    text("display", "The member's name.", mutability="readOnly", case_exact=True),
    multi=True,
)

GROUP_SCHEMA = Schema(
    GROUP_URN,
    "Group",
    "A group of people and of other groups",
    (
        text(
            "displayName",
            "The name of the group; unique in its source.",
            required=True,
            uniqueness="server",
            column="display_name_key",
            max_chars=INDEXED,
        ),
        _MEMBERS,
    ),
)

USER = ResourceKind("User", "/Users", USER_SCHEMA, (ENTERPRISE_SCHEMA, SCIMD_SCHEMA))
GROUP = ResourceKind("Group", "/Groups", GROUP_SCHEMA)
KINDS = (USER, GROUP)
