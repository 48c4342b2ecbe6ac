"""What a machine does for the tunnels that end on it. It is told how by the resource kind ``Link``."""
