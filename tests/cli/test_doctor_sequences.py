"""Each sequence against a server that is right, and against one with each fault."""

from __future__ import annotations

import asyncio

import pytest

from scimd.cli.doctor.checks import status
from scimd.cli.doctor.client import Client, Reply
from scimd.cli.doctor.play import Play
from scimd.cli.doctor.sequences import SEQUENCES
from scimd.cli.doctor.stage import Names
from tests.cli.doctor_target import Target, served
from tests.cli.faulty_scim import FAULTS, TOKEN
from tests.support.patience import AT_MOST_S


def play(idp: str, target: Target, *, timeout_s: float = AT_MOST_S, keep: bool = False) -> Play:
    async def work() -> Play:
        async with Client(target.url, TOKEN, SEQUENCES[idp].manner, timeout_s=timeout_s) as client:
            result = Play(SEQUENCES[idp], client, Names(), keep=keep)
            await result.run()
            return result

    return asyncio.run(work())


@pytest.mark.parametrize("idp", SEQUENCES)
def test_endpoint_without_fault_passes_every_step_and_is_left_as_it_was(idp: str) -> None:
    with served() as target:
        played = play(idp, target)
    assert [r.step.name for r in played.results if r.outcome != "passed"] == []
    assert played.clean_up.left == []
    assert target.scim.left == []


#: What the documents ask for and the provider copes without.
WARNED = {"nulls", "nulls_in_schemas", "plain_json", "twin_group_accepted", "group_patch_200", "created_200",
          "deleted_200", "partial_answers"}  # fmt: skip

# fault, provider, the step that finds it, the complaint, the advice
CASES = [
    ("unknown_is_404", "okta", "look up unknown person", "answered 404", "200 and an empty ListResponse"),
    ("unknown_is_404", "entra", "connect", "answered 404", "200 and an empty ListResponse"),
    ("no_location", "okta", "create person", "201 without a Location header", "Location header"),
    ("capitals_refused", "entra", "replace values", "unknown op Replace", "without regard to case"),
    ("pathless_refused", "okta", "patch deactivates", "path is required", "without a path"),
    ("pathless_refused", "ping", "patch person", "path is required", "path-less replace"),
    ("string_boolean_refused", "entra", "disable by string", "must be a boolean", '"True" and "False"'),
    ("boolean_kept_as_string", "entra", "disable by string", "active is 'False'", "active: false"),
    ("remove_list_wipes", "entra", "remove by value list", "5 of 5 members are missing", "never all"),
    ("remove_list_wipes", "jumpcloud", "remove by value list", "1 of 1 members", "never all"),
    ("rename_refused", "okta", "rename group", "id is readOnly", "Ignore the id"),
    ("rename_empties", "okta", "rename group", "2 of 2 members", "must not touch the members"),
    ("totals_as_strings", "okta", "connect", "totalResults is '0'", "not as strings"),
    ("html_errors", "okta", "read unknown person", "an HTML page (text/html)", "SCIM JSON"),
    ("errors_without_body", "entra", "read unknown person", "no SCIM error", "SCIM error as JSON"),
    ("work_address_500", "entra", "match by work address", "answered 500", "by the filter emails[type"),
    ("work_address_500", "entra", "replace values", "answered 500", "value paths"),
    ("active_ignored", "okta", "patch deactivates", "active is True, expected False", "active: false"),
    ("active_ignored", "google", "suspend", "active is True, expected False", "active: false"),
    ("inactive_vanishes", "okta", "put deactivates", "answered 404", "while it is inactive"),
    ("inactive_unlisted", "onelogin", "suspend", "found 0", "active or not"),
    ("put_loses", "okta", "put whole person", "name.givenName was sent 'Anna'", "exactly as they were sent"),
    ("put_loses", "google", "put whole person", "came back missing", "exactly as they were sent"),
    ("put_refused", "onelogin", "put whole person", "PUT is not supported", "PUT of the whole user"),
    ("id_changes_on_put", "okta", "put whole person", "id is", "Keep the id"),
    ("re_add_409", "okta", "add member again", "already a member", "change nothing"),
    ("re_add_409", "onelogin", "add members", "already a member", "PATCH add"),
    ("re_add_doubles", "entra", "add member again", "appears 2 times", "change nothing"),
    ("excluded_ignored", "entra", "read group without members", "members is still", "excludedAttributes"),
    ("ids_recycled", "entra", "ids are not reused", "the id of a deleted one", "Never give an id"),
    ("slow_patch", "okta", "patch deactivates", "no answer within", "time limit"),
    ("nulls", "okta", "create person", "null at nickName", "in place of sending null"),
    ("nulls_in_schemas", "entra", "read schemas", "null at Resources[0].description", "sending null"),
    ("plain_json", "okta", "connect", "application/json, not", "application/scim+json"),
    ("values_lowered", "entra", "create person", "and came back", "without changing case"),
    ("push_now_refused", "okta", "push now empty", "must not be empty", "empty member list"),
    ("replace_is_additive", "okta", "push now", "should not be", "exactly the list"),
    ("deleted_stays", "google", "delete person", "answered 200, expected 404", "then 404"),
    ("delete_refused", "jumpcloud", "delete test user", "DELETE is not allowed", "answer 204"),
    ("twin_accepted", "okta", "create person twice", "answered 201, expected 409", "uniqueness"),
    ("twin_group_accepted", "entra", "create group twice", "answered 201, expected 409", "displayName"),
    ("dotted_keys_dropped", "entra", "replace with dotted keys", "name.givenName is 'Anna'", "as paths"),
    ("urn_keys_refused", "entra", "replace with dotted keys", "unknown attribute", "as paths"),
    ("manager_string_refused", "entra", "manager as string", "must be an object", "bare string"),
    ("roles_refused", "entra", "create person", "roles must not be empty", "roles: [] as no roles"),
    ("null_ref_refused", "entra", "read group without members", "$ref must be", "$ref: null"),
    ("extra_schema_refused", "entra", "create group", "unknown schema", "Ignore the schema"),
    ("no_target", "entra", "add where nothing matches", "nothing matches", "do not answer noTarget"),
    ("group_patch_200", "entra", "add member", "answered 200, expected 204", "Answer 204"),
    ("parallel_lost", "entra", "add members in parallel", "members are missing", "under a lock"),
    ("disabled_leaves_groups", "entra", "keep memberships while disabled", "1 of 4", "Keep the memberships"),
    ("deleted_stays_member", "entra", "deleted person left groups", "should not be", "out of every group"),
    ("membership_filter_500", "entra", "ask for membership", "answered 500", "members eq"),
    ("typeless_refused", "okta", "push group", "members.type is required", "only value and display"),
    ("case_sensitive", "okta", "find person in capitals", "found 0", "without regard to case"),
    ("filter_operators_case_sensitive", "ping", "find by written filter", "no such operator", "filter"),
    ("disabled_created_active", "ping", "create disabled person", "active was sent False", "exactly as"),
    ("redirects", "okta", "connect", "redirects to https://elsewhere.invalid/", "base URL"),
    ("html_everywhere", "entra", "connect", "answered 200 with an HTML page", "sign-in page"),
    ("huge", "okta", "connect", "longer than 4 MiB", "SCIM JSON"),
    ("password_returned", "okta", "create person", "contains the password", "Never return password"),
    ("paging_ignored", "okta", "import by pages", "startIndex is 1, expected 2", "startIndex"),
    ("no_id", "google", "create person", "no id", "Give every resource an id"),
    ("hangs_up", "jumpcloud", "create test user", "the connection broke", "Answer with SCIM JSON"),
    ("created_without_answer", "okta", "create person", "made, and then fell over", "Accept this resource"),
    ("refused_but_made", "okta", "create person", "finds it all the same", "Make nothing where"),
    ("refused_but_made", "entra", "create person", "finds it all the same", "Make nothing where"),
    *((("user_name_lowered", idp, "create person", "userName was sent", "without changing case"))
      for idp in ("okta", "jumpcloud", "onelogin", "google", "ping")),
    *(("stale_answers", idp, step, "active is True in the answer, and False when read", "after the change")
      for idp, step in (("okta", "put deactivates"), ("okta", "patch deactivates"), ("ping", "disable"),
                        ("entra", "disable by string"), ("onelogin", "suspend"), ("google", "suspend"),
                        ("jumpcloud", "put deactivates"))),
    ("stale_answers", "google", "put whole person", "displayName is 'Anna Àbrecht' in", "after the change"),
    ("partial_answers", "okta", "put whole person", "the answer leaves out emails", "whole resource"),
    ("groups_forbidden", "okta", "ask for groups", "lacks the scope groups:read", "Give the token the scope"),
    ("groups_read_only", "okta", "push group", "lacks the scope groups:write", "Give the token the scope"),
    ("groups_read_only", "entra", "create group", "lacks the scope groups:write", "Give the token the scope"),
    ("creation_limited", "okta", "create person", "answered 429 (slowly)", "Retry-After"),
    ("group_filter_empty", "okta", "find group", "found 0", "by the filter displayName eq"),
    ("group_filter_empty", "entra", "read group without members", "found 0", "by the filter displayName eq"),
    ("schemas_as_number", "okta", "connect", "not a ListResponse", "ListResponse"),
    ("schemas_as_number", "entra", "create person", "schemas does not name", "in schemas"),
    ("members_as_number", "okta", "push group", "members is 5, not a list", "as a list of objects"),
    ("members_as_number", "entra", "add member", "members is 5, not a list", "as a list of objects"),
    ("created_200", "okta", "create person", "answered 200, expected 201", "Answer 201"),
    ("created_200_lossy", "google", "create person", "externalId was sent", "exactly as they were sent"),
    ("created_200_lossy", "jumpcloud", "create person", "externalId was sent", "exactly as they were sent"),
    ("deleted_200", "google", "delete person", "answered 200, expected 204", "Answer 204"),
    ("deleted_200_stays", "google", "delete person", "answered 200, expected 404", "then 404"),
    ("deleted_200_stays", "jumpcloud", "delete test user", "answered 200, expected 404", "then 404"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "idp", "step", "complaint", "advice"),
    CASES,
    ids=[f"{c[0]}-{c[1]}-{c[2]}" for c in CASES],
)
def test_fault_is_found_where_it_shows_with_words_that_help(
    fault: str, idp: str, step: str, complaint: str, advice: str
) -> None:
    with served(fault) as target:
        played = play(idp, target, timeout_s=1 if fault == "slow_patch" else AT_MOST_S)
    (result,) = (r for r in played.results if r.step.name == step)
    assert result.outcome == ("warned" if fault in WARNED else "failed")
    assert any(complaint in f.complaint and advice in f.mend for f in result.findings), result.findings
    assert played.failed is (fault not in WARNED)


def test_every_fault_has_its_case() -> None:
    elsewhere = {"no_groups", "silent", "token_echoed", "user_delete_refused", "slow_create", "slow_delete",
                 "rate_limited", "creation_limited_at_first", "users_forbidden", "escape_codes"}  # fmt: skip
    assert {case[0] for case in CASES} == FAULTS - elsewhere


@pytest.mark.parametrize("idp", ["okta", "entra", "jumpcloud"])
def test_endpoint_without_groups_is_told_so_and_not_blamed(idp: str) -> None:
    with served("no_groups") as target:
        played = play(idp, target)
    groups = next(r for r in played.results if r.step.name == "ask for groups")
    assert groups.outcome == "noted"
    assert "no /Groups" in groups.why
    assert not played.failed
    unplayed = [r for r in played.results if r.outcome == "not run"]
    assert len(unplayed) > 2
    assert all("no /Groups" in r.why or "did not come off" in r.why for r in unplayed)


def test_steps_that_depend_on_a_failed_one_are_not_run_and_name_it() -> None:
    with served("typeless_refused") as target:
        played = play("okta", target)
    (result,) = (r for r in played.results if r.step.name == "rename group")
    assert result.outcome == "not run"
    assert result.why == "needs “push group”, which did not come off"
    assert result.replies == []


def test_refusal_of_what_only_entra_sends_does_not_hide_the_rest() -> None:
    with served("roles_refused", "extra_schema_refused", "remove_list_wipes") as target:
        played = play("entra", target)
    failed = {r.step.name for r in played.results if r.outcome == "failed"}
    assert {"create person", "create group", "remove by value list"} <= failed
    assert played.counts["not run"] == 0
    assert target.scim.left == []


def test_long_detail_of_a_refusal_is_one_bounded_line() -> None:
    reply = Reply("GET", "/Users", None, status=400, body={"detail": "first\n  second " + "x" * 5_000})
    (complaint,) = filter(None, [status(200, mend="").judge(reply)])
    assert complaint.startswith("answered 400 (first second xxx")
    assert len(complaint) < 260


def test_what_vanished_is_complained_of_once() -> None:
    with served("inactive_vanishes") as target:
        played = play("okta", target)
    assert [r.step.name for r in played.results if r.outcome == "failed"] == ["put deactivates"]
    (result,) = (r for r in played.results if r.step.name == "patch deactivates")
    assert result.why == "what “create person” made answers 404"


def test_endpoint_that_falls_silent_is_given_up() -> None:
    with served("slow_patch") as target:
        played = play("entra", target, timeout_s=1)
    assert [r for r in played.results if r.why == "the endpoint stopped answering"]
    assert target.scim.left == []


@pytest.mark.parametrize(
    "fault",
    ["created_without_answer", "refused_but_made", "hangs_up", "no_id", "twin_accepted", "id_changes_on_put"],
)
@pytest.mark.parametrize("idp", ["okta", "entra"])
def test_what_was_made_without_a_proper_answer_is_found_by_name_and_removed(fault: str, idp: str) -> None:
    with served(fault) as target:
        played = play(idp, target)
    assert target.scim.left == []
    assert played.clean_up.left == []


def test_what_cannot_be_removed_is_named() -> None:
    with served("delete_refused") as target:
        played = play("onelogin", target)
    assert len(played.clean_up.left) == len(target.scim.left) == 3
    assert all("DELETE answered 405" in line for line in played.clean_up.left)
    assert {line.split()[1] for line in played.clean_up.left} <= {
        name.split()[0] for name in target.scim.left
    }


@pytest.mark.parametrize("fault", ["deleted_stays", "inactive_vanishes"])
def test_what_only_seems_removed_is_named(fault: str) -> None:
    with served(fault) as target:
        played = play("okta", target)
    assert target.scim.left
    assert len(played.clean_up.left) == len(target.scim.left)


def test_what_remains_counts_as_failed_unless_it_is_kept() -> None:
    with served("user_delete_refused") as target:
        played, kept = play("okta", target), play("okta", target, keep=True)
    assert played.counts["failed"] == kept.counts["failed"] == 0
    assert played.clean_up.left
    assert played.failed
    assert not kept.failed


def test_keep_leaves_everything_and_lists_it() -> None:
    with served() as target:
        played = play("okta", target, keep=True)
    assert len(played.clean_up.left) == 2
    assert len(target.scim.left) == 2


def test_group_that_a_refusal_made_counts_as_made() -> None:
    with served("refused_but_made") as target:
        played = play("entra", target)
    assert target.scim.left == []
    assert played.stage.made_groups


def test_keep_lists_what_was_refused_and_made_and_not_what_was_only_refused() -> None:
    with served("refused_but_made") as target:
        made = play("okta", target, keep=True)
    with served("roles_refused") as target:
        refused = play("entra", target, keep=True)
    assert len(made.clean_up.left) == 2
    assert len({line.rsplit("/", 1)[1] for line in refused.clean_up.left}) == len(refused.clean_up.left)
    assert len(refused.clean_up.left) == len(target.scim.left)


def test_forbidden_groups_are_the_only_complaint_and_leave_no_doubt() -> None:
    for fault in ("groups_forbidden", "groups_read_only"):
        with served(fault) as target:
            played = play("okta", target)
        assert played.counts["failed"] == 1
        assert played.clean_up.left == []


@pytest.mark.parametrize("idp", ["okta", "jumpcloud"])
def test_rate_limit_is_waited_out_and_not_blamed(idp: str) -> None:
    with served("rate_limited") as target:
        played = play(idp, target)
    assert [r.step.name for r in played.results if r.outcome != "passed"] == []
    assert target.scim.left == []


def test_rate_limit_is_waited_out_by_seconds_by_a_date_and_without_a_word() -> None:
    with served("creation_limited_at_first") as target:
        played = play("google", target)
    assert target.scim.limited == 3
    assert [r.step.name for r in played.results if r.outcome != "passed"] == []


def test_names_are_unmistakable_and_stay_in_the_domain() -> None:
    with served() as target:
        played = play("entra", target)
    names = [b["userName"] for m, p, b in target.scim.requests if m == "POST" and p.endswith("/Users")]
    assert len(names) > 6
    assert all(name.startswith("scimd-doctor-") and name.endswith("@example.invalid") for name in names)
    assert len({name.split("-")[2] for name in names}) == 1
    assert played.stage.names.random in names[0]


def test_okta_introduces_itself_as_its_documents_say() -> None:
    with served() as target:
        play("okta", target)
    assert target.scim.agents == {"Okta SCIM Client 1.0.0"}


def test_existing_people_are_neither_touched_nor_named() -> None:
    real = {"schemas": [], "id": "real", "userName": "real.person@example.com", "active": True}
    for idp in SEQUENCES:
        with served() as target:
            target.scim.kinds["Users"]["real"] = dict(real)
            play(idp, target)
        assert target.scim.kinds["Users"] == {"real": real}
        assert not [r for r in target.scim.requests if "/real" in r[1]]
