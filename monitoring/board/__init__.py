"""The board: one page for the wall, for who is on call, and a page for each partner."""
