"""config.example.toml and the models agree, in both directions."""

import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from scimd import config
from scimd.connector_api import Secret

EXAMPLE = Path(__file__).parent.parent / "config.example.toml"
FREE = {"settings", "user", "entry", "expect", "claims"}  # keys below these are the admin's own


def everything() -> dict[str, Any]:
    """The example with every setting in force."""
    return tomllib.loads(re.sub(r"^#(?=[\w\[])", "", EXAMPLE.read_text("utf-8"), flags=re.MULTILINE))


def model_keys(model: type[BaseModel], at: str = "") -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        inner = getattr(field.annotation, "__args__", (field.annotation,))[0]
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found |= model_keys(inner, f"{at}{name}.")
        else:
            found.add(at + name)
    return found


def file_keys(body: dict[str, Any], at: str = "") -> set[str]:
    found = set()
    for name, value in body.items():
        rows = value if isinstance(value, list) else [value]
        if rows and isinstance(rows[0], dict) and name not in FREE:
            for row in rows:
                found |= file_keys(row, f"{at}{name}.")
        else:
            found.add(at + name)
    return found


def test_the_example_starts_as_it_is_and_says_the_defaults():
    assert config.load(EXAMPLE) == config.load(None)


def test_every_key_of_the_models_stands_in_the_example_and_no_other():
    assert file_keys(everything()) == model_keys(config.Config)


def test_the_commented_settings_are_valid(monkeypatch, tmp_path):
    monkeypatch.setenv("SCIMD_KEY", "k" * 48)
    monkeypatch.setenv("SCIMD_OIDC_SECRET", "s3cret")
    secret = tmp_path / "smtp-password"
    secret.write_text("s3cret\n")
    body = everything()
    body["mail"]["password"] = f"file:{secret}"
    rule = body["organization"][0]["source"][0]["rule"][0]
    for name in ("group", "scim_role", "entitlement"):
        del rule[name]  # the example shows all four; a rule takes one
    source = body["organization"][0]["source"][0]
    jwt = source["jwt"]
    del jwt["jwks_file"]  # as well
    with pytest.raises(ValueError, match="only a source that is pushed to has tokens"):
        config.Config(**body)
    del source["jwt"]
    assert config.Jwt(**jwt).claims == {"azp": "0oa1b2c3d4"}
    loaded = config.Config(**body)
    assert loaded.mail.password == Secret("s3cret")
    assert loaded.organization[0].source[0].rule[0].pattern == "eng-*"


def test_every_setting_has_words_above_it():
    lines = EXAMPLE.read_text("utf-8").splitlines()
    for number, line in enumerate(lines):
        if re.match(r"#?\w+ = ", line) and "settings]" not in "".join(lines[max(0, number - 6) : number]):
            above = next(row for row in reversed(lines[:number]) if not re.match(r"#?\w+ = ", row))
            assert re.match(r"#+ |#?\[", above), line


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[server]\nprot = 1\n", "server.prot: unknown key; allowed here: host, max_body_bytes, port"),
        ("[server]\nport = 70000\n", "server.port: must be at most 65535"),
        ("[server]\nrequest_timeout = '3 hours'\n", "server.request_timeout: must be a number of seconds"),
        (
            "[server]\npublic_url = 'scimd.example'\n",
            "server.public_url: must be an address such as https://",
        ),
        ("[mail]\nto = 'folder'\n", 'mail: with to = "folder", folder must name where'),
        ("[secrets]\nkey = ['hunter2hunter2hunter2']\n", "secrets.key: a secret is never written here"),
        (
            "[secrets]\nkey = ['env:NO_SUCH_VARIABLE']\n",
            "the environment variable NO_SUCH_VARIABLE is not set",
        ),
        (
            "[[organization]]\nname = 'Acme Ltd'\n",
            "organization[1].name: must be small letters, digits",
        ),
        ("[[organization]]\nname = 'system'\n", 'one is called "system"'),
        (
            (
                "[[organization]]\nname = 'a'\n[[organization.source]]\nname = 's'\n"
                "[[organization.source.rule]]\nnumber = 1\n"
            ),
            "organization[1].source[1].rule[1]: a rule names one of group",
        ),
        (
            "[database]\nurl = 'env:NO_SUCH_VARIABLE'\n",
            "database.url: the environment variable",
        ),
        ("port = \n", "is not TOML"),
    ],
)
def test_a_fault_names_file_key_and_what_is_allowed(tmp_path, text, sentence):
    file = tmp_path / "scimd.toml"
    file.write_text(text)
    with pytest.raises(config.ConfigError) as caught:
        config.load(file)
    assert str(file) in str(caught.value)
    assert sentence in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_environment_goes_over_the_file(tmp_path, monkeypatch):
    file = tmp_path / "scimd.toml"
    file.write_text("[server]\nport = 1\nhost = '::1'\n")
    monkeypatch.setenv("SCIMD_SERVER__PORT", "9000")
    monkeypatch.setenv("SCIMD_INVITATIONS__MAIL_DELAY", "0")
    loaded = config.load(file)
    assert (loaded.server.port, loaded.server.host) == (9000, "::1")
    assert loaded.invitations.mail_delay == timedelta(0)


def test_a_missing_file_is_said_by_name(tmp_path):
    with pytest.raises(config.ConfigError, match=r"nothing\.toml: cannot be read: No such file"):
        config.load(tmp_path / "nothing.toml")


@pytest.mark.parametrize("rate", [0, 24.9, -1, float("inf"), float("nan")])
def test_a_rate_that_would_stop_entra_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="Entra ID needs 25 requests"):
        config.Scim(rate_per_token=rate)
    assert config.Scim(rate_per_token=25).rate_per_token == 25


@pytest.mark.parametrize("kind", ["env", "file"])
def test_the_url_of_the_database_may_stand_elsewhere(tmp_path, monkeypatch, kind):
    url = "postgresql://scimd:hunter2@db.example/scimd"
    monkeypatch.setenv("WHERE_PEOPLE_ARE", url)
    (tmp_path / "url").write_text(url + "\n")
    where = "env:WHERE_PEOPLE_ARE" if kind == "env" else f"file:{tmp_path / 'url'}"
    file = tmp_path / "scimd.toml"
    file.write_text(f"[database]\nurl = '{where}'\n")
    assert config.load(file).database.url == url
