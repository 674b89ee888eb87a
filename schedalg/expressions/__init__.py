"""Schedules and samplers as a line of text: `linear(1000) | subsample(every=10) | shift(3.0)`."""

from schedalg.expressions.building import parse_sampler, parse_schedule

__all__ = ["parse_sampler", "parse_schedule"]
