"""The identity providers that the doctor can play."""

from scimd.cli.doctor.play import Sequence
from scimd.cli.doctor.sequences import entra, google, jumpcloud, okta, onelogin, ping

SEQUENCES: dict[str, Sequence] = {
    each.SEQUENCE.key: each.SEQUENCE for each in (okta, entra, onelogin, jumpcloud, google, ping)
}
