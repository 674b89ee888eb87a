"""`Record`: how `from_diffusers` reads one scheduler class."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from schedalg.interop.diffusers.kinds import CHECKS
from schedalg.interop.diffusers.options import Options
from schedalg.interop.diffusers.output import bounds, prediction
from schedalg.interop.diffusers.request import Request
from schedalg.network.bounds import Clip
from schedalg.parameterization import Parameterization, Prediction
from schedalg.samplers.protocols import Sampler
from schedalg.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class Record:
    """How one scheduler class of diffusers is read.

    Attributes:
        name: The class in diffusers.
        defaults: Its options, with their defaults.
        unsupported: Options that must keep their default, and why.
        path: Returns the schedule, from the options and the requested points.
        sampler: Returns the sampler, from the options and the schedule.
        prediction: Returns what the network predicts.
        clip: Returns the bounds of x0.
    """

    name: str
    defaults: Mapping[str, Any]
    unsupported: Mapping[str, str] = field(default_factory=dict)
    path: Callable[[Options, Request], Schedule]
    sampler: Callable[[Options, Schedule], Sampler]
    prediction: Callable[[Options], Prediction | Parameterization] = prediction
    clip: Callable[[Options], Clip | None] = bounds

    def options(self, given: Mapping[str, Any]) -> Options:
        """Return the options of a scheduler, with defaults for those that are not given.

        Raises:
            TypeError: An option is of the wrong type.
            ValueError: An unsupported option is not at its default.
        """
        values = {key: given.get(key, default) for key, default in self.defaults.items()}
        for key, value in values.items():
            CHECKS[key](key, value)
        options = Options(self.name, values)
        for key, why in self.unsupported.items():
            value, default = values[key], self.defaults[key]
            # False, empty and None mean the same.
            if value != default and (value or default):
                options.refuse(key, f"{why}; allowed is {default!r}")
        return options
