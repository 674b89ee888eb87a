"""Models of diffusers as networks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from schedalg.arrays import Array
from schedalg.checks import check_callable


@dataclass(frozen=True)
class Network:
    """A model of diffusers, called as networks are here; see `network`.

    Attributes:
        model: The model.
    """

    model: Callable[..., Any]

    def __call__(self, x: Array, timesteps: Array, /, **kwargs: Any) -> Array:
        """Return the model's output at x as an array.

        Args:
            x: The model input, (B, C, ...).
            timesteps: (B,).
            **kwargs: The model's other arguments, such as `encoder_hidden_states`.
        """
        output: Array = self.model(x, timestep=timesteps, return_dict=False, **kwargs)[0]
        return output


def network(model: Callable[..., Any]) -> Network:
    """Return a model of diffusers as a network: `network(model)(x, timesteps, **kwargs)`.

    Models of diffusers return an object or a tuple, and take the timestep by different positions.
    The array in the output is returned as it is. If it has twice the channels of x, the second half
    is a learned variance, which `DDPM("learned_range")` uses and other samplers leave.

    Args:
        model: A model of diffusers, or any that is called as `model(x, timestep=timesteps,
            return_dict=False, **kwargs)` and returns a tuple that starts with the output.

    Raises:
        TypeError: `model` is not callable.

    Example:
        >>> import numpy as np
        >>> from schedalg import DDIM, Schedule, sample
        >>> from schedalg.interop.diffusers import network
        >>> def model(sample, timestep, return_dict=True):
        ...     return (0.1 * sample,)
        >>> s = Schedule.linear(1000).subsample(steps=5)
        >>> sample(network(model), s, DDIM(), np.ones((1, 3, 2, 2))).shape
        (1, 3, 2, 2)
    """
    check_callable("model", model)
    return Network(model)
