"""schedalg's backend for CuPy."""
