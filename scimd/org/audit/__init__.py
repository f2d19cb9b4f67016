"""What happened, chained in one order and read by admins."""
