"""Mail domains: claimed and proven by DNS, or declared by an operator."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Input, Listed, ListQuery, Output
from scimd.core.errors import InvalidValue, NotAllowedNow, NotFound, NotUnique
from scimd.org.organizations import domains
from scimd.org.organizations.dns_txt import resolver
from scimd.org.windows import part

_MANAGE = ("organization.manage",)


class Domain(Output):
    domain: str
    verified_by: Literal["operator", "dns"]
    verified_at: datetime | None = Field(description="Null: claimed, and not proven.")
    record: str = Field(description="The TXT record that proves it.")
    value: str = Field(description="What the record says.")


class NewDomain(Input):
    domain: Annotated[str, StringConstraints(max_length=253, pattern=r"^[^\u0000]*$")] = Field(
        description="Such as `acme.example`."
    )


class DomainQuery(ListQuery):
    sort: Literal["domain", "-domain"] = "domain"


def _named(call: Call) -> str:
    """The domain of the path. Raises NotFound for what can be none."""
    try:
        return domains.one_domain(call.path["domain"])
    except InvalidValue as exc:
        raise NotFound("domain", call.path["domain"]) from exc


@endpoint("GET", "/domains", needs=("organization.manage", "users.read"))
async def index(call: Call, query: DomainQuery) -> Listed[Domain]:
    """List proven and claimed domains."""
    found = await domains.list_domains(call.door, call.org_id)
    return Listed.of(part(found, call.window, lambda row: row.domain), Domain.of)


@endpoint("POST", "/domains", needs=_MANAGE, refuses=(InvalidValue, NotUnique))
async def claim(call: Call, body: NewDomain) -> Domain:
    """Claim a domain.

    The answer holds the TXT record to publish. A claim that is not proven holds nothing.
    """
    return Domain.of(await domains.claim(call.door, call.ctx, body.domain))


@endpoint("POST", "/domains/declare", needs=_MANAGE, refuses=(InvalidValue, NotUnique), operators_only=True)
async def declare(call: Call, body: NewDomain) -> Domain:
    """Declare that a domain is the organization's, on an operator's word."""
    return Domain.of(await domains.declare(call.door, call.ctx, body.domain))


@endpoint("POST", "/domains/{domain}/verify", needs=_MANAGE, refuses=(NotFound, NotAllowedNow, NotUnique))
async def verify(call: Call) -> Domain:
    """Look for the TXT record, and take the domain if it is there."""
    look_up = resolver(call.config.dns.nameservers)
    return Domain.of(await domains.verify(call.door, call.ctx, _named(call), look_up))


@endpoint("DELETE", "/domains/{domain}", needs=_MANAGE, refuses=(NotFound, NotAllowedNow))
async def remove(call: Call) -> None:
    """Give a domain up.

    It links nobody any more, and may be another organization's. One that the config file declares is refused
    (409).
    """
    await domains.remove(call.door, call.ctx, _named(call))
