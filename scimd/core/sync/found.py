"""What a run found about people and groups: what its plan is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from scimd.core.people import GroupId, Keys, PersonId, fold
from scimd.core.sync.policy import Situation
from scimd.core.sync.seat_figures import SeatMove

Values: TypeAlias = Mapping[str, Any]

_NAME, _ADDRESS = "name:", "address:"


def name_key(user_name: str) -> str:
    """What a userName is compared by where names and addresses change hands."""
    return f"{_NAME}{fold(user_name)}"


def keys_held(keys: Keys) -> frozenset[str]:
    """What whoever has this entry holds: their userName and their sign-in address."""
    held = {name_key(keys.user_name)}
    if keys.sign_in_key:
        held.add(f"{_ADDRESS}{keys.sign_in_key}")
    return frozenset(held)


def addresses(held: Iterable[str]) -> set[str]:
    """The sign-in addresses among what is held, as ``Keys.sign_in_key`` has them."""
    return {key.removeprefix(_ADDRESS) for key in held if key.startswith(_ADDRESS)}


@dataclass(frozen=True, slots=True)
class PersonFound:
    """One entry, or one known person without an entry, and what was found about them.

    ``document`` is JSON as text: as the plan stores it, and far smaller than the object.

    ``gives_up`` and ``takes``: what changes hands of ``keys_held``.
    ``held_by``: somebody else holds the userName; removing them first makes way.
    """

    situation: Situation
    external_id: str | None
    name: str
    reason: str
    entry_name: str = ""
    person_id: PersonId | None = None
    version: int = 0
    document: str | None = None
    digest: bytes | None = None
    #: Of the document; None where there is no entry, or none that counts.
    keys: Keys | None = None
    #: Of somebody who returns: whether everything comes back.
    keeps: bool = True
    old: Values | None = None
    new: Values | None = None
    turns_inactive: bool = False
    turns_active: bool = False
    #: Whether they have access or not does not hang on this: another source decides, or they had none.
    stays: bool = False
    #: They leave where another source has them: they lose what this one gives, and no more.
    elsewhere: bool = False
    #: Somebody new to the source, who may want a seat.
    comes: bool = False
    #: What would become of seat and invitation (``org.runs.outlook``); mails go to whoever has a seat.
    seat: SeatMove | None = None
    wants_mail: bool = False
    becomes_admin: bool = False
    is_admin: bool = False
    #: Values that rules name (``values.Value``): as they would be, and those lost though they stay.
    has: frozenset[tuple[str, str]] = frozenset()
    loses: frozenset[tuple[str, str]] = frozenset()
    #: Their sign-in address vanishes, or becomes one that was another's, though they stay.
    loses_address: bool = False
    gives_up: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()
    held_by: PersonId | None = None
    place: str = ""

    @property
    def arrives(self) -> bool:
        """The source did not assert them until now."""
        return self.situation in (Situation.NEW, Situation.RETURNED, Situation.MATCHES_UNLINKED)

    @property
    def dropped(self) -> bool:
        return self.situation in (Situation.GONE, Situation.OUT_OF_SCOPE)

    @property
    def leaves(self) -> bool:
        """The source takes what it gave them, whoever else may have them."""
        return self.turns_inactive or self.dropped

    @property
    def ends_access(self) -> bool:
        return self.leaves and not self.stays

    @property
    def removal(self) -> bool:
        """It counts as one in the limits: they lose their access, or what this source gives."""
        return self.ends_access or self.elsewhere


@dataclass(frozen=True, slots=True)
class GroupFound:
    """One group: what it is called now, and how its members differ from those that are stored."""

    situation: Situation
    external_id: str | None
    name: str
    reason: str
    entry_name: str = ""
    group_id: GroupId | None = None
    version: int = 0
    #: Its name and members as they are stored: what the change rests on.
    mark: str | None = None
    document: str | None = None
    digest: bytes | None = None
    old: Values | None = None
    new: Values | None = None
    renamed: bool = False
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    gives_admin: bool = False
