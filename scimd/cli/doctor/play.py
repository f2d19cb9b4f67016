"""Plays a sequence step by step, and takes away afterwards what it made, whatever happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from scimd.cli.doctor.checks import Finding
from scimd.cli.doctor.client import Client, Manner, Reply
from scimd.cli.doctor.stage import NAMED_BY, NOT_LET, Gone, Made, Names, NotOffered, Over, Stage

Outcome = Literal["passed", "noted", "warned", "failed", "not run"]
_OF_SEVERITY: dict[str, Outcome] = {"must": "failed", "should": "warned", "may": "noted"}


@dataclass(frozen=True, slots=True)
class Source:
    """The vendor's page that a step follows, and when it was read."""

    title: str
    address: str
    read: str = "2026-11"


@dataclass(frozen=True, slots=True)
class Step:
    """``needs`` and ``makes`` are names of things kept on the stage, such as ``user:anna``."""

    name: str
    does: str
    source: Source
    play: Callable[[Stage], Awaitable[None]]
    needs: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()


@dataclass(slots=True)
class Sequence:
    """One identity provider's steps, in the order in which it takes them."""

    key: str
    title: str
    manner: Manner = field(default_factory=Manner)
    steps: list[Step] = field(default_factory=list)

    def step(
        self, does: str, source: Source, *, needs: tuple[str, ...] = (), makes: tuple[str, ...] = ()
    ) -> Callable[[Callable[[Stage], Awaitable[None]]], Callable[[Stage], Awaitable[None]]]:
        """Add the decorated function; its name, with spaces, is the step's."""

        def add(play: Callable[[Stage], Awaitable[None]]) -> Callable[[Stage], Awaitable[None]]:
            name = play.__name__.replace("_", " ")
            wanted = needs if "endpoint" in makes else ("endpoint", *needs)
            self.steps.append(Step(name, does, source, play, wanted, makes))
            return play

        return add


@dataclass(slots=True)
class Result:
    step: Step
    outcome: Outcome
    findings: list[Finding] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    why: str = ""


@dataclass(slots=True)
class CleanUp:
    removed: int = 0
    left: list[str] = field(default_factory=list)


class Play:
    """One run. Readable at any time: what has not been played yet is *not run*."""

    def __init__(
        self,
        sequence: Sequence,
        client: Client,
        names: Names,
        *,
        keep: bool = False,
        tell: Callable[[Result], None] = lambda _: None,
    ) -> None:
        self.sequence = sequence
        self.stage = Stage(client, names)
        self.clean_up = CleanUp()
        self.keeps = keep
        self._tell = tell
        self._played: dict[str, Result] = {}
        self.cleaning = False
        self._stopped = "interrupted"

    async def run(self) -> None:
        """Raises NoEntry where the endpoint does not let the doctor in; there is nothing to remove then."""
        try:
            for step in self.sequence.steps:
                await self._step(step)
        except Gone:
            self._stopped = "the endpoint stopped answering"
        finally:
            await self._clean()

    @property
    def results(self) -> list[Result]:
        return [
            self._played.get(step.name) or Result(step, "not run", why=self._stopped)
            for step in self.sequence.steps
        ]

    @property
    def counts(self) -> Counter[Outcome]:
        return Counter(result.outcome for result in self.results)

    @property
    def failed(self) -> bool:
        """A step failed, or something stays that the doctor should have taken away."""
        left = bool(self.clean_up.left) and not self.keeps
        return left or any(result.outcome == "failed" for result in self.results)

    async def _step(self, step: Step) -> None:
        lacking = next((need for need in step.needs if need not in self.stage.kept), None)
        if lacking is not None:
            self._done(Result(step, "not run", why=self._reason(lacking)))
            return
        self.stage.findings, self.stage.replies = [], []
        why = ""
        try:
            await step.play(self.stage)
        except Over:
            why = "ended early"
        except NotOffered as exc:
            why = str(exc)
        except Gone:
            self._done(self._judged(step, "ended early"))
            raise
        self._done(self._judged(step, why))

    def _judged(self, step: Step, why: str) -> Result:
        grades = {finding.severity for finding in self.stage.findings}
        worst = next((grade for grade in _OF_SEVERITY if grade in grades), None)
        outcome = _OF_SEVERITY[worst] if worst else "noted" if why else "passed"
        return Result(step, outcome, self.stage.findings, self.stage.replies, why)

    def _reason(self, lacking: str) -> str:
        maker = next((s.name for s in self.sequence.steps if lacking in s.makes), lacking)
        if lacking in self.stage.lost:
            return f"what “{maker}” made answers 404"
        made = self._played.get(maker)
        if made and made.outcome == "noted":
            return made.why
        return f"needs “{maker}”, which did not come off"

    def _done(self, result: Result) -> None:
        self._played[result.step.name] = result
        self._tell(result)

    # Taking away

    async def _clean(self) -> None:
        pending = self.stage.made[::-1]
        pending.sort(key=lambda one: one.resource != "/Groups")
        self.stage.made = []
        self.cleaning = True
        seen: set[str] = set()
        try:
            while pending:
                one = pending[0]
                for path in [one.path] if one.path else await self._paths(one):
                    await (self._keep if self.keeps else self._remove)(one, path, seen)
                del pending[0]
        finally:
            rest = dict.fromkeys(_named(one) for one in pending if not one.refused)
            self.clean_up.left += [f"{name}, perhaps: the clean-up was interrupted" for name in rest]

    def _leave(self, what: str) -> None:
        self.clean_up.left.append(self.stage.client.redaction.text(what))

    async def _keep(self, one: Made, path: str, seen: set[str]) -> None:
        if path not in seen:
            seen.add(path)
            self._leave(f"{_named(one)} at {path}")

    async def _remove(self, one: Made, path: str, tried: set[str]) -> None:
        if path in tried:
            return
        tried.add(path)
        reply = await self._send("DELETE", path)
        if reply.status not in (200, 202, 204, 404):
            self._leave(f"{_named(one)} at {path}: {_why(reply)}")
            return
        after = await self._send("GET", path)
        if after.status not in (404, 410):
            self._leave(f"{_named(one)} at {path}: still there after DELETE ({after.status})")
        elif reply.status == 404:
            await self._hunt(one, path, tried)
        else:
            self.clean_up.removed += 1
            self.stage.made_groups |= one.resource == "/Groups"

    async def _hunt(self, one: Made, path: str, tried: set[str]) -> None:
        """It was not where it was made: it may have another id now, or only be hidden there."""
        for elsewhere in await self._paths(one):
            if elsewhere == path:
                self._leave(f"{_named(one)} at {path}: listed, but DELETE answered 404")
            await self._remove(one, elsewhere, tried)

    async def _paths(self, one: Made) -> list[str]:
        """Where things of that name are. A POST without a usable answer may have made one all the same."""
        attribute = NAMED_BY[one.resource]
        reply = await self._send("GET", one.resource, {"filter": f'{attribute} eq "{one.name}"'})
        if reply.status == 404 or (one.refused and reply.status in NOT_LET):
            return []
        if reply.status != 200 or reply.trouble:
            self._leave(f"{_named(one)}, perhaps: {_why(reply)}")
            return []
        mine = [row for row in reply.resources if str(row.get(attribute)).lower() == one.name.lower()]
        return [f"{one.resource}/{row['id']}" for row in mine if row.get("id")]

    async def _send(self, method: str, path: str, params: dict[str, str] | None = None) -> Reply:
        return await self.stage.client.send(method, path, params)


def _named(one: Made) -> str:
    return f"{'group' if one.resource == '/Groups' else 'user'} {one.name}"


def _why(reply: Reply) -> str:
    return reply.trouble or f"{reply.method} answered {reply.status}"
