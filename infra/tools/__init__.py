"""Pinned tools: built from source once, cached by content, put together into what nodes need."""
