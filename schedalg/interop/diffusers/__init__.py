"""Schedulers of diffusers as schedules and samplers, and the other way round.

Importing this module loads neither torch nor diffusers. Reading a configuration from a dict or a
JSON file needs neither.
"""

from schedalg.interop.diffusers.methods import ClippedDDIM, LowerOrderFinal
from schedalg.interop.diffusers.networks import Network, network
from schedalg.interop.diffusers.reading import Imported, from_diffusers
from schedalg.interop.diffusers.scheduler import DiffusersScheduler, StepOutput, to_diffusers
from schedalg.interop.diffusers.writing import diffusers_config

__all__ = [
    "ClippedDDIM",
    "DiffusersScheduler",
    "Imported",
    "LowerOrderFinal",
    "Network",
    "StepOutput",
    "diffusers_config",
    "from_diffusers",
    "network",
    "to_diffusers",
]
