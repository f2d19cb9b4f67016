"""What a source's client reads by SCIM."""
