"""The normal form of distinguished names: tables, properties, and libldap as the second opinion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.dn import normal_dn, reference


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("uid=ann,dc=x", "UID=Ann,DC=X"),
        ("uid=ann,dc=x", " uid = ann , dc=x "),
        ("uid=ann,dc=x", "uid=ann;dc=x"),
        ("uid=ann,dc=x", "userid=ann,domainComponent=x"),
        ("cn=ann,ou=p", "2.5.4.3=ann,OID.2.5.4.11=p"),
        ("a=1+b=2,dc=x", "b=2+a=1,dc=x"),
        ("cn=a b", "cn=a   b"),
        ("cn=a b", "cn=\\20a b\\ "),
        ("cn=a\\,b", "cn=a\\2cb"),
        ("cn=a\\,b", 'cn="a,b"'),
        ("cn=zoë", "cn=Zo\\C3\\AB"),
        ("cn=zo\u00eb", "cn=zoe\u0308"),
        ("cn=strasse", "CN=Straße"),
        ("uid=DUP1", "uid=#0C0464757031"),
        ("cn=\\#ff", "cn=\\23FF"),
        ("", "  "),
    ],
)
def test_spellings_of_one_name_meet(one: str, other: str) -> None:
    assert normal_dn(one) == normal_dn(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cn=a,dc=x", "cn=a\\,dc=x"),
        ("cn=a+b=c", "cn=a\\+b=c"),
        ("cn=ab", "cn=a b"),
        ("cn=a,ou=b", "ou=b,cn=a"),
        ("cn=#ff", "cn=\\#ff"),
        ("cn=\\ff", "cn=ff"),
        ("uid=a", "cn=a"),
    ],
)
def test_different_names_stay_apart(one: str, other: str) -> None:
    assert normal_dn(one) != normal_dn(other)


@pytest.mark.parametrize("text", ["ann", "=x", "uid=a,", "uid=a,,dc=x", 'cn="a', 'cn=a"b', "cn=a\\", "1a=x"])
def test_what_is_no_name_is_refused_and_refers_to_itself(text: str) -> None:
    with pytest.raises(ValueError, match="distinguished name"):
        normal_dn(text)
    assert reference(text) == text


_TYPES = st.sampled_from(["uid", "CN", "ou", "dc", "l", "employeeNumber", "2.5.4.3", "x-y"])
_VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_RDNS = st.lists(st.tuples(_TYPES, _VALUES), min_size=1, max_size=3)
_NAMES = st.lists(_RDNS, min_size=1, max_size=4)


def _hex(value: str) -> str:
    return "".join(f"\\{byte:02X}" for byte in value.encode())


def _plain(value: str) -> str:
    escaped = "".join(f"\\{c}" if c in ',+"\\<>;=#' else c for c in value).replace("\0", "\\00")
    if escaped.endswith(" "):
        escaped = f"{escaped[:-1]}\\20"
    return f"\\{escaped}" if escaped.startswith(" ") else escaped


@given(_NAMES)
def test_escapes_case_order_and_separators_change_nothing(name: list[list[tuple[str, str]]]) -> None:
    one = ",".join("+".join(f"{kind}={_plain(value)}" for kind, value in rdn) for rdn in name)
    other = " ; ".join(
        " + ".join(f"{kind.swapcase()} = {_hex(value)}" for kind, value in reversed(rdn)) for rdn in name
    )
    assert normal_dn(one) == normal_dn(other)


@given(st.one_of(st.text(), st.text(alphabet='abcu=,+\\"#; 0fF\u00e9\u0130', max_size=20), _NAMES.map(str)))
def test_any_text_is_refused_or_has_a_normal_form_that_stays(text: str) -> None:
    try:
        once = normal_dn(text)
    except ValueError:
        return
    assert normal_dn(once) == once


@given(_NAMES)
def test_the_normal_form_keeps_its_parts_apart(name: list[list[tuple[str, str]]]) -> None:
    text = ",".join("+".join(f"{kind}={_plain(value)}" for kind, value in rdn) for rdn in name)
    parts = [normal_dn("+".join(f"{kind}={_hex(value)}" for kind, value in rdn)) for rdn in name]
    assert normal_dn(text) == ",".join(parts)


@pytest.mark.usefixtures("python_ldap")
@given(_NAMES)
def test_libldap_reads_the_normal_form_as_we_mean_it(name: list[list[tuple[str, str]]]) -> None:
    import ldap.dn as ldap_dn  # only here: the test run may be without it

    text = ",".join("+".join(f"{kind}={_plain(value)}" for kind, value in rdn) for rdn in name)
    ours = normal_dn(text)
    theirs = ldap_dn.str2dn(ours) if "\0" not in text and "\\00" not in ours else None
    if theirs is not None:
        again = ldap_dn.dn2str(theirs)
        assert [len(rdn) for rdn in theirs] == [len(rdn) for rdn in name]
        assert normal_dn(again) == ours


@given(
    st.from_regex(
        r"(uid|CN|ou|dc)=[A-Za-z0-9._@/:-]+( [A-Za-z0-9]+)?(,(OU|dc)=[a-zA-Z]+){0,3}", fullmatch=True
    )
)
def test_the_short_way_for_plain_names_gives_what_the_long_way_gives(text: str) -> None:
    assert normal_dn(text) == normal_dn(f" {text}")
