"""The end of a source: who would lose what by it, and the end itself."""

from __future__ import annotations

from pydantic import Field

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Input, Query
from scimd.admin.rules import WAY_OUT, EditQuery, RulePreview
from scimd.admin.sources import source_of
from scimd.core.errors import NotAllowedNow, NotFound, Protected
from scimd.org.sources import source_ends
from scimd.org.sources.rule_previews import End

_NEEDS = ("sources.manage",)
_PEOPLE = (
    "remove: as if it listed nobody. keep: whom it lists as active stay, as local people, "
    "and are invited where they never were."
)


class EndQuery(Query):
    people: End = Field("remove", description=_PEOPLE)


class SourceEnd(Input):
    people: End = Field(description=_PEOPLE)


@endpoint("GET", "/sources/{id}/end", needs=_NEEDS)
async def preview(call: Call, query: EndQuery) -> RulePreview:
    """Show who would lose what by a source's end."""
    source = await source_of(call)
    return RulePreview.of(await source_ends.preview(call.door, call.ctx, source.id, query.people))


@endpoint("POST", "/sources/{id}/end", needs=_NEEDS, refuses=(NotFound, NotAllowedNow, Protected))
async def end(call: Call, query: EditQuery, body: SourceEnd) -> RulePreview:
    """End a source for good.

    Its people are removed or kept, in batches; its groups give nothing any more. Over the source's limits it
    is refused with the figures, unless `over_limits`. One that the file declares is taken out there
    first. This cannot be taken back, and its name is not given again.
    """
    source = await source_of(call)
    done = await source_ends.end(
        call.door, call.ctx, source.id, body.people, sure=query.over_limits, way_out=WAY_OUT
    )
    return RulePreview.of(done)
