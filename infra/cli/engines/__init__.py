"""The engine that runs the program: one protocol over the embedded and the official one."""
