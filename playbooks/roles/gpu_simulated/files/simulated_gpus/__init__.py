"""GPUs that are not there. Runs on a machine's own Python with grpcio and protobuf (3.20 or later)."""
