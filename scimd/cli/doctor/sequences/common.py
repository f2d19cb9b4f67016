"""What several providers do alike. Each sequence says what it sends; here is how answers are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scimd.cli.doctor.checks import (
    ERROR_BODY,
    GROUP,
    LOCATION,
    MEMBERS_LIST,
    NO_NULLS,
    NO_PASSWORD,
    OBJECT,
    SCIM_JSON,
    USER,
    Check,
    echoes,
    identified,
    listing,
    members,
    rather,
    status,
    told_truly,
    value,
)
from scimd.cli.doctor.client import Reply
from scimd.cli.doctor.stage import NAMED_BY, NOT_LET, NotOffered, Over, Refused, Stage

SCHEMA = {"/Users": USER, "/Groups": GROUP}

LOOK_UP = "Answer a search that finds nobody with 200 and an empty ListResponse, never with 404."
READ = "Keep everything that was made reachable under its id, also while it is inactive."
GONE = "After DELETE answer 204, then 404 for that id, and leave it out of every list."
UNMADE = "Make nothing where the answer is an error: the provider tries again, and meets a twin."
STAYS = "Keep the id of a resource for as long as it lives."


async def connects(stage: Stage, reply: Reply) -> None:
    """The first request. Whatever answers here with a list is an endpoint."""
    stage.expect(
        reply,
        status(200, mend="Check the base URL (it ends before /Users) and what the token may do."),
        SCIM_JSON,
        *listing(),
        NO_NULLS,
    )
    stage.kept["endpoint"] = stage.client.url


def refuse_plain_http(stage: Stage, reply: Reply) -> None:
    """Providers refuse http://; on this machine it is how one tries things out."""
    url = stage.client.url
    if url.startswith("http://") and not url.startswith(("http://127.", "http://localhost", "http://[::1]")):
        stage.find("must", "the token travels in clear over http://", "Serve the endpoint by HTTPS.", reply)


async def offers_groups(stage: Stage, reply: Reply) -> None:
    if reply.status in (404, 501) and (await stage.get("/Groups")).status in (404, 501):
        raise NotOffered("the endpoint has no /Groups: people can be provisioned, groups cannot")
    if reply.status not in NOT_LET:
        stage.kept["groups"] = True
    stage.expect(reply, status(200, mend=LOOK_UP), SCIM_JSON, *listing(), NO_NULLS)


async def finds_nobody(stage: Stage, resource: str, filter_: str, **params: Any) -> None:
    reply = await stage.search(resource, filter_, **params)
    stage.expect(reply, status(200, mend=LOOK_UP), SCIM_JSON, *listing(0, mend=LOOK_UP))


async def finds(stage: Stage, resource: str, filter_: str, key: str, *more: Check, **params: Any) -> Reply:
    """The search finds exactly what is kept under ``key``."""
    id_ = stage.kept[key].rsplit("/", 1)[1]
    reply = await stage.search(resource, filter_, **params)
    mend = f"Find exactly that resource by the filter {filter_.split(' ')[0]} eq …, active or not."
    same = Check(
        lambda r: "found another id" if r.resources and r.resources[0].get("id") != id_ else None,
        STAYS,
    )
    stage.expect(reply, status(200, mend=mend), SCIM_JSON, *listing(1, mend=mend), same, NO_NULLS, *more)
    return reply


async def makes(stage: Stage, resource: str, key: str, body: Mapping[str, Any], *, mend: str = "") -> Reply:
    """POST, and keep the new resource's path under ``key``."""
    reply = await stage.post(resource, body)
    kind = SCHEMA[resource]
    needed = mend or "Accept this resource as the provider sends it, and ignore what you do not know."
    try:
        stage.expect(reply, status(201, 200, mend=needed), OBJECT, *identified(kind))
    except Over:
        if reply.status >= 400 and await _made_all_the_same(stage, resource, body):
            complaint = f"answered {reply.status}, and the search finds it all the same"
            stage.find("must", complaint, UNMADE, reply)
        elif 400 <= reply.status < 500 and reply.status not in NOT_LET:
            raise Refused from None
        raise
    stage.kept[key] = f"{resource}/{reply.at('id')}"
    stage.expect(
        reply,
        rather(201, "Answer 201 where a resource was made."),
        SCIM_JSON,
        LOCATION,
        NO_NULLS,
        NO_PASSWORD,
        *echoes(body),
    )
    return reply


async def _made_all_the_same(stage: Stage, resource: str, body: Mapping[str, Any]) -> bool:
    attribute = NAMED_BY[resource]
    wanted = str(body[attribute])
    if stage.replies[-1].status in NOT_LET:
        return False
    reply = await stage.search(resource, f'{attribute} eq "{wanted}"')
    return any(str(row.get(attribute)).lower() == wanted.lower() for row in reply.resources)


async def makes_somehow(
    stage: Stage,
    resource: str,
    key: str,
    body: Mapping[str, Any],
    plain: Mapping[str, Any],
    *,
    mend: str = "",
) -> None:
    """As ``makes``; where ``body`` is refused, that is said, and ``plain`` lets the rest be judged."""
    try:
        await makes(stage, resource, key, body, mend=mend)
    except Refused:
        await makes(stage, resource, key, plain)


async def reads(stage: Stage, key: str, *checks: Check) -> Reply:
    """GET by id; ``checks`` judge what is stored."""
    path = stage.kept[key]
    reply = await stage.get(path)
    _still_there(stage, key, reply)
    same = value("id", is_=path.rsplit("/", 1)[1], mend=STAYS)
    kind = SCHEMA[path.rsplit("/", 1)[0]]
    stage.expect(
        reply,
        status(200, mend=READ),
        SCIM_JSON,
        OBJECT,
        *identified(kind),
        same,
        NO_NULLS,
        NO_PASSWORD,
        MEMBERS_LIST,
        *checks,
    )
    if path in stage.changed:
        answered = stage.changed.pop(path)
        stage.expect(answered, *told_truly(reply))
    return reply


async def patches(
    stage: Stage, key: str, *operations: Mapping[str, Any], mend: str, ok: tuple[int, ...] = (200, 204)
) -> Reply:
    """PATCH; a 200 carries the resource, with the id that it had."""
    path = stage.kept[key]
    reply = await stage.patch(path, *operations)
    _still_there(stage, key, reply)
    stage.expect(reply, status(*ok, mend=mend))
    _judge_changed(stage, reply, path)
    return reply


async def puts(stage: Stage, key: str, body: Mapping[str, Any], *, mend: str) -> Reply:
    path = stage.kept[key]
    reply = await stage.put(path, body)
    _still_there(stage, key, reply)
    stage.expect(reply, status(200, mend=mend), OBJECT)
    _judge_changed(stage, reply, path)
    return reply


def _still_there(stage: Stage, key: str, reply: Reply) -> None:
    """What answers 404 is lost to every later step, which would only complain of the same."""
    if reply.status == 404:
        stage.lose(key)
        stage.expect(reply, status(200, mend=READ))


def _judge_changed(stage: Stage, reply: Reply, path: str) -> None:
    if reply.status == 200:
        same = value("id", is_=path.rsplit("/", 1)[1], mend=STAYS)
        stage.expect(reply, SCIM_JSON, OBJECT, same, NO_NULLS, NO_PASSWORD)
        stage.changed[path] = reply


async def unknown_is_404(stage: Stage, resource: str) -> None:
    reply = await stage.get(f"{resource}/{stage.names.external('nobody')}")
    mend = "Answer 404 with a SCIM error for an id that does not exist."
    stage.expect(reply, status(404, mend=mend), SCIM_JSON, *ERROR_BODY)


async def refuses_twin(
    stage: Stage, resource: str, body: Mapping[str, Any], mend: str, *, must: bool
) -> None:
    reply = await stage.post(resource, body)
    severity = "must" if must else "should"
    stage.expect(reply, status(409, mend=mend, severity=severity), SCIM_JSON, *ERROR_BODY)  # type: ignore[arg-type]


async def removes(stage: Stage, key: str, *, filter_: str) -> None:
    """DELETE, and gone it is: by id and from lists."""
    path = stage.kept[key]
    reply = await stage.delete(path)
    stage.expect(reply, status(204, 200, mend=GONE), rather(204, "Answer 204 to a DELETE."))
    stage.expect(await stage.get(path), status(404, mend=GONE), SCIM_JSON, *ERROR_BODY)
    stage.forget(path)
    del stage.kept[key]
    reply = await stage.search(path.rsplit("/", 1)[0], filter_)
    stage.expect(reply, status(200, mend=LOOK_UP), *listing(0, mend=GONE))


def id_of(stage: Stage, key: str) -> str:
    return str(stage.kept[key]).rsplit("/", 1)[1]


def has_members(stage: Stage, *keys: str, mend: str) -> Check:
    return members(*(id_of(stage, key) for key in keys), mend=mend)


INACTIVE = "Store active: false, and go on returning the person by id and by filter."


async def is_inactive(stage: Stage, key: str, user_name: str) -> None:
    """Shut out, and still to be seen: a provider that loses sight of a person makes a second one."""
    await reads(stage, key, value("active", is_=False, mend=INACTIVE))
    await finds(stage, "/Users", f'userName eq "{user_name}"', key)


async def is_active(stage: Stage, key: str) -> None:
    await reads(
        stage, key, value("active", is_=True, mend="Store active: true when the provider re-enables.")
    )
