"""Groups as sources push them, their members, and groups in groups."""
