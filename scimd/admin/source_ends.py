"""The end of a source: who would lose what by it, and the end itself."""

from __future__ import annotations

from pydantic import Field

from scimd.admin.endpoints import Call, endpoint
from scimd.admin.models import Input, Query
from scimd.admin.rules import WAY_OUT, EditQuery, RulePreview
from scimd.admin.sources import source_of
from scimd.core.errors import NotAllowedNow, NotFound, Protected
from scimd.org.sources import source_ends
from scimd.org.sources.rule_previews import LOOKED_AT, End

_NEEDS = ("sources.manage",)
_PEOPLE = (
    "remove: as if it listed nobody. keep: whom it lists as active stay, as local people, "
    "and are invited where they never were."
)


class EndQuery(Query):
    people: End = Field("remove", description=_PEOPLE)


class SourceEnd(Input):
    people: End = Field(description=_PEOPLE)


class SourceEnded(RulePreview):
    left: int | None = Field(
        description="People of the source with whom the worker goes on: its `user_count` says how many are "
        "left, until it is found no more. Null: it is ended."
    )


@endpoint("GET", "/sources/{id}/end", needs=_NEEDS)
async def preview(call: Call, query: EndQuery) -> RulePreview:
    """Show who would lose what by a source's end.

    One with more people than it looks at is held, whatever its limits.
    """
    source = await source_of(call)
    told = await source_ends.preview(call.door, call.ctx, source.id, query.people, LOOKED_AT)
    return RulePreview.of(told)


@endpoint("POST", "/sources/{id}/end", needs=_NEEDS, refuses=(NotFound, NotAllowedNow, Protected))
async def end(call: Call, query: EditQuery, body: SourceEnd) -> SourceEnded:
    """End a source for good.

    Its people are removed or kept, in batches; its groups give nothing any more. Over the source's limits it
    is refused with the figures, unless `over_limits`; so it is where it has more people than the preview
    looks at. Of a large one the worker goes on with those who are `left`, after a restart too. One that the
    file declares is taken out there first. This cannot be taken back, and its name is not given again.
    """
    source = await source_of(call)
    done = await source_ends.end(
        call.door,
        call.ctx,
        source.id,
        body.people,
        sure=query.over_limits,
        way_out=WAY_OUT,
        at_most=LOOKED_AT,
    )
    left = await source_ends.left(call.door, call.org_id, source.id)
    return SourceEnded(**dict(RulePreview.of(done)), left=left)
