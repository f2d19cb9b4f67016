"""Which signed tokens (JWT) of a source's own issuer are taken: RFC 7519, RFC 8725, RFC 9068."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from joserfc import jwk, jwt

from scimd.http.signatures import Unproved
from scimd.scim.jwt import Refused
from tests.scim.signed import (
    AUDIENCE,
    EC,
    ED,
    ISSUER,
    NOW,
    OTHER,
    RSA,
    SUBJECT,
    checked,
    key_set,
    rules,
    token,
)


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(("key", "alg"), [(RSA, "RS256"), (RSA, "PS256"), (EC, "ES256"), (ED, "Ed25519")])
def test_a_token_in_order_gives_its_subject(key: Any, alg: str) -> None:
    assert checked(token(key, alg)) == SUBJECT


def test_the_audience_may_be_one_of_several_and_the_type_may_be_missing() -> None:
    assert checked(token(aud=["x", AUDIENCE])) == SUBJECT
    assert checked(token(header={"typ": "JWT"})) == SUBJECT
    assert checked(token(iat=None)) == SUBJECT


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example/"},
        {"iss": ISSUER.rstrip("/")},
        {"aud": "another"},
        {"aud": AUDIENCE + "/"},
        {"aud": []},
        {"aud": None},
        {"aud": {"x": AUDIENCE}},
        {"iss": 7},
    ],
)
def test_another_issuer_or_audience_proves_nothing(claims: dict[str, Any]) -> None:
    with pytest.raises(Unproved):
        checked(token(**claims))


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": None}, "has no time of expiry"),
        ({"exp": NOW.timestamp() - 61}, "has expired"),
        ({"exp": "2099"}, "exp is not a time"),
        ({"exp": True}, "exp is not a time"),
        ({"nbf": NOW.timestamp() + 61}, "not valid yet"),
        ({"nbf": [1]}, "nbf is not a time"),
        ({"iat": NOW.timestamp() + 61}, "made in the future"),
        ({"sub": "somebody"}, "subject"),
        ({"sub": None}, "subject"),
        ({"sub": [SUBJECT]}, "subject"),
    ],
)
def test_a_signed_token_that_is_not_acceptable_is_told_why(claims: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        checked(token(**claims))


def test_clocks_may_be_off_by_the_leeway_and_no_more() -> None:
    edge = NOW.timestamp()
    assert checked(token(exp=edge - 59, nbf=edge + 60, iat=edge + 60)) == SUBJECT
    with pytest.raises(Refused):
        checked(token(exp=edge - 60))
    with pytest.raises(Refused):
        checked(token(exp=edge), leeway=0)


@pytest.mark.parametrize(
    ("wanted", "claim", "fits"),
    [
        ({"azp": "a"}, {"azp": "a"}, True),
        ({"azp": "a"}, {"azp": "b"}, False),
        ({"azp": "a"}, {}, False),
        ({"roles": "scim"}, {"roles": ["x", "scim"]}, True),
        ({"roles": "scim"}, {"roles": ["scimmer"]}, False),
        ({"n": 1}, {"n": True}, False),
        ({"n": True}, {"n": 1}, False),
        ({"n": True}, {"n": True}, True),
    ],
)
def test_claims_must_be_what_the_source_wants(wanted: Any, claim: Any, fits: bool) -> None:
    text = token(sub="anybody", **claim)
    if fits:
        assert checked(text, subjects=[], claims=wanted) == "anybody"
    else:
        with pytest.raises(Refused, match="claim"):
            checked(text, subjects=[], claims=wanted)


def hmac_signed(secret: bytes) -> str:
    return jwt.encode(
        {"alg": "HS256", "kid": "r1"},
        {"iss": ISSUER, "aud": AUDIENCE, "sub": SUBJECT, "exp": NOW.timestamp() + 300},
        jwk.OctKey.import_key(base64.urlsafe_b64encode(secret).decode()),
        algorithms=["HS256"],
    )


def nested(depth: int) -> str:
    """A header so deep that some readers of JSON give up, and others do not."""
    text = f'{{"alg": "RS256", "kid": "r1", "x": {"[" * depth}{"]" * depth}}}'
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def forgeries() -> dict[str, str]:
    good = token()
    head, body, signature = good.split(".")
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": SUBJECT, "exp": NOW.timestamp() + 300}
    return {
        "none": f"{part({'alg': 'none', 'kid': 'r1'})}.{part(claims)}.",
        "none with a signature": f"{part({'alg': 'none', 'kid': 'r1'})}.{part(claims)}.{signature}",
        "None": f"{part({'alg': 'None', 'kid': 'r1'})}.{part(claims)}.{signature}",
        "public key as secret": hmac_signed(RSA.as_bytes(private=False)[:64]),
        "another key of that id": token(OTHER),
        "claims changed": f"{head}.{part({**claims, 'admin': True})}.{signature}",
        "header changed": f"{part({'alg': 'PS256', 'kid': 'r1'})}.{body}.{signature}",
        "signature cut": good[:-2],
        "signature empty": f"{head}.{body}.",
        "signature of zeros": f"{head}.{body}.{'A' * len(signature)}",
        "own key in the header": token(OTHER, header={"jwk": OTHER.as_dict(private=False), "kid": None}),
        "own keys by address": token(OTHER, header={"jku": "https://evil.example/keys"}),
        "unknown key id": token(OTHER, header={"kid": "r9"}),
        "key id of another type": token(header={"kid": "e1"}),
        "critical extension": token(header={"crit": ["b64"], "b64": True}),
        "ID token": token(header={"typ": "logout+jwt"}),
        "algorithm not allowed": token(alg="RS512"),
        "two parts": f"{head}.{body}",
        "four parts": f"{good}.{signature}",
        "five parts": f"{good}.{signature}.{signature}",
        "padded": f"{head}=.{body}.{signature}",
        "no JSON": f"{part('x')}.{body}.{signature}",
        "list": f"{part([1])}.{body}.{signature}",
        "too long": token(x="y" * 8000),
        "header nested deeply": f"{nested(1000)}.{body}.{signature}",
        "key id is a number": f"{part({'alg': 'RS256', 'kid': 1})}.{body}.{signature}",
    }


@pytest.mark.parametrize("name", forgeries())
def test_a_forgery_proves_nothing(name: str) -> None:
    with pytest.raises(Unproved):
        checked(forgeries()[name])


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("another key of that id", "no key of the issuer fits its signature"),
        ("unknown key id", r"no key of this id \(kid\) that may prove RS256"),
        ("key id of another type", r"no key of this id \(kid\) that may prove RS256"),
    ],
)
def test_what_is_wrong_with_key_or_signature_is_said(name: str, why: str) -> None:
    with pytest.raises(Unproved, match=why):
        checked(forgeries()[name])


def test_without_a_key_id_the_one_key_that_fits_is_taken_and_of_two_none() -> None:
    text = token(header={"kid": None})
    assert checked(text, key_set(RSA, EC)) == SUBJECT
    second = jwk.RSAKey.generate_key(2048, {"kid": "r2"})
    with pytest.raises(Unproved, match="names no key"):
        checked(text, key_set(RSA, second))


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"algorithms": ["HS256"]}, "RS256"),
        ({"algorithms": ["none"]}, "RS256"),
        ({"algorithms": []}, "at least 1"),
        ({"jwks_url": "https://login.acme.example/keys"}, "either jwks_url or jwks_file"),
        ({"jwks_file": None}, "either jwks_url or jwks_file"),
        ({"subjects": []}, "name subjects or claims"),
        ({"leeway": "10m"}, "leeway must be"),
        ({"scopes": ["everything"]}, "must be some of"),
        ({"profile": "octa"}, "must be one of"),
    ],
)
def test_a_config_that_would_let_too_many_in_is_refused(more: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        rules(**more)
