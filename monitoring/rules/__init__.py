"""Recording rules and alerts as tables. The YAML beside them is generated: python -m monitoring.rules."""
