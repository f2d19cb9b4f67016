"""Credentials of programs: tokens, OAuth clients, issuers; and the keys that seal them all."""
