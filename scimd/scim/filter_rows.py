"""The values of multi-valued attributes as rows of a subquery: in the document, groups, members, schemas."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from functools import cached_property
from typing import Any

from scim2_models.path import CompareOperator
from sqlalchemy import (
    ColumnElement,
    Text,
    and_,
    case,
    exists,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    union_all,
)

from scimd.core.attributes import SCIMD_URN, SEVERAL, Resolved
from scimd.db.tables import assertions, group_members, groups, people
from scimd.org.groups.group_nesting import NestedIds
from scimd.scim.filter_values import Condition, Values, equals
from scimd.scim.filters import Test

#: How somebody is in a group.
_DIRECT, _INDIRECT = "direct", "indirect"


def rows_of(one: Values, found: Resolved) -> Rows:
    """The rows of a multi-valued attribute."""
    if found.extension is None:
        match found.attribute.name:
            case "groups":
                return _GroupsOfUser(one, found)
            case "members":
                return _MembersOfGroup(one, found)
            case "emails":
                return _Emails(one, found)
            case "schemas":
                return _Schemas(one, found)
    return _JsonRows(one, found)


def wanted(test: Test) -> Collection[str] | None:
    """The values of which a row must have one for the comparison to hold; None: they cannot be told."""
    sub = test.found.sub
    told = test.op is CompareOperator.eq and sub is not None and sub.name == "value"
    return {test.value, *map(str, test.others)} if told and isinstance(test.value, str) else None


class Rows(ABC):
    """The values of a multi-valued attribute as rows of a subquery."""

    #: Whether PostgreSQL may make a join of a condition on these rows only where it is all that is asked.
    joins_alone = False

    def __init__(self, one: Values, found: Resolved) -> None:
        self.one = one
        self.found = found

    @abstractmethod
    def value(self, part: Resolved) -> ColumnElement[Any]:
        """What a row has for the attribute or its sub-attribute."""

    @abstractmethod
    def any(self, inner: Condition) -> Condition:
        """Some row satisfies the condition."""

    def having(self, values: Collection[str]) -> Condition | None:
        """What an index tells of the resources that have one of the values: all of these satisfy it, and
        not many others. None where no index serves.
        """
        return None

    def holds(self, test: Test) -> Condition:
        """Some row's value compares so."""
        return self.chosen(self.compare(test), wanted(test))

    def chosen(self, inner: Condition, values: Collection[str] | None) -> Condition:
        """Some row satisfies the condition; ``values``: which only a row with one of these can."""
        near = None if values is None else self.having(values)
        return self.any(inner) if near is None else and_(near, self.any(inner))

    @abstractmethod
    def first(self, part: Resolved) -> ColumnElement[Any]:
        """What sorting goes by: the primary row's value, else the first one's; NULL where there is none."""

    def compare(self, test: Test) -> Condition:
        return self.one.compare(self.value(test.found), test)

    def present(self, found: Resolved) -> Condition:
        if found.sub is not None or not found.attribute.sub:
            return self.one.present(self.value(found), found.target)
        parts = [Resolved(found.extension, found.attribute, part) for part in found.attribute.sub]
        return or_(*(self.one.present(self.value(each), each.target) for each in parts))


class _JsonRows(Rows):
    """Elements of an array in the folded document."""

    def __init__(self, one: Values, found: Resolved) -> None:
        super().__init__(one, found)
        base, path = one.base(found, found.keys)
        self.source = one.json.rows(base, *path)

    def value(self, part: Resolved) -> ColumnElement[Any]:
        return self.one.json.part(self.source, part.sub.name if part.sub else None)

    def compare(self, test: Test) -> Condition:
        have, unsaid = self.value(test.found), test.found.unsaid
        if unsaid is not None and test.value is not None:
            have = func.coalesce(have, self.one.json.flag(unsaid))
        return self.one.compare(have, test)

    def is_primary(self) -> Condition:
        if self.found.attribute.find("primary") is None:
            return false()
        flag = self.one.json.part(self.source, "primary")
        return and_(flag.is_not(None), flag == self.one.json.flag(True))

    def any(self, inner: Condition) -> Condition:
        return exists(select(literal_column("1")).select_from(self.source).where(inner))

    def first(self, part: Resolved) -> ColumnElement[Any]:
        return (
            select(self.one.sortable(self.value(part), part.target))
            .select_from(self.source)
            .order_by(case((self.is_primary(), 0), else_=1), self.source.c.key)
            .limit(1)
            .scalar_subquery()
        )


class _Emails(_JsonRows):
    def having(self, values: Collection[str]) -> Condition | None:
        """By either of two addresses; who has more is looked at."""
        scope, other = self.one.scope, assertions.alias()
        mine = select(other.c.person_id).where(
            other.c.org_id == scope.org_id, other.c.source_id == scope.source_id
        )
        found = union_all(
            mine.where(other.c.email_key.in_(values)),
            mine.where(other.c.other_email_key.in_([*values, SEVERAL])),
        )
        return assertions.c.person_id.in_(found)


class _Schemas(Rows):
    """The URNs of a resource: its own, and those of the extensions of which it has something."""

    def value(self, part: Resolved) -> ColumnElement[Any]:
        return self._urns.c.value  # type: ignore[no-any-return]

    @property
    def _core(self) -> str:
        return self.one.scope.kind.schema.id

    @cached_property
    def _urns(self) -> Any:
        kind = self.one.scope.kind
        each = (select(literal(one.id, Text()).label("value")) for one in (kind.schema, *kind.extensions))
        return union_all(*each).subquery()

    def any(self, inner: Condition) -> Condition:
        used = [
            and_(self._urns.c.value == extension.id, self._uses(extension.id))
            for extension in self.one.scope.kind.extensions
        ]
        mine = or_(self._urns.c.value == self._core, *used)
        return exists(select(literal_column("1")).select_from(self._urns).where(inner, mine))

    def _uses(self, urn: str) -> Condition:
        said: Condition = self.one.json.text(self.one.scope.table.c.folded, urn).is_not(None)
        if urn == SCIMD_URN:
            return or_(said, self.one.person(people.c.extension).is_not(None))
        return said

    def first(self, part: Resolved) -> ColumnElement[Any]:
        return self.one.sortable(literal(self._core, Text()), part.target)


class _GroupsOfUser(Rows):
    """The groups that hold a person, directly or through other groups: found from the groups' side."""

    #: It does not know how many are in groups, and beside others goes through all of them for each person.
    joins_alone = True
    #: Whether it was asked how somebody is in a group.
    _typed = False

    def __init__(self, one: Values, found: Resolved) -> None:
        super().__init__(one, found)
        ways = (select(literal(each, Text()).label("type")) for each in (_DIRECT, _INDIRECT))
        self._way = union_all(*ways).subquery()

    def value(self, part: Resolved) -> ColumnElement[Any]:
        match part.sub.name if part.sub is not None else "value":
            case "display":
                return groups.c.display_name_key
            case "$ref":
                return literal(f"{self.one.scope.base_url}/Groups/") + groups.c.id
            case "type":
                self._typed = True
                return self._way.c.type
            case _:
                return groups.c.id

    def present(self, found: Resolved) -> Condition:
        return true()

    def any(self, inner: Condition) -> Condition:
        if self._typed:
            direct = self._in_this_way(_DIRECT).where(inner).subquery()
            others = self._nested(self._in_this_way(_INDIRECT).where(inner), people=True)
            return or_(assertions.c.person_id.in_(_people_in(direct)), others.has(assertions.c.person_id))
        roots = self._roots().where(inner)
        below = _people_among(self.one.scope.org_id, self._nested(roots, people=False))
        return assertions.c.person_id.in_(_people_in(roots.subquery()).union_all(below))

    def _nested(self, roots: Any, *, people: bool) -> NestedIds:
        """Who, or what, is in these groups through others."""
        name = f"nested_{len(self.one.nested)}"
        asked = NestedIds(name, roots.with_only_columns(groups.c.id), people)
        self.one.nested.append(asked)
        return asked

    def first(self, part: Resolved) -> ColumnElement[Any]:
        """Direct groups come first, and whoever is in any group is in one directly: groups are nested within
        a source.
        """
        inside, way = group_members.alias(), literal(_DIRECT, Text())
        value = way if part.sub is not None and part.sub.name == "type" else self.value(part)
        return (  # type: ignore[no-any-return]
            self._roots()
            .with_only_columns(self.one.sortable(value, part.target))
            .where(
                inside.c.org_id == groups.c.org_id,
                inside.c.group_id == groups.c.id,
                inside.c.person_id == assertions.c.person_id,
            )
            .order_by(inside.c.group_id)
            .limit(1)
            .correlate(assertions)
            .scalar_subquery()
        )

    def _in_this_way(self, way: str) -> Any:
        return self._roots().select_from(groups.join(self._way, self._way.c.type == way))

    def _roots(self) -> Any:
        """The living groups of the source, with their organization: by it SQLite is led from a group to
        its members, where it would walk through all memberships by an index of another order.
        """
        scope = self.one.scope
        return select(groups.c.org_id, groups.c.id.label("inner")).where(
            groups.c.org_id == scope.org_id, groups.c.source_id == scope.source_id, groups.c.state == "live"
        )


_INSIDE = group_members.alias()


def _people_in(found: Any) -> Any:
    """Who is in the groups that were found, directly."""
    return select(_INSIDE.c.person_id).where(
        _INSIDE.c.org_id == found.c.org_id,
        _INSIDE.c.group_id == found.c.inner,
        _names(_INSIDE, _INSIDE.c.person_id),
    )


def _people_among(org_id: str, below: NestedIds) -> Any:
    """Who is in the groups that are in others, directly."""
    return select(_INSIDE.c.person_id).where(
        _INSIDE.c.org_id == org_id,
        below.has(_INSIDE.c.group_id),
        _names(_INSIDE, _INSIDE.c.person_id),
    )


class _MembersOfGroup(Rows):
    """The members of a group that are known and not deleted."""

    #: Whether a row's name was asked for, which is found once for all that is asked of it.
    _named = False

    def __init__(self, one: Values, found: Resolved) -> None:
        super().__init__(one, found)
        self._person, self._child = assertions.alias(), groups.alias()
        if one.shares_members and one.members is None:
            one.members = self._all_known().cte()
        self._member: Any = group_members if one.members is None else one.members

    def value(self, part: Resolved) -> ColumnElement[Any]:
        member = self._member.c
        is_person = member.person_id.is_not(None)
        base_url = self.one.scope.base_url
        match part.sub.name if part.sub is not None else "value":
            case "type":
                return case((is_person, "user"), else_="group")
            case "$ref":
                user = literal(f"{base_url}/Users/") + member.person_id
                return case((is_person, user), else_=literal(f"{base_url}/Groups/") + member.child_id)
            case "display" if self.one.members is not None:
                return member.display  # type: ignore[no-any-return]
            case "display":
                self._named = True
                return self._name()
            case _:
                return func.coalesce(member.person_id, member.child_id)

    def _name(self) -> ColumnElement[Any]:
        return func.coalesce(self._name_of_person(), self._child.c.display_name)

    def _name_of_person(self) -> ColumnElement[Any]:
        """As it is shown: the owner's name for them, and none where that is but the user name."""
        is_owner = people.c.owner_source_id == self.one.scope.source_id
        shown = case((is_owner, people.c.display_name), else_=self._person.c.user_name)
        return case((shown != self._person.c.user_name, shown))

    def compare(self, test: Test) -> Condition:
        row = test.found.sub
        if test.op is CompareOperator.eq and row is not None and row.name == "value":
            columns = (self._member.c.person_id, self._member.c.child_id)
            values = (test.value, *test.others)
            return or_(*(and_(self.one.is_set(each, test), equals(each, values)) for each in columns))
        return super().compare(test)

    def having(self, values: Collection[str]) -> Condition | None:
        """The groups that have such a member are few; all that the source has are not."""
        found = union_all(
            *(
                select(group_members.c.group_id).where(
                    group_members.c.org_id == self.one.scope.org_id, column.in_(values)
                )
                for column in (group_members.c.person_id, group_members.c.child_id)
            )
        )
        return groups.c.id.in_(found)

    def present(self, found: Resolved) -> Condition:
        if found.sub is not None and found.sub.name == "display":
            return self.one.present(self.value(found), found.target)
        return true()

    def any(self, inner: Condition) -> Condition:
        self.one.named_members += self._named
        if self.one.members is None:
            return exists(self._known(literal_column("1")).correlate(groups).where(inner))
        found = groups.c.id.in_(select(self._member.c.group_id).where(inner))
        return found.is_(true()) if self.one.scope.dialect == "postgresql" else found

    def first(self, part: Resolved) -> ColumnElement[Any]:
        """People before groups, each by id, as they are shown."""
        nested = case((group_members.c.person_id.is_(None), 1), else_=0)
        chosen = self._known(self.one.sortable(self.value(part), part.target))
        ids = func.coalesce(group_members.c.person_id, group_members.c.child_id)
        return chosen.order_by(nested, ids).limit(1).correlate(groups).scalar_subquery()  # type: ignore[no-any-return]

    def _all_known(self) -> Any:
        """The members of all groups of the source, with their names: found once for all that a filter asks of
        them.
        """
        self._named = True
        scope, member = self.one.scope, group_members.c
        wanted = (member.group_id, member.person_id, member.child_id, self._name().label("display"))
        found = self._known(*wanted).where(
            groups.c.org_id == scope.org_id, groups.c.source_id == scope.source_id
        )
        self._named = False
        return found.where(groups.c.state == "live")

    def _known(self, *wanted: ColumnElement[Any]) -> Any:
        """What is wanted of the members of the group at hand who are known and not deleted."""
        member, person, child = group_members.c, self._person.c, self._child.c
        is_person = and_(
            person.org_id == member.org_id,
            person.source_id == member.source_id,
            person.person_id == member.person_id,
            person.state == "live",
        )
        is_group = and_(child.org_id == member.org_id, child.id == member.child_id, child.state == "live")
        found = select(*wanted).where(member.org_id == groups.c.org_id, member.group_id == groups.c.id)
        if not self._named:
            known = or_(*(exists(select(literal_column("1")).where(each)) for each in (is_person, is_group)))
            return found.where(known)
        is_theirs = and_(people.c.org_id == member.org_id, people.c.id == member.person_id)
        joined = group_members.outerjoin(self._person, is_person).outerjoin(people, is_theirs)
        known = or_(person.person_id.is_not(None), child.id.is_not(None))
        return found.select_from(joined.outerjoin(self._child, is_group)).where(known)


def _names(member: Any, resolved: ColumnElement[Any]) -> Condition:
    """The member is a known person, or group, whose key is their id. Said in this way because SQLite takes
    "is not null" for a range of an index, and walks through all memberships for each group.
    """
    known: Condition = member.c.member_key == resolved
    return known
