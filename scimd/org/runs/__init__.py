"""Runs of a sync: their plans, approval and application."""
