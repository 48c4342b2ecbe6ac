"""What the operator costs and how fast it is, beside what people would write instead: `make bench`."""
