"""``scimd doctor``: plays what an identity provider sends to a SCIM endpoint, and judges the answers.

It shares no code with the server, so that one misreading cannot hide in both.
"""

from scimd.cli.doctor.command import register

__all__ = ["register"]
