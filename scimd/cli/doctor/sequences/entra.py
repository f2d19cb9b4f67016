"""What Microsoft Entra ID sends: people first, then groups, then the end of both."""

from scimd.cli.doctor.play import Sequence
from scimd.cli.doctor.sequences.entra_groups import GROUPS
from scimd.cli.doctor.sequences.entra_people import PEOPLE

SEQUENCE = Sequence("entra", "Microsoft Entra ID", steps=[*PEOPLE.steps, *GROUPS.steps])
