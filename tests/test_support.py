"""The servers that other tests stand on are real, private, and gone afterwards."""

from __future__ import annotations

import os
import signal
import smtplib
import subprocess
import sys
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import psycopg
import pytest
import sqlalchemy

from scimd.admin import app, manual, openapi
from scimd.admin.table import TABLE
from tests.support import documents
from tests.support.guard import Guard
from tests.support.openldap import OpenLdap
from tests.support.patience import AT_MOST_S, until
from tests.support.postgres import PostgresServer
from tests.support.requirement import REQUIRE_ALL, require
from tests.support.smtp import SmtpServer

ROOT = Path(__file__).parent.parent


# ------------------------------------------------------------------------------------- requirements


def test_what_is_missing_skips_the_test_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REQUIRE_ALL, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no slapd"):
        require(None, "no slapd")


def test_what_is_missing_fails_the_test_where_all_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUIRE_ALL, "1")
    with pytest.raises(pytest.fail.Exception, match="no slapd"):
        require(None, "no slapd")


# -------------------------------------------------------------------------------------------- guard


def test_guard_cleans_up_when_released(tmp_path: Path) -> None:
    with Guard('read -r _; touch "$1"', str(tmp_path / "cleaned")):
        assert not (tmp_path / "cleaned").exists()
    assert (tmp_path / "cleaned").exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_killed_run_leaves_no_postgresql_behind(postgres_server: PostgresServer, how: signal.Signals) -> None:
    code = (
        # In the background of a shell a run is deaf to SIGINT, and its children with it.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "import time; from tests.support import postgres as p; s = p.PostgresServer(p.binaries()); s.start();"
        "print(s.folder, flush=True); time.sleep(60)"
    )
    # A group of its own, as a terminal would have it, and the signal goes to all of the group.
    run = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    with run:
        assert run.stdout is not None
        folder = Path(run.stdout.readline().strip())
        postmaster = int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        os.killpg(run.pid, how)
    until(lambda: not folder.exists())
    until(lambda: not Path(f"/proc/{postmaster}").exists())


# --------------------------------------------------------------------------------------- PostgreSQL


def test_postgres_url_is_a_fresh_database(postgres_url: str, postgres_server: PostgresServer) -> None:
    other = postgres_server.create_database()
    try:
        with psycopg.connect(other) as connection:
            connection.execute("CREATE TABLE here (id int)")
        with psycopg.connect(postgres_url) as connection:
            assert connection.execute("SELECT to_regclass('here')").fetchone() == (None,)
    finally:
        postgres_server.drop_database(other)


def test_database_made_from_a_template_has_its_tables(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE here (id int)")
    copy = postgres_server.create_database(template=postgres_url.rpartition("/")[2])
    try:
        with psycopg.connect(copy) as connection:
            assert connection.execute("SELECT count(*) FROM here").fetchone() == (0,)
    finally:
        postgres_server.drop_database(copy)


def test_postgres_keeps_its_data_and_port_over_a_restart(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE here (id int)")
    postgres_server.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres_url)
    postgres_server.start()
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM here").fetchone() == (0,)


def test_database_url_is_taken_by_sqlalchemy(database_url: str, request: pytest.FixtureRequest) -> None:
    url = sqlalchemy.engine.make_url(database_url)
    assert url.get_backend_name() in request.node.name
    engine = sqlalchemy.create_engine(url.set(drivername=f"{url.drivername}+psycopg") if url.host else url)
    with engine.connect() as connection:
        assert connection.scalar(sqlalchemy.text("SELECT 1")) == 1
    engine.dispose()


# ----------------------------------------------------------------------------------------- OpenLDAP


def _search(server: OpenLdap, *args: str, ca: Path | None = None) -> subprocess.CompletedProcess[str]:
    credentials = ["-D", server.bind_dn, "-w", server.bind_password]
    return subprocess.run(
        ["ldapsearch", "-x", "-LLL", "-o", "ldif-wrap=no", *credentials, *args],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"LDAPTLS_CACERT": str(ca or server.ca)},
    )


def _people(server: OpenLdap, *connection: str) -> int:
    found = _search(server, *connection, "-b", f"ou=people,{server.base}", "(employeeNumber=E*)", "1.1")
    assert found.returncode == 0, found.stderr
    return found.stdout.count("dn:")


@pytest.mark.parametrize("users", [20, 60])
def test_openldap_serves_its_people_over_ldaps_and_starttls(
    openldap: Callable[..., OpenLdap], users: int
) -> None:
    server = openldap(users=users)
    assert _people(server, "-H", server.ldaps_url) == users
    assert _people(server, "-H", server.url, "-ZZ") == users


def test_openldap_is_not_trusted_with_the_wrong_ca(openldap: Callable[..., OpenLdap]) -> None:
    server = openldap(users=20)
    assert _search(server, "-H", server.ldaps_url, "-b", server.base, ca=server.wrong_ca).returncode != 0


def test_openldap_goes_back_to_pristine_after_a_change(openldap: Callable[..., OpenLdap]) -> None:
    server = openldap(users=20)
    server.modify(f"dn: cn=nest-1,ou=groups,{server.base}\nchangetype: delete\n")
    nest = ("-H", server.url, "-b", f"ou=groups,{server.base}", "(cn=nest-1)", "1.1")
    assert "dn:" not in _search(server, *nest).stdout
    server.reset()
    assert "dn:" in _search(server, *nest).stdout


def test_openldap_keeps_changes_over_a_stop(openldap: Callable[..., OpenLdap]) -> None:
    server = openldap(users=20)
    server.modify(f"dn: cn=nest-2,ou=groups,{server.base}\nchangetype: delete\n")
    server.stop()
    nest = ("-H", server.url, "-b", f"ou=groups,{server.base}", "(cn=nest-2)", "1.1")
    assert _search(server, *nest).returncode != 0
    server.start()
    stopped = _search(server, *nest)
    assert (stopped.returncode, "dn:" in stopped.stdout) == (0, False)


# ---------------------------------------------------------------------------------------- documents


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "https://scimd.example.com/"])
def test_document_and_page_made_once_are_those_of_that_address(url: str) -> None:
    assert app.openapi is documents.Openapi
    assert app.manual is documents.Manual
    document = openapi.document(TABLE, url)
    assert documents.Openapi.document(TABLE, url) == document
    assert documents.Manual.page(TABLE, document) == manual.page(TABLE, document)


# --------------------------------------------------------------------------------------------- SMTP


def _mail() -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "scimd@example.org", "zoë@example.org", "Grüße"
    mail.set_content("Willkommen\n")
    return mail


def _send(server: SmtpServer) -> None:
    with smtplib.SMTP(server.host, server.port, timeout=AT_MOST_S) as client:
        client.send_message(_mail())


def test_smtp_keeps_what_it_is_sent(smtp: SmtpServer) -> None:
    _send(smtp)
    (received,) = smtp.wait_for(1)
    assert (received.sender, received.recipients) == ("scimd@example.org", ("zoë@example.org",))
    assert received.message["Subject"] == "Grüße"


@pytest.mark.parametrize("reply", ["451 4.3.0 Try again later", "550 5.1.1 No such user"])
def test_smtp_refuses_when_told_to(smtp: SmtpServer, reply: str) -> None:
    smtp.refuse(reply)
    with pytest.raises(smtplib.SMTPRecipientsRefused, match=reply[:3]):
        _send(smtp)
    smtp.accept()
    _send(smtp)
    assert len(smtp.messages) == 1


def test_smtp_can_be_down_and_come_back_on_its_port(smtp: SmtpServer) -> None:
    smtp.stop()
    with pytest.raises(ConnectionRefusedError):
        _send(smtp)
    smtp.start()
    _send(smtp)
    assert len(smtp.messages) == 1
