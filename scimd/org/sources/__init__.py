"""Sources, their states and their rules."""
