"""From the facts of people to what is stored of their access."""
