"""U4: what is known of somebody beside their access, of whatever a source sends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scimd.core.attributes import ENTERPRISE_URN, SCIMD_URN
from scimd.core.profile import Profile, profile_of


def test_a_document_is_read_whole_with_the_primary_values_first() -> None:
    document = {
        "name": {"givenName": "Dana", "familyName": "Ortiz"},
        "title": "Engineer",
        "emails": [{"value": "home@x.example"}, {"value": "work@x.example", "primary": True}],
        "phoneNumbers": [{"value": "+1"}],
        "addresses": [
            {"formatted": "1 Main St\nSpringfield"},
            {"streetAddress": "2 Side St", "locality": "Berlin", "country": "DE"},
        ],
        "photos": [{"value": "https://x.example/p.png"}],
        ENTERPRISE_URN: {"department": "R", "employeeNumber": "42"},
        SCIMD_URN: {"employmentStart": "2024-02-01"},
    }
    assert profile_of(document) == Profile(
        given_name="Dana", family_name="Ortiz", title="Engineer", department="R", employee_number="42",
        employment_start="2024-02-01", emails=("work@x.example", "home@x.example"), phones=("+1",),
        addresses=("1 Main St Springfield", "2 Side St, Berlin, DE"), picture_url="https://x.example/p.png",
    )  # fmt: skip


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["value", "primary", "formatted", "givenName"]), inner)
    ),
    max_leaves=6,
)
_KEYS = ["name", "title", "emails", "phoneNumbers", "addresses", "photos", ENTERPRISE_URN, SCIMD_URN]


@given(st.dictionaries(st.sampled_from(_KEYS), _VALUES))
def test_nothing_that_a_source_sends_breaks_the_page(document: dict[str, object]) -> None:
    found = profile_of(document)
    assert all(isinstance(text, str) and text for text in (*found.emails, *found.phones, *found.addresses))
