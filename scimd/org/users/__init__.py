"""People: as sources record them, as admins see them, and as a hand changes them."""
