"""Whose an entry is: matching, and what admins say otherwise (link, merge, detach, move)."""
