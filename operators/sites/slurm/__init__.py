"""A remote Slurm reached over SSH: ``access.SlurmAccess`` is the door, the rest is pure but for ``ssh``."""
