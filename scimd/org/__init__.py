"""The door: whatever changes an organization. At the top stands what all of it rests on."""
