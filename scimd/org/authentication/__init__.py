"""How people come in and stay in: passwords, links, passkeys, second factors, sessions."""
