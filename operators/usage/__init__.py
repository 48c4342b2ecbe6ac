"""What remote work costs, what was used, and what is left of it."""
