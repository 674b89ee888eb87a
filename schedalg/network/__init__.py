"""The network: how its output becomes an x0 prediction, and how that is guided and bounded."""
