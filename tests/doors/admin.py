"""What an admin does in the machine of all doors."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from scimd.core.people import PersonId
from scimd.org.identities import linking, merging
from tests.doors.base import Base, flags, names, roles, which
from tests.doors.company import Letter


class AdminDoor(Base):
    """By REST; linking and merging by the door's own functions, as the command line calls them."""

    @rule(some=st.lists(names, min_size=1, max_size=2), at_home=flags, role=roles, reads=flags)
    def invite(self, some: list[str], at_home: bool, role: str, reads: bool) -> None:
        domain = "home.example" if at_home else f"{self.mine.slug}.example"
        emails = [f"{name}@{domain}" for name in some]
        self.api("POST", "/invitations", {"emails": emails, "role": role}, done=None)

    @rule(name=names, role=roles)
    def add(self, name: str, role: str) -> None:
        self.api("POST", "/users", {"email": f"{name}@{self.mine.slug}.example", "role": role})

    @rule(some=st.lists(names, min_size=1, max_size=3), how=st.sampled_from(["invite", "add"]))
    def bring_in_a_file(self, some: list[str], how: str) -> None:
        lines = "".join(f"{name}@{self.mine.slug}.example\n" for name in some)
        plan = self.api("POST", "/imports", {"csv": f"email\n{lines}", "how": how})
        if plan.done:
            self.api("POST", "/imports/apply", {"plan": plan.json["sealed"]}, done=None)

    @rule(n=which, verb=st.sampled_from(["deactivate", "reactivate", "disable", "enable", "reset-password"]))
    def gate(self, n: int, verb: str) -> None:
        self.api("POST", f"/users/{self.whom(n)}/{verb}")

    @rule(n=which, restore=flags)
    def delete_or_restore(self, n: int, restore: bool) -> None:
        if restore:
            self.api("POST", f"/users/{self.whom(n, dead=True)}/restore")
        else:
            self.api("DELETE", f"/users/{self.whom(n)}")

    @rule(n=which, role=roles, way=st.sampled_from(["set", "add", "remove"]))
    def give_role(self, n: int, role: str, way: str) -> None:
        person = f"/users/{self.whom(n)}"
        match way:
            case "set":
                self.api("PUT", f"{person}/role", {"role": role})
            case "add":
                self.api("POST", f"{person}/roles", {"role": role})
            case _:
                self.api("DELETE", f"{person}/roles/{role}")

    @rule(n=which, what=st.sampled_from(["projects", "team", "licences"]), m=which, give=flags)
    def assign(self, n: int, what: str, m: int, give: bool) -> None:
        thing = self.one_of({"team": "teams"}.get(what, what), m)
        person = f"/users/{self.whom(n)}/{what}"
        if thing is None:
            return self.nothing()
        if what == "team":
            self.api("PUT", person, {"team": thing.id}) if give else self.api("DELETE", person)
            return None
        body = {"role": "member"} if give and what == "projects" else None
        self.api("PUT" if give else "DELETE", f"{person}/{thing.id}", body)
        return None

    @rule(n=which, source=st.sampled_from(["okta", "hr"]))
    def detach(self, n: int, source: str) -> None:
        self.api("POST", f"/users/{self.whom(n)}/detach", {"source": source})

    @rule(n=which, name=names, what=st.sampled_from(["email", "display_name", "user_name"]))
    def edit(self, n: int, name: str, what: str) -> None:
        value = f"{name}@{self.mine.slug}.example" if what == "email" else name
        self.api("PATCH", f"/users/{self.whom(n)}", {what: value})

    @rule(n=which, verb=st.sampled_from(["resend", "withdraw", "copy-link", "edit", "delete"]), role=roles)
    def tend_invitation(self, n: int, verb: str, role: str) -> None:
        found = self.one_of("invitations", n)
        if found is None:
            return self.nothing()
        path = f"/invitations/{found.id}"
        if verb == "edit":
            self.api("PATCH", path, {"role": role})
        elif verb == "delete":
            self.api("DELETE", path)
        else:
            answer = self.api("POST", f"{path}/{verb}")
            if verb == "copy-link" and answer.done:
                token = answer.json["url"].rpartition("/")[2]
                self.letters.append(Letter("", "invitation", token))
        return None

    @rule(limit=st.sampled_from([1, 2, 4, 6, None]))
    def buy_seats(self, limit: int | None) -> None:
        self.api("PUT", "/seats", {"limit": limit})

    @rule(n=which, m=which)
    def decide(self, n: int, m: int) -> None:
        items = self.wait(self.company.api(self.mine, "GET", "/decisions?state=open")).json["items"]
        if not items:
            return self.nothing()
        item = sorted(items, key=lambda each: each["opened_at"])[n % len(items)]
        options = item["options"]
        self.api("POST", f"/decisions/{item['id']}/answer", {"answer": options[m % len(options)]["answer"]})
        return None

    @rule(n=which, name=names, source=st.sampled_from(["okta", "hr"]), apart=flags)
    def link(self, n: int, name: str, source: str, apart: bool) -> None:
        ctx, person_id, door = self.mine.context(), PersonId(self.whom(n)), self.company.door
        if apart:
            self.call("unlink", "cli", lambda: linking.unlink(door, ctx, person_id, source))
        else:
            self.call("link", "cli", lambda: linking.link(door, ctx, person_id, source, f"x-{name}"))

    @rule(n=which, m=which)
    def merge(self, n: int, m: int) -> None:
        ctx, kept, other = self.mine.context(), PersonId(self.whom(n)), PersonId(self.whom(m))
        self.call("merge", "cli", lambda: merging.merge(self.company.door, ctx, kept, other))

    @rule(n=which)
    def end_sessions(self, n: int) -> None:
        found = self.one_of("sessions", n, ended_at=None)
        if found is None:
            return self.nothing()
        self.api("DELETE", f"/sessions/{found.id}")
        return None
