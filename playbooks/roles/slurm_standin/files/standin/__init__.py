"""A remote site's own programs, as its stand-in answers for them: accounts, budgets, usage."""
