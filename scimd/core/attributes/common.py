"""Attributes of every resource (RFC 7643 §3.1)."""

from __future__ import annotations

from scimd.core.attributes.rows import INDEXED, Attribute, Schema, composite, text

COMMON = Schema(
    "",
    "Common",
    "Attributes of every resource (RFC 7643 §3.1).",
    (
        Attribute(
            "schemas",
            "The URIs of the schemas that the resource uses.",
            "reference",
            multi=True,
            required=True,
            case_exact=True,
            returned="always",
            references=("uri",),
        ),
        text(
            "id",
            "The id that scimd gave; it never changes and is never used again.",
            case_exact=True,
            mutability="readOnly",
            returned="always",
            uniqueness="server",
            column="id",
        ),
        text(
            "externalId",
            "The id that the provisioning client gave; scimd matches by it.",
            case_exact=True,
            column="external_id",
            max_chars=INDEXED,
        ),
        composite(
            "meta",
            "What scimd knows of the resource itself.",
            text("resourceType", "The resource type.", case_exact=True, mutability="readOnly"),
            Attribute(
                "created", "When it was created.", "dateTime", mutability="readOnly", column="created_at"
            ),
            Attribute(
                "lastModified",
                "When it last changed.",
                "dateTime",
                mutability="readOnly",
                column="changed_at",
            ),
            Attribute(
                "location",
                "Its address.",
                "reference",
                case_exact=True,
                mutability="readOnly",
                references=("uri",),
            ),
            text("version", "Its entity tag.", case_exact=True, mutability="readOnly"),
            mutability="readOnly",
        ),
    ),
)
