"""What people do in the machine of all doors."""

from __future__ import annotations

from functools import partial

from hypothesis import strategies as st
from hypothesis.stateful import rule

from scimd.org.authentication import sessions, sign_in
from scimd.org.invitations import invitations
from scimd.org.tokens import api_tokens
from scimd.org.users import my_profile
from tests.doors.base import PASSWORDS, WHERE, Base, Secret, names, which


class PeopleDoor(Base):
    """Invitations, passwords, sign-in, profile."""

    @rule(n=which, decline=st.sampled_from([False, False, True]))
    def open_letter(self, n: int, decline: bool) -> None:
        """Accept, decline, or set a password, by a link that came by mail or was handed over."""
        found = [*self.letters, *self.company.letters.arrived]
        if not found:
            return self.nothing()
        letter = found[n % len(found)]
        if letter.purpose == "invitation":
            self.use_invitation(letter.token, decline)
        elif letter.purpose == "set-password":
            self.set_password(letter.token)
        else:
            self.nothing()
        return None

    def use_invitation(self, token: str, decline: bool) -> None:
        door = self.company.door
        if decline:
            done = self.call("decline", "person", lambda: invitations.decline(door, token)) is not None
        else:
            come = self.call(
                "accept", "person", lambda: invitations.accept(door, token, password=PASSWORDS[0], **WHERE)
            )
            done = come is not None
            if come and come.session:
                self.secrets.append(Secret("session", come.person_id, come.session))
        assert not (done and token in self.spent), "V13: a link worked twice"
        if done:
            self.spent.add(token)

    def set_password(self, token: str) -> None:
        door = self.company.door
        come = self.call(
            "set-password", "person", lambda: sign_in.set_password_by_link(door, token, PASSWORDS[1], **WHERE)
        )
        assert not (come and token in self.spent), "V13: a link worked twice"
        if come:
            self.spent.add(token)
            self.secrets.append(Secret("session", come.person_id, come.session))

    @rule(n=which, password=st.sampled_from(PASSWORDS))
    def sign_in(self, n: int, password: str) -> None:
        address = self.view.people[self.whom(n)].sign_in_address or "nobody@home.example"
        door, slug = self.company.door, self.mine.slug
        come = self.call(
            "sign-in", "person", lambda: sign_in.by_password(door, slug, address, password, **WHERE)
        )
        if come:
            self.secrets.append(Secret("session", come.person_id, come.session))

    @rule(n=which, what=st.sampled_from(["name", "address", "token", "leave"]), name=names)
    def of_oneself(self, n: int, what: str, name: str) -> None:
        """My Profile: a name, an address to confirm, a token of one's own; and signing out."""
        door = self.company.door
        cookies = [each for each in self.secrets if each.kind == "session"]
        secret = cookies[n % len(cookies)]
        holder = self.wait(sessions.by_cookie(door, secret.text))
        if holder is None:
            return self.nothing()
        match what:
            case "name":
                self.call("edit", "person", lambda: my_profile.edit(door, holder, display_name=name))
            case "address":
                address = f"{name}@{self.mine.slug}.example"
                self.call("address", "person", lambda: my_profile.ask_confirmation(door, holder, address))
            case "leave":
                ctx = holder.context(door)
                self.call("leave", "person", lambda: sessions.end_own(door, ctx, holder.session_id))
            case _:
                ctx = holder.context(door)
                make = partial(api_tokens.create_personal, door, ctx, holder.person_id, "mine")
                made = self.call("token", "person", make)
                if made:
                    self.secrets.append(Secret("api_token", holder.person_id, made.token))
        return None

    @rule(n=which)
    def confirm_address(self, n: int) -> None:
        found = [each for each in self.company.letters.arrived if each.purpose == "confirm-address"]
        if not found:
            return self.nothing()
        token = found[n % len(found)].token
        done = self.call("confirm", "person", lambda: my_profile.confirm(self.company.door, token))
        assert not (done and token in self.spent), "V13: a link worked twice"
        self.spent |= {token} if done else set()
        return None
