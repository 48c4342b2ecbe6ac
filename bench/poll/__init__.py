"""What reading a remote site's whole queue costs: the operator's columns, and ``squeue --json`` beside."""
