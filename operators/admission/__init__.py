"""What partners' people may make in their namespaces."""
