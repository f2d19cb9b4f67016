"""What no setting may be, said with the file, or the variable, the key and what is allowed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from scimd import config, opening
from scimd.config import ConfigError

SOURCE = "[[organization]]\nname = 'a'\n[[organization.source]]\nname = 's'\n"
RULE = f"{SOURCE}[[organization.source.rule]]\nnumber = 1\ngroup = 'g'\n"
OTHER_SOURCE = SOURCE.replace("'a'", "'b'")
TWO_DOMAINS = (
    "[[organization]]\nname = 'a'\ndomains = ['x.example']\n"
    "[[organization]]\nname = 'b'\ndomains = ['X.example']"
)
JWT = (
    "[organization.source.jwt]\nissuer = 'https://login.example'\naudience = 'scimd'\n"
    "jwks_url = 'https://login.example/keys'\nsubjects = ['s']\n"
)
AT_SOURCES = "organization[1].source"
AT_SOURCE = f"{AT_SOURCES}[1]"


def loaded(tmp_path: Path, text: str) -> config.Config:
    file = tmp_path / "scimd.toml"
    file.write_text(text)
    return config.load(file)


def faults(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    return caught.value.faults


LASTS = "must be more than 0s, and 36500d at most"
ENDS = "must be more than 0s, and 1d at most"
NO_DURATION = "must be a number of seconds, or a number with a unit"
LONG = "is longer than anything lasts: 36500d at most"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[server]\nrequest_timeout = 0", f"server.request_timeout: {ENDS}"),
        ("[server]\nrequest_timeout = -1", f"server.request_timeout: {ENDS}"),
        ("[server]\nrequest_timeout = '99999999999w'", f"server.request_timeout: {LONG}"),
        ("[server]\nrequest_timeout = 1e300", f"server.request_timeout: {LONG}"),
        ("[server]\nrequest_timeout = nan", f"server.request_timeout: {LONG}"),
        ("[server]\nrequest_timeout = '1.5.2s'", f"server.request_timeout: {NO_DURATION}"),
        ("[server]\nrequest_timeout = '²s'", f"server.request_timeout: {NO_DURATION}"),
        ("[server]\nrequest_timeout = []", f"server.request_timeout: {NO_DURATION}"),
        ("[server]\nshutdown_timeout = '0s'", f"server.shutdown_timeout: {ENDS}"),
        (
            "[server]\nmax_body_bytes = 9223372036854775808",
            "server.max_body_bytes: must be at most 2147483647",
        ),
        ("[server]\nport = 'x'", "server.port: must be a whole number"),
        ("[server]\nport = true", "server.port: must be a whole number"),
        ("[server]\nprocesses = true", "server.processes: must be a whole number"),
        ("[scim]\nlog_rows = true", "scim.log_rows: must be a whole number"),
        ("[scim]\nrate_per_token = true", "scim.rate_per_token: must be a number"),
        ("[server]\nworker = 0", "server.worker: must be true or false"),
        ("[server]\nworker = 'x'", "server.worker: must be true or false"),
        ("[server]\nhost = ''", "server.host: must be an address or a name of this machine"),
        ("[server]\nhost = 'a b'", "server.host: must be an address or a name of this machine"),
        ("[server]\nhost = '[::1'", "server.host: must be an address or a name of this machine"),
        ("server = 'x'", "server: must be a section"),
        ("[database]\ntimeout = 0", f"database.timeout: {ENDS}"),
        ("[mail]\nsender = ''", "mail.sender: must be one mail address, such as"),
        ('[mail]\nsender = "a@b.c\\r\\nBcc: d@e.f"', "mail.sender: must be one mail address, such as"),
        (
            "[mail]\nsender = 'Küche <a@münchen.example>'",
            "mail.sender: must have its domain as the DNS has it",
        ),
        ("[mail]\nsender = 'a@b.c, d@e.f'", "mail.sender: must be one mail address, such as"),
        ("[mail]\nsender = 1", "mail.sender: must be text, in quotes"),
        ("[mail]\nto = 'pigeon'", "mail.to: must be one of 'smtp' or 'folder'"),
        ("[invitations]\nvalid_for = 0", f"invitations.valid_for: {LASTS}"),
        ("[invitations]\nset_password_valid_for = -5", f"invitations.set_password_valid_for: {LASTS}"),
        ("[invitations]\nmail_delay = -1", "invitations.mail_delay: must be 0s or more, and 36500d at most"),
        ("[invitations]\nmail_delay = '1h'", "invitations: mail_delay is longer than mail_delay_at_most"),
        ("[sign_in]\nsession_idle = 0", f"sign_in.session_idle: {LASTS}"),
        ("[sign_in]\nsession_absolute = '40000d'", f"sign_in.session_absolute: {LASTS}"),
        ("[scim]\ncursor_valid_for = 0", f"scim.cursor_valid_for: {LASTS}"),
        ("[scim]\nlog_for = 0", f"scim.log_for: {LASTS}"),
        ("[scim]\nmax_page = 50\ndefault_page = 60", "scim: default_page is larger than max_page"),
        ("[scim]\nrate_per_token = 'many'", "scim.rate_per_token: must be a number"),
        (
            "[dns]\nnameservers = ['dns.example']",
            "dns.nameservers[1]: must be an address, with or without a port",
        ),
        (
            "[dns]\nnameservers = ['192.0.2.1:0']",
            "dns.nameservers[1]: must be an address, with or without a port",
        ),
        ("[dns]\nnameservers = '192.0.2.1'", "dns.nameservers: must be a list, in brackets"),
        ("[organization]\nname = 'a'", "organization: must be written [[organization]], with two brackets"),
        ("[[organization]]\ndisplay_name = 'a'", "organization[1].name: is missing"),
        ("[[organization]]\nname = 'A'", "organization[1].name: must be small letters, digits and dashes"),
        (
            "[[organization]]\nname = 'a'\nseats = 9223372036854775808",
            "organization[1].seats: must be at most 2147483647",
        ),
        ("[[organization]]\nname = 'a'\nsilent_after = 0", f"organization[1].silent_after: {LASTS}"),
        (f"{SOURCE}priority = 2147483647", f"{AT_SOURCE}.priority: must be at most 2000000000"),
        (
            "[[organization]]\nname = 'a'\nget_more_seats_url = 'javascript:x'",
            "organization[1].get_more_seats_url: must be an address that begins with https://",
        ),
        (
            "[[organization]]\nname = 'a'\ndisplay_name = ''",
            "organization[1].display_name: must be one line of text, 200 characters at most",
        ),
        (
            '[[organization]]\nname = "a"\ndisplay_name = "a\\u0000b"',
            "organization[1].display_name: must be one line of text, 200 characters at most",
        ),
        (
            "[[organization]]\nname = 'a'\ndefault_project = ''",
            "organization[1].default_project: must be one line of text, 200 characters at most",
        ),
        (f'{RULE}team = "a\\nb"', f"{AT_SOURCE}.rule[1].team: must be one line of text"),
        (
            RULE.replace("group = 'g'", 'pattern = "a\\u0000*"\nrole = "manager"'),
            f"{AT_SOURCE}.rule[1].pattern: must not hold the character U+0000",
        ),
        (
            f'{SOURCE}connector = "file"\n[organization.source.settings]\nwhere = [{{ path = "a\\u0000" }}]',
            f"{AT_SOURCE}.settings: must not hold the character U+0000",
        ),
        (
            f"{SOURCE}priority = 1\n[[organization.source]]\nname = 't'\npriority = 1",
            f"{AT_SOURCES}: t: priority: 1 is that of s; where two sources have one person",
        ),
        (
            TWO_DOMAINS,
            "organization: b: domains: x.example is the organization a's, and a domain belongs to one",
        ),
        (
            f"{SOURCE}{JWT}{OTHER_SOURCE}{JWT}",
            "organization: b/s: jwt: issuer and audience are those of a/s, and a pair belongs to one",
        ),
        (
            "[sign_in]\nsession_idle = '13h'\nsession_absolute = '1h'",
            "sign_in: session_idle is longer than session_absolute, so it would never be kept",
        ),
        (
            "[[organization]]\nname = 'a'\n[organization.source]\nname = 's'",
            "organization[1].source: must be written [[organization.source]]",
        ),
        (f"{SOURCE}timeout = 0", f"{AT_SOURCE}.timeout: {LASTS}"),
        (f"{SOURCE}schedule = '15m'", f"{AT_SOURCES}: s: schedule: only a source that is read has it"),
        (
            f"{SOURCE}[organization.source.settings]\npath = 'x'",
            f"{AT_SOURCES}: s: settings: only a source that is read",
        ),
        (
            f"{SOURCE}[organization.source.mapping]\nscope = 'true'",
            f"{AT_SOURCES}: s: mapping: only a source that is read",
        ),
        (
            f"{RULE}project = 'x {{nam}}'",
            f"{AT_SOURCE}.rule[1].project: {{nam}} stands for nothing; {{name}} is the group's",
        ),
        (
            f"{RULE}project = 'x'\nproject_role = 'boss'",
            f"{AT_SOURCE}.rule[1].project_role: must be one of 'owner', 'member' or 'viewer'",
        ),
        (
            RULE.replace("number = 1", "number = 9223372036854775808"),
            f"{AT_SOURCE}.rule[1].number: must be at most",
        ),
    ],
)
def test_what_cannot_be_is_said_when_the_file_is_read(tmp_path: Path, text: str, sentence: str) -> None:
    (fault, *_) = faults(tmp_path, text)
    assert fault.startswith(f"{tmp_path / 'scimd.toml'}: {sentence}")


@pytest.mark.parametrize(
    "value",
    ["http://[::1", "http://", "http://a:99999", "http://a:", "http://a b", "http://a<b", "http://a\x01b",
     "ftp://a", "//a", "https://me@a", "https://a?b", "https://a#b", "http://192.0.2.256", "https://münchen.example",
     "https://-a"],
)  # fmt: skip
def test_no_link_can_be_made_from_what_is_no_address(value: str) -> None:
    with pytest.raises(ValueError, match=r"must be an address such as https://scimd\.example\.com"):
        config.Server(public_url=value)


def test_a_public_address_has_no_path() -> None:
    with pytest.raises(ValueError, match="must be an address without a path, such as https://a:8443"):
        config.Server(public_url="https://a:8443/scimd")
    assert config.Server(public_url="https://a:8443/").public_url == "https://a:8443"
    assert config.Server(public_url="http://[::1]:8080").public_url == "http://[::1]:8080"


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        ("https://SCIMD.Example.com", "https://scimd.example.com"),
        ("https://scimd.example.com:443/", "https://scimd.example.com"),
        ("https://scimd.example.com:80", "https://scimd.example.com:80"),
        ("http://127.0.0.1:080", "http://127.0.0.1"),
        ("http://[2001:DB8:0::1]:8080", "http://[2001:db8::1]:8080"),
    ],
)
def test_a_public_address_is_spelled_as_browsers_spell_an_origin(value: str, origin: str) -> None:
    assert config.Server(public_url=value).public_url == origin


@pytest.mark.parametrize(
    "value", ["a b.example", "*.acme.example", "@acme.example", "example", "192.0.2.1", ""]
)
def test_a_domain_is_one(value: str) -> None:
    with pytest.raises(ValueError, match="is not a domain such as"):
        config.Organization(name="a", domains=[value])


def test_what_is_right_stays_as_it_was_written(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        "[server]\nhost = '[::1]'\n[scim]\nmax_page = 50\n[invitations]\nmail_delay = 0\n"
        "[dns]\nnameservers = ['192.0.2.1', '2001:db8::1', '[2001:db8::1]:53', '192.0.2.1:5353']\n"
        "[mail]\nsender = 'Ärzte <a@b.example>'\n[sign_in]\nsession_idle = '1.5h'\n"
        "[[organization]]\nname = 'a'\ndomains = ['acme.example', 'münchen.example']\n",
    )
    assert found.server.host == "::1"
    assert found.sign_in.session_idle == timedelta(minutes=90)
    assert len(found.dns.nameservers) == 4
    assert found.mail.sender == "Ärzte <a@b.example>"


# ------------------------------------------------------------------------------ the environment


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("SCIMD_SERVER__PORT", "70000", "must be at most 65535"),
        ("SCIMD_SERVER__HOST", "", "must be an address or a name of this machine"),
        ("SCIMD_SERVER", "x", "must be a section"),
        ("SCIMD_ORGANIZATION", "x", "must be a section"),
        ("SCIMD_SERVER__PROT", "1", "unknown key; allowed here: host"),
        ("SCIMD_SERVR__PORT", "1", "there is no section servr; there are: database, dns"),
        ("SCIMD_SECRETS__KEY", "hunter2hunter2", "a secret is never written here"),
        (
            "SCIMD_SECRETS__KEY",
            "env:NO_SUCH_VARIABLE",
            "the environment variable NO_SUCH_VARIABLE is",
        ),
        ("SCIMD_DNS__NAMESERVERS", "dns.example", "must be an address, with or without a port"),
    ],
)
def test_a_variable_at_fault_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    (fault,) = faults(tmp_path, "[server]\nport = 1\n")
    assert fault.startswith(f"{name}: {sentence}")
    assert "hunter2" not in fault


def test_a_list_of_one_may_be_its_text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELSEWHERE", "k" * 48)
    monkeypatch.setenv("SCIMD_SECRETS__KEY", "env:ELSEWHERE")
    monkeypatch.setenv("SCIMD_DNS__NAMESERVERS", "192.0.2.1")
    monkeypatch.setenv("SCIMD_SERVER__TRUSTED_PROXIES", '["192.0.2.1", "10.0.0.0/8"]')
    found = config.load(None)
    assert found.dns.nameservers == ["192.0.2.1"]
    assert found.server.trusted_proxies == ["192.0.2.1", "10.0.0.0/8"]
    assert [key.reveal() for key in found.secrets.key] == ["k" * 48]


def test_a_variable_that_says_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(config.unheard(None))
    file = tmp_path / "scimd.toml"
    file.write_text("[mail]\npassword = 'env:SCIMD_SMTP'\n")
    for name in ("SCIMD_SERVER_PORT", "SCIMD_FOO", "SCIMD_SMTP", "SCIMD_CONFIG", "SCIMD_SERVER"):
        monkeypatch.setenv(name, "x")
    for name in ("SCIMD_SERVICE_HOST", "SCIMD_PORT", "SCIMD_PORT_8080_TCP_ADDR", "SCIMD_WEB_SERVICE_PORT"):
        monkeypatch.setenv(name, "x")  # Kubernetes tells them to every pod beside a service called scimd
    assert set(config.unheard(file)) - before == {"SCIMD_SERVER_PORT", "SCIMD_FOO"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[secrets]\nkey = ['env:SCIMD_KEY']\n", {"SCIMD_KEY"}),
        ("[secrets]\nkey = ['env:SCIMD_KEY2']\n", {"SCIMD_KEY2"}),
        ("[secrets]\nkey = ['env:SCIMD_KEY', 'env:SCIMD_KEY2']\n", {"SCIMD_KEY", "SCIMD_KEY2"}),
        ("#key = ['env:SCIMD_KEY']\n[mail]\nsender = 'not-env:SCIMD_KEY@x.example'\n", set()),
        (SOURCE + "connector = 'ldap'\nsettings = {bind_password = 'env:SCIMD_KEY'}\n", {"SCIMD_KEY"}),
    ],
)
def test_a_variable_holds_a_secret_where_a_value_refers_to_just_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, named: set[str]
) -> None:
    file = tmp_path / "scimd.toml"
    file.write_text(text)
    ours = {"SCIMD_KEY", "SCIMD_KEY2"}
    for name in ours:
        monkeypatch.setenv(name, "x")
    assert ours.intersection(config.unheard(file)) == ours - named


def test_a_misspelt_variable_is_told_beside_a_secret_whose_name_begins_like_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCIMD_SERVR__KEY", "x")
    monkeypatch.setenv("SCIMD_SERVR__KEY2", "k" * 48)
    (fault,) = faults(tmp_path, "[secrets]\nkey = ['env:SCIMD_SERVR__KEY2']\n")
    assert fault.startswith("SCIMD_SERVR__KEY: there is no section servr")


# ------------------------------------------------------------------------------ before a port is bound


def test_a_fault_of_a_source_names_the_file(tmp_path: Path) -> None:
    text = SOURCE + "connector = 'file'\n[organization.source.settings]\npath = 'x'\n"
    text += "[organization.source.mapping.user]\nuserNam = 'entry.uid[0]'\n\"name.given\" = 'entry.cn[0]'\n"
    file = tmp_path / "scimd.toml"
    with pytest.raises(ConfigError) as caught:
        opening.prove(loaded(tmp_path, text), file)
    beginning = f"{file}: organization a, source s: mapping.user."
    assert [fault.removeprefix(beginning).partition(";")[0] for fault in caught.value.faults] == [
        "'userNam': there is no such attribute",
        "'name.given': there is no such attribute",
    ]


def test_an_attribute_of_ones_own_is_mapped_once_it_is_declared(tmp_path: Path) -> None:
    urn = "urn:ietf:params:scim:schemas:extension:acme:2.0:User"
    text = SOURCE + "connector = 'file'\n[organization.source.settings]\npath = 'x'\n"
    text += (
        f"[organization.source.mapping.user]\nuserName = 'entry.uid[0]'\n\"{urn}:badge\" = 'entry.badge[0]'\n"
    )
    with pytest.raises(ConfigError, match="there is no such attribute"):
        opening.prove(loaded(tmp_path, text))
    text += f"[[organization.source.extension]]\nurn = '{urn}'\nname = 'Acme'\n"
    text += "[[organization.source.extension.attribute]]\nname = 'badge'\n"
    opening.prove(loaded(tmp_path, text))
