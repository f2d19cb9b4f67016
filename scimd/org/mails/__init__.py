"""Mails that transactions owe, and to whom."""
