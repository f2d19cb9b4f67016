"""What scimd does not guess: questions for an admin, and what their answers do."""
