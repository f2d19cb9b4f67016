"""Real servers for the tests, each private, on loopback, and gone with the run that started it."""
