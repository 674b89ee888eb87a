"""The path that the noise takes, as a value."""

from schedalg.schedule.point import Point
from schedalg.schedule.schedule import Schedule, check_schedule

__all__ = ["Point", "Schedule", "check_schedule"]
