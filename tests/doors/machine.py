"""A machine that comes in by every door in any order, and looks at everything after each step.

The doors: an admin (REST; linking and merging by the door's own functions, as the command line calls
them), people (invitations, passwords, sign-in, profile), an identity provider (SCIM), a directory
(sync), and time with the jobs that it brings. A second organization with the same names and external
ids stands beside the first.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.doors.admin import AdminDoor
from tests.doors.directory import DirectoryDoor
from tests.doors.people import PeopleDoor
from tests.doors.push import PushDoor


class Doors(AdminDoor, PeopleDoor, PushDoor, DirectoryDoor):
    """All of them, and time."""

    @rule(days=st.sampled_from([0.002, 0.03, 0.2, 1, 7.5, 31]))
    def time_passes(self, days: float) -> None:
        """With the jobs off: nothing changes, and what has expired opens nothing."""
        self.company.clock.forward(days=days)
        self.nothing()

    @rule()
    def jobs_run(self) -> None:
        self.call("jobs", "job", lambda: self.company.jobs(self.mine), done=None)
