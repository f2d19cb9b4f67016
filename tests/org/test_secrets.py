"""Keys and tokens (X4)."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from scimd.core.people import OrgId
from scimd.org.tokens.secrets import (
    Keyring,
    KeyringError,
    is_session_token,
    is_token,
    load_or_make_key_file,
    new_session_token,
    new_token,
    organization_of,
    token_hash,
)

ONE, TWO = b"1" * 32, b"2" * 40


def test_each_purpose_has_a_key_of_its_own_and_none_is_the_master_key() -> None:
    keys = Keyring([ONE])
    found = [next(iter(keys.live(purpose).values())) for purpose in ("invitation", "sign_in", "csrf")]
    assert len({*found, ONE}) == 4
    assert all(len(key) == 32 for key in found)


def test_the_first_key_signs_and_the_older_one_still_verifies() -> None:
    before, after = Keyring([ONE]).live("invitation"), Keyring([TWO, ONE]).live("invitation")
    assert list(after.items())[1:] == list(before.items())
    assert next(iter(after)) != next(iter(before))
    assert all(len(key_id) == 8 and int(key_id, 16) >= 0 for key_id in after)


@pytest.mark.parametrize("keys", [[], [b"short"], [ONE, b"x" * 31]])
def test_a_key_that_is_missing_or_short_is_refused_without_being_shown(keys: list[bytes]) -> None:
    with pytest.raises(KeyringError, match="openssl rand") as refused:
        Keyring(keys)
    assert not any(key.decode() in str(refused.value) for key in keys)


def test_a_keyring_shows_no_key() -> None:
    assert "111" not in repr(Keyring([ONE]))


def test_the_key_file_is_made_for_its_owner_only_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "scimd.db.key"
    made = load_or_make_key_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_make_key_file(path) == made
    assert len(made) >= 32
    assert [file.name for file in tmp_path.iterdir()] == ["scimd.db.key"]


def test_without_leave_no_key_file_is_made(tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match="There is no key file"):
        load_or_make_key_file(tmp_path / "key", make=False)
    assert list(tmp_path.iterdir()) == []


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    load_or_make_key_file(path)
    path.chmod(0o640)
    with pytest.raises(KeyringError, match="chmod 600"):
        load_or_make_key_file(path)


def test_a_key_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    with pytest.raises(KeyringError, match="cut off"):
        load_or_make_key_file(path)


def test_a_folder_that_is_missing_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(KeyringError, match="cannot be made"):
        load_or_make_key_file(tmp_path / "nowhere" / "key")


def test_processes_that_start_at_once_end_with_one_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        found = pool.map(load_or_make_key_file, [tmp_path / "key"] * 8)
    assert len(set(found)) == 1


def test_a_token_is_its_random_bits_and_a_checksum() -> None:
    tokens = {new_token(os.urandom(32)) for _ in range(200)}
    assert len(tokens) == 200
    assert all(is_token(token) and token.startswith("scimd_") and len(token) == 55 for token in tokens)
    assert is_token(new_token(bytes(32)))
    assert is_token(new_token(b"\xff" * 32))


def test_a_mistyped_token_is_found_out() -> None:
    token = new_token(os.urandom(32))
    for place in range(len(token)):
        other = "a" if token[place] != "a" else "b"
        assert not is_token(token[:place] + other + token[place + 1 :])
    for wrong in ("", "scimd_", token[:-1], token + "0", token.upper(), " " + token, "ü" * 55):
        assert not is_token(wrong)


def test_a_session_token_names_its_organization() -> None:
    org = OrgId("019cadc6-9a80-76a1-8c41-88f4aa00bb11")
    token = new_session_token(org, os.urandom(32))
    assert is_session_token(token)
    assert organization_of(token) == org
    assert not is_token(token)
    assert not is_session_token(new_token(os.urandom(32)))


def test_the_hash_of_a_token_is_not_the_token() -> None:
    token = new_token(os.urandom(32))
    assert token.encode() not in token_hash(token)
    assert token_hash(token) == token_hash(token)
