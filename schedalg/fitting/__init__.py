"""Plans whose coefficients are fitted to a network."""
