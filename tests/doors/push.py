"""What an identity provider does in the machine of all doors."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.doors.base import PASSWORDS, Base, flags, group_names, names, which


class PushDoor(Base):
    """SCIM."""

    @rule(
        name=names,
        active=st.sampled_from([True, True, True, False]),
        other=st.none() | names,
        n=which,
        odd=flags,
    )
    def push(self, name: str, active: bool, other: str | None, n: int, odd: bool) -> None:
        """``other``: another's userName. ``odd``: a client's id that is one of ours (V8)."""
        body = self.user(name, active=active) | ({"id": self.whom(n)} if odd else {})
        if other is not None:
            body["userName"] = self.user(other)["userName"]
        if odd and other is None:
            body["externalId"] = self.whom(n)
        self.scim("POST", "/Users", body)

    @rule(n=which, how=st.sampled_from(["off", "on", "PUT", "rename", "DELETE", "password"]), name=names)
    def push_change(self, n: int, how: str, name: str) -> None:
        path = f"/Users/{self.whom(n, dead=True)}"
        match how:
            case "off" | "on":
                value = {"active": how == "on"}
                self.scim("PATCH", path, {"Operations": [{"op": "Replace", "value": value}]})
            case "PUT":
                self.scim("PUT", path, self.user(name, title="Lead"))
            case "DELETE":
                self.scim("DELETE", path)
            case "password":
                value = {"password": PASSWORDS[0], "emails": [{"value": f"{name}@home.example"}]}
                self.scim("PATCH", path, {"Operations": [{"op": "replace", "value": value}]})
            case _:
                one = {"op": "replace", "path": "userName", "value": self.user(name)["userName"]}
                self.scim("PATCH", path, {"Operations": [one]})

    @rule(name=group_names, some=st.lists(which, max_size=3), unknown=names)
    def push_group(self, name: str, some: list[int], unknown: str) -> None:
        members = [{"value": self.whom(n)} for n in some] + [{"value": f"x-{unknown}"}]
        self.scim("POST", "/Groups", {"displayName": name, "members": members})

    @rule(
        n=which,
        how=st.sampled_from(["add", "remove", "replace", "rename", "DELETE", "nest"]),
        some=st.lists(which, max_size=3),
        name=group_names,
    )
    def push_group_change(self, n: int, how: str, some: list[int], name: str) -> None:
        found = self.one_of("groups", n, state="live", source_id=self.mine.scim.id)
        if found is None:
            return self.nothing()
        path = f"/Groups/{found.id}"
        if how == "DELETE":
            self.scim("DELETE", path)
        elif how == "rename":
            self.scim("PATCH", path, {"Operations": [{"op": "replace", "value": {"displayName": name}}]})
        else:
            keys = [self.whom(each) for each in some]
            if how == "nest":
                keys = [
                    self.one_of("groups", each, state="live", source_id=self.mine.scim.id).id for each in some
                ]
            one = {
                "op": "add" if how == "nest" else how,
                "path": "members",
                "value": [{"value": k} for k in keys],
            }
            self.scim("PATCH", path, {"Operations": [one]})
        return None

    @rule(
        n=which,
        verb=st.sampled_from(["GET", "PUT", "PATCH", "DELETE"]),
        what=st.sampled_from(["Users", "Groups"]),
    )
    def reach_over(self, n: int, verb: str, what: str) -> None:
        """V7: what another organization has is not there, and its ids name nobody."""
        rows = self.theirs_at_first.rows["people" if what == "Users" else "groups"]
        theirs = rows[n % len(rows)].id
        body: dict[str, Any] = {"PUT": self.user("ann"), "PATCH": {"Operations": [_OFF]}}.get(verb)
        answer = self.scim(verb, f"/{what}/{theirs}", body if what == "Users" else _group(body))
        assert answer.status == 404
        assert self.api("POST", f"/users/{theirs}/deactivate").status == 404
        assert self.api("PUT", f"/users/{theirs}/role", {"role": "manager"}).status == 404


_OFF = {"op": "replace", "value": {"active": False}}


def _group(body: dict[str, Any] | None) -> dict[str, Any] | None:
    return {"displayName": "theirs"} if body and "userName" in body else body
