"""Two extensions as a config file declares them."""

from __future__ import annotations

from typing import Any

from scimd.config import Source
from scimd.org.sources.sources import as_json

HR_URN = "urn:ietf:params:scim:schemas:extension:acme-hr:2.0:User"
DOOR_URN = "urn:example:acme:doors"

HR: dict[str, Any] = {
    "urn": HR_URN,
    "name": "AcmeHR",
    "description": "What Acme's HR keeps",
    "attribute": [
        {"name": "grade", "type": "integer"},
        {"name": "workload", "type": "decimal"},
        {"name": "hired", "type": "dateTime"},
        {"name": "remote", "type": "boolean"},
        {"name": "badge", "case_exact": True},
        {"name": "nickname", "canonical_values": ["ace", "bee"]},
        {"name": "file", "type": "reference"},
        {"name": "secret", "returned": "request"},
        {"name": "kept", "returned": "always"},
    ],
}
DOORS: dict[str, Any] = {
    "urn": DOOR_URN,
    "name": "AcmeDoors",
    "attribute": [
        {"name": "floors", "type": "integer", "multi_valued": True},
        {"name": "tags", "multi_valued": True},
        {
            "name": "cards",
            "type": "complex",
            "multi_valued": True,
            "sub_attribute": [{"name": "value"}, {"name": "colour"}, {"name": "until", "type": "dateTime"}],
        },
        {"name": "desk", "type": "complex", "sub_attribute": [{"name": "room"}, {"name": "row"}]},
    ],
}


def source_with(*extensions: dict[str, Any]) -> dict[str, Any]:
    """The config of a source that declares them, as it is stored."""
    return as_json(Source.model_validate({"name": "idp", "state": "active", "extension": list(extensions)}))
