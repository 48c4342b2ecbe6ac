"""What verbs send to the cluster and read from it."""
