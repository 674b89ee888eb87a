"""Plans: samplers compiled for one schedule, as tables of numbers."""
