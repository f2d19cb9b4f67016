"""What a step has in its hands: names nobody else uses, the requests, and a place for findings.

Everything that a request may have made is noted before its answer is looked at, so that the clean-up
finds it however badly the rest goes.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scimd.cli.doctor.checks import LIMITED, PATCH_OP, Check, Finding, Severity, explained
from scimd.cli.doctor.client import Client, Reply

#: The attribute by which a thing without a known id is found again.
NAMED_BY = {"/Users": "userName", "/Groups": "displayName"}
#: The token may not, or the endpoint has no such thing: it says nothing about what was asked.
NOT_LET = frozenset({401, 403, 405, 429, 501})
#: After so many requests without any answer the rest is not tried.
PATIENCE = 3


class Over(Exception):
    """This step cannot go on; its findings say why."""


class Refused(Over):
    """The endpoint would not make it as it was sent, and made nothing."""


class Gone(Exception):
    """The endpoint has stopped answering."""


class NotOffered(Exception):
    """The endpoint leaves this out, as it may; the text says what that means."""


class NoEntry(Exception):
    """The endpoint cannot be reached, or refuses the token; the text is for the admin."""


@dataclass(frozen=True, slots=True)
class Names:
    """Names that nobody mistakes for a person's: scimd-doctor-<random>…@domain."""

    domain: str = "example.invalid"
    random: str = field(default_factory=lambda: uuid.uuid4().hex[:10])

    def user(self, who: str) -> str:
        """With a capital, which some endpoints lose."""
        return f"scimd-doctor-{self.random}-{_capital(who)}@{self.domain}"

    def group(self, what: str) -> str:
        return f"scimd-doctor-{self.random} {_capital(what)}"

    def external(self, who: str) -> str:
        """An opaque id of the provider's, the same for one name throughout a run."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"scimd-doctor:{self.random}:{who}"))


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


@dataclass(slots=True)
class Made:
    """Something that a POST made, or may have made. ``path`` is None where its id is not known.

    ``refused``: the endpoint says that it made nothing, which is looked after all the same.
    """

    resource: str
    name: str
    path: str | None
    refused: bool = False


class Stage:
    def __init__(self, client: Client, names: Names) -> None:
        self.client = client
        self.names = names
        self.kept: dict[str, Any] = {}
        #: By path, the answer to the last PUT or PATCH there, until it is read back.
        self.changed: dict[str, Reply] = {}
        self.lost: set[str] = set()
        self.made: list[Made] = []
        self.made_groups = False
        self.replies: list[Reply] = []
        self.findings: list[Finding] = []
        self._silent = 0
        self._said: set[tuple[str, str]] = set()

    # Requests

    async def get(self, path: str, **params: Any) -> Reply:
        return await self._send("GET", path, params)

    async def search(self, resource: str, filter_: str, **params: Any) -> Reply:
        return await self._send("GET", resource, {"filter": filter_, **params})

    async def put(self, path: str, body: Mapping[str, Any]) -> Reply:
        self.changed.pop(path, None)
        return await self._send("PUT", path, body=body)

    async def patch(self, path: str, *operations: Mapping[str, Any]) -> Reply:
        body = {"schemas": [PATCH_OP], "Operations": list(operations)}
        self.changed.pop(path, None)
        return await self._send("PATCH", path, body=body)

    async def delete(self, path: str) -> Reply:
        return await self._send("DELETE", path)

    async def post(self, resource: str, body: Mapping[str, Any]) -> Reply:
        """Make something, and take note of it for the clean-up, whatever the answer is.

        Who interrupts waits for the answer: what is made after the clean-up has looked would stay.
        """
        made = Made(resource, str(body[NAMED_BY[resource]]), None)
        self.made.append(made)
        sending = asyncio.ensure_future(self._send("POST", resource, body=body))
        try:
            reply = await asyncio.shield(sending)
        except asyncio.CancelledError:
            self._take_note(made, await sending)
            raise
        self._take_note(made, reply)
        return reply

    def _take_note(self, made: Made, reply: Reply) -> None:
        id_ = reply.at("id")
        if reply.status and reply.status < 300 and isinstance(id_, str) and id_:
            made.path = f"{made.resource}/{id_}"
        made.refused = 400 <= reply.status < 500
        self.made_groups |= made.resource == "/Groups" and not made.refused

    async def _send(
        self, method: str, path: str, params: Mapping[str, Any] | None = None, body: Any = None
    ) -> Reply:
        reply = await self.client.send(method, path, params, body)
        self._judge_entry(reply)
        self.replies.append(reply)
        self._silent = 0 if reply.status else self._silent + 1
        if self._silent >= PATIENCE:
            self.find("must", f"{reply.trouble}, {self._silent} times in a row", SLOW, reply)
            raise Gone
        return reply

    def _judge_entry(self, reply: Reply) -> None:
        if "endpoint" in self.kept:
            return
        if reply.kind == "unreachable" or (reply.kind == "timeout" and not self.replies):
            raise NoEntry(f"{self.client.url} cannot be reached: {reply.trouble}.")
        if reply.status == 403 and (said := explained(reply)):
            raise NoEntry(f"The endpoint does not let this token in: 403{said}.")
        if reply.status in (401, 403):
            raise NoEntry(
                f"The endpoint refuses the token ({reply.status}): check that it is whole, not expired "
                "or revoked, and meant for this address."
            )

    # Judging

    def find(self, severity: Severity, complaint: str, mend: str, reply: Reply) -> None:
        """Note a finding. What is no must is said once in a run, where it is met first."""
        if severity != "must":
            if (complaint, mend) in self._said:
                return
            self._said.add((complaint, mend))
        shown = self.client.redaction.text
        finding = Finding(severity, shown(complaint), mend, shown(reply.request))
        if finding not in self.findings:
            self.findings.append(finding)

    def expect(self, reply: Reply, *checks: Check) -> None:
        """Note every complaint; raises Over where the reply is of no further use."""
        if reply.trouble:
            mend = LIMITED if reply.status == 429 else _MENDS.get(reply.kind or "", BROKEN)
            self.find("must", reply.trouble, mend, reply)
            raise Over
        for check in checks:
            if complaint := check.judge(reply):
                self.find(check.severity, complaint, check.advice(reply), reply)
                if check.ends:
                    raise Over

    def lose(self, key: str) -> None:
        """It was made and cannot be found any more; the clean-up will still look for it."""
        self.lost.add(key)
        del self.kept[key]

    def forget(self, path: str) -> None:
        """It is known to be gone: nothing to clean up."""
        self.made = [one for one in self.made if one.path != path]


SLOW = "Answer within the provider's time limit: give the endpoint more room, or find what it waits for."
BROKEN = (
    "Answer with SCIM JSON at this address; check that the base URL ends where /Users begins, and that "
    "no proxy or sign-in page stands before it."
)
_MENDS = {"timeout": SLOW, "unreachable": "Keep the endpoint reachable during the whole sequence."}
