"""What the config file declares: brought into the database, or held."""
