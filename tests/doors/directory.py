"""What a directory and its runs do in the machine of all doors."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from scimd.connector_api import Unreachable
from scimd.org.sources import sources
from scimd.sync import run as sync_run
from tests.doors.base import Base, flags, group_names, names
from tests.sync.world import Person


class DirectoryDoor(Base):
    """Sync."""

    @rule(some=st.dictionaries(names, st.sampled_from([True, True, False, None]), min_size=1), ids=flags)
    def directory_changes(self, some: dict[str, bool | None], ids: bool) -> None:
        """Who is there, active, inactive, or gone; now and then under an id of their own."""
        for name, active in some.items():
            key = f"x-{name}" if ids else f"hr-{name}"
            if active is None:
                self.mine.script.people.pop(key, None)
            else:
                address = f"{name}@{self.mine.slug}.example"
                self.mine.script.people[key] = Person(address, address, {"active": active})
        self.nothing()

    @rule(name=group_names, some=st.none() | st.lists(names, max_size=3))
    def directory_groups_change(self, name: str, some: list[str] | None) -> None:
        if some is None:
            self.mine.script.groups.pop(f"g-{name}", None)
        else:
            self.mine.script.groups[f"g-{name}"] = (name, [f"x-{each}" for each in some])
        self.nothing()

    @rule(fault=st.sampled_from([False, False, False, True]))
    def sync(self, fault: bool) -> None:
        self.mine.script.fault = Unreachable("down") if fault else None
        before = {row.id: row.status for row in self.view.people.values()}

        async def run() -> str:
            source = await sources.get_source(self.company.door, self.mine.id, "hr")
            return (await sync_run.sync_source(self.company.door, source)).state

        state = self.call("sync", "sync", run, done=None)
        if fault:
            assert state in ("failed", None), state
            now = {row.id: row.status for row in self.view_of(self.mine).people.values()}
            assert now == before, "V9: a failed read changed somebody"

    @rule(approve=st.sampled_from([True, True, False]))
    def decide_plan(self, approve: bool) -> None:
        held = self.wait(self.company.api(self.mine, "GET", "/runs?state=held")).json["items"]
        if not held:
            return self.nothing()
        verb = "approve" if approve else "reject"
        answer = self.api("POST", f"/runs/{held[0]['id']}/{verb}", done=None)
        if approve and answer.done:
            ctx = self.mine.context()
            self.call(
                "apply", "sync", lambda: sync_run.apply_run(self.company.door, ctx, held[0]["id"]), done=None
            )
        return None
