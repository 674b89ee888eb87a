"""Tests of the replacement for guided-diffusion."""
