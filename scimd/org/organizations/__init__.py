"""An organization itself: its settings, domains, partners and admins."""
