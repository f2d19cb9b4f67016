"""ServiceProviderConfig, ResourceTypes, Schemas: derived from what is served (RFC 7643 §5-7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from scimd.core.attributes import GROUP, USER, Attribute, ResourceKind, Schema
from scimd.core.catalogue import ENTITLEMENT, ROLE, Form
from scimd.scim.exchange import ScimSettings

_CORE = "urn:ietf:params:scim:schemas:core:2.0"
_PARTS = {"supported": True, "enabled": True, "primarySupported": True, "typeSupported": True}
#: draft-ietf-scim-roles-entitlements-01; its -00 said "enabled" where it says "supported".
_ROLES_AND_ENTITLEMENTS = {
    "roles": {**_PARTS, "multipleRolesSupported": True},
    "entitlements": {**_PARTS, "multipleEntitlementsSupported": True},
}
_LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"


@dataclass(frozen=True, slots=True)
class Discovery:
    """The documents as bytes, made once per source and form of the catalogue.

    ``kinds`` are the resource types; ``by_id`` maps an endpoint and an id to its document.
    """

    kinds: tuple[ResourceKind, ...]
    config: bytes
    lists: Mapping[str, bytes]
    by_id: Mapping[tuple[str, str], bytes]

    @classmethod
    def make(
        cls,
        settings: ScimSettings,
        users: ResourceKind = USER,
        catalogue: Form | None = None,
        *,
        signed_tokens: bool = False,
        strict: bool = False,
    ) -> Discovery:
        """What a source's clients are told.

        ``catalogue``: roles and entitlements are announced, in this form (docs/decisions).
        ``signed_tokens``: whether an issuer of the source's own is taken. ``strict``: ServiceProviderConfig
        has the members of RFC 7643 and RFC 9865 alone.
        """
        kinds: tuple[ResourceKind, ...] = (users, GROUP)
        extras: dict[str, Any] = {}
        if catalogue is not None:
            kinds += (ROLE[catalogue], ENTITLEMENT[catalogue])
            extras = {} if strict else {"RolesAndEntitlements": _ROLES_AND_ENTITLEMENTS}
        base_url = settings.base_url
        types = [_resource_type(kind, base_url) for kind in kinds]
        schemas = [_schema(schema, base_url) for kind in kinds for schema in (kind.schema, *kind.extensions)]
        each = {("ResourceTypes", one["id"]): one for one in types} | {
            ("Schemas", one["id"]): one for one in schemas
        }
        return cls(
            kinds,
            orjson.dumps(_provider(settings, signed_tokens) | extras),
            {"ResourceTypes": _listed(types), "Schemas": _listed(schemas)},
            {(endpoint, name.lower()): orjson.dumps(document) for (endpoint, name), document in each.items()},
        )


def _listed(documents: list[dict[str, Any]]) -> bytes:
    count = len(documents)
    return orjson.dumps(
        {
            "schemas": [_LIST],
            "totalResults": count,
            "startIndex": 1,
            "itemsPerPage": count,
            "Resources": documents,
        }
    )


_SCHEMES = [
    {
        "type": "oauthbearertoken",
        "name": "Bearer token",
        "description": "A token of the source, in the header Authorization: Bearer.",
        "specUri": "https://www.rfc-editor.org/rfc/rfc6750",
        "primary": True,
    },
    {
        "type": "oauth2",
        "name": "OAuth 2.0 client credentials",
        "description": "An access token fetched from /oauth/token with a client's id and secret.",
        "specUri": "https://www.rfc-editor.org/rfc/rfc6749#section-4.4",
        "primary": False,
    },
    {
        "type": "oauthbearertoken",
        "name": "Signed token",
        "description": "A JWT that the source's own issuer signs, in the header Authorization: Bearer.",
        "specUri": "https://www.rfc-editor.org/rfc/rfc9068",
        "primary": False,
    },
]


def _provider(settings: ScimSettings, signed_tokens: bool) -> dict[str, Any]:
    base_url = settings.base_url
    return {
        "schemas": [f"{_CORE}:ServiceProviderConfig"],
        "patch": {"supported": True},
        "bulk": {
            "supported": True,
            "maxOperations": settings.max_bulk_operations,
            "maxPayloadSize": settings.max_body_bytes,
        },
        "filter": {"supported": True, "maxResults": settings.max_page},
        "pagination": {
            "cursor": True,
            "index": True,
            "defaultPaginationMethod": "index",
            "defaultPageSize": settings.default_page,
            "maxPageSize": settings.max_page,
            "cursorTimeout": round(settings.cursor_valid_s),
        },
        "changePassword": {"supported": False},
        "sort": {"supported": True},
        "etag": {"supported": True},
        "authenticationSchemes": _SCHEMES if signed_tokens else _SCHEMES[:2],
        "meta": {"resourceType": "ServiceProviderConfig", "location": f"{base_url}/ServiceProviderConfig"},
    }


def _resource_type(kind: ResourceKind, base_url: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "schemas": [f"{_CORE}:ResourceType"],
        "id": kind.name,
        "name": kind.name,
        "endpoint": kind.endpoint,
        "description": kind.schema.description,
        "schema": kind.schema.id,
        "meta": {"resourceType": "ResourceType", "location": f"{base_url}/ResourceTypes/{kind.name}"},
    }
    if kind.extensions:
        described["schemaExtensions"] = [{"schema": each.id, "required": False} for each in kind.extensions]
    return described


def _schema(schema: Schema, base_url: str) -> dict[str, Any]:
    return {
        "schemas": [f"{_CORE}:Schema"],
        "id": schema.id,
        "name": schema.name,
        "description": schema.description,
        "attributes": [_attribute(row) for row in schema.attributes],
        "meta": {"resourceType": "Schema", "location": f"{base_url}/Schemas/{schema.id}"},
    }


def _attribute(row: Attribute) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": row.name,
        "type": row.type,
        "multiValued": row.multi,
        "description": row.description,
        "required": row.required,
        "mutability": row.mutability,
        "returned": row.returned,
    }
    if row.type in ("string", "reference", "binary"):
        described["caseExact"] = row.case_exact
    if row.type != "boolean":
        described["uniqueness"] = row.uniqueness
    if row.canonical:
        described["canonicalValues"] = list(row.canonical)
    if row.references:
        described["referenceTypes"] = list(row.references)
    if row.sub:
        described["subAttributes"] = [_attribute(part) for part in row.sub]
    return described
