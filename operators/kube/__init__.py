"""One reading of each Kubernetes object: what it says is asked here, and nowhere else reckoned anew."""
