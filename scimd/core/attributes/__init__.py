"""THE attribute table: every SCIM attribute that scimd serves, said once.

The Schemas document, validation, filters, sorting, PATCH and projection derive from it. A new
attribute is one row of ``table``. Sources: RFC 7643 §3.1 (common), §4.1 (User), §4.2 (Group), §4.3
(Enterprise User), §7 (characteristics); scimd's own extension is read-only.

``column`` names the column of ``assertions`` (users) or ``groups`` in which the value, folded where
it is case-insensitive, is kept for comparison; an attribute without one is looked up in ``folded``.
"""

from scimd.core.attributes.common import COMMON
from scimd.core.attributes.kinds import Resolved, ResourceKind
from scimd.core.attributes.rows import Attribute, Mutability, Returned, Schema, Type, Uniqueness
from scimd.core.attributes.table import (
    ENTERPRISE_SCHEMA,
    ENTERPRISE_URN,
    GROUP,
    GROUP_SCHEMA,
    GROUP_URN,
    KINDS,
    SCIMD_SCHEMA,
    SCIMD_URN,
    USER,
    USER_SCHEMA,
    USER_URN,
)
from scimd.core.attributes.values import SEVERAL, columns_of, date_time, fold_document, moment

__all__ = [
    "COMMON",
    "ENTERPRISE_SCHEMA",
    "ENTERPRISE_URN",
    "GROUP",
    "GROUP_SCHEMA",
    "GROUP_URN",
    "KINDS",
    "SCIMD_SCHEMA",
    "SCIMD_URN",
    "SEVERAL",
    "USER",
    "USER_SCHEMA",
    "USER_URN",
    "Attribute",
    "Mutability",
    "Resolved",
    "ResourceKind",
    "Returned",
    "Schema",
    "Type",
    "Uniqueness",
    "columns_of",
    "date_time",
    "fold_document",
    "moment",
]
