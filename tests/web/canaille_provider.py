"""Canaille, a real OpenID Connect provider, on a free port of loopback, with one client and one person."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from unittest import mock
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from joserfc import jwk

CLIENT, SECRET, PASSWORD = "scimd", "a secret of the tests: with / and %", "correct horse battery staple"
USER, EMAIL = "dana", "dana@acme.example"


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Tests look at what is answered, not at a log."""


@dataclass
class Provider:
    issuer: str
    app: Any

    @contextmanager
    def data(self) -> Iterator[tuple[Any, Any]]:
        """Canaille's models and its backend."""
        from canaille.app import models

        with self.app.app_context():
            yield models, self.app.backend

    def add_client(self, redirect_uri: str) -> None:
        """Register scimd with this one redirect URI; an earlier registration is gone."""
        with self.data() as (models, backend):
            known = backend.get(models.Client, client_id=CLIENT)
            if known is not None:
                backend.delete(known)
            client = models.Client(
                client_id=CLIENT,
                client_name="scimd",
                client_uri=redirect_uri.partition("/o/")[0],
                redirect_uris=[redirect_uri],
                client_id_issued_at=datetime.now(UTC),
                client_secret=SECRET,
                client_secret_expires_at=datetime(2100, 1, 1, tzinfo=UTC),
                grant_types=["authorization_code"],
                response_types=["code"],
                scope=["openid", "email", "profile"],
                token_endpoint_auth_method="client_secret_basic",
                contacts=["admin@acme.example"],
            )
            backend.save(client)
            client.audience = [client]
            backend.save(client)

    def add_person(self) -> None:
        with self.data() as (models, backend):
            person = models.User(
                formatted_name="Dana Ortiz",
                family_name="Ortiz",
                user_name=USER,
                emails=[EMAIL],
                password=PASSWORD,
            )
            backend.save(person)


@contextmanager
def canaille() -> Iterator[Provider]:
    server = make_server("127.0.0.1", 0, lambda *_: [], handler_class=_Quiet, server_class=WSGIServer)
    issuer = f"http://127.0.0.1:{server.server_port}"
    with mock.patch.dict(os.environ, {"AUTHLIB_INSECURE_TRANSPORT": "true"}):
        provider = Provider(issuer, _made(server.server_port))
        server.set_app(provider.app)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def _made(port: int) -> Any:
    from canaille import create_app

    key = jwk.generate_key("RSA", 2048)
    key.ensure_kid()
    return create_app(
        {
            "SECRET_KEY": "a key of the tests",
            "SERVER_NAME": f"127.0.0.1:{port}",
            "PREFERRED_URL_SCHEME": "http",
            "TRUSTED_HOSTS": ["127.0.0.1"],
            "CANAILLE": {"DATABASE": "memory", "JAVASCRIPT": False, "TIMEZONE": "UTC"},
            "CANAILLE_OIDC": {"ACTIVE_JWKS": [key.as_dict(private=True)], "TRUSTED_DOMAINS": ["127.0.0.1"]},
        }
    )
