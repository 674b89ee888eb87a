"""A sampler compiled for one schedule, as a table of numbers."""
