"""What people are shown: tables, words, charts and files, from plain data."""
