"""The log of SCIM requests."""
