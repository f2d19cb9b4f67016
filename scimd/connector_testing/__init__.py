"""The suite that proves a connector right: what scimd relies on, as tests.

Inherit :class:`ConnectorConformance` in a pytest class, name the connector and give it settings that
reach a real directory with a few known people; fill in the other hooks as far as you can. Every
method ``test_…`` is then one rule of ``scimd.connector_api``. It needs no plugin and no fixture: each
test runs an event loop of its own, so a class for ``unittest`` works as well.
"""

from scimd.connector_testing.conformance import ConnectorConformance
from scimd.connector_testing.reading import RecordingLog, Whole, read_whole

__all__ = ["ConnectorConformance", "RecordingLog", "Whole", "read_whole"]
