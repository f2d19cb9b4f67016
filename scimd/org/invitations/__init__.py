"""Invitations, from the one who invites to the one who accepts."""
