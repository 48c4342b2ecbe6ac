"""Programs that the operator is measured beside; each runs in a process of its own."""
