"""Dashboards as Python tables."""
