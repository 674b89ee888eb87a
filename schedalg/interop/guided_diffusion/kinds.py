"""The three enumerations: what a network predicts, its variance, and its loss."""

import enum
from collections.abc import Mapping
from typing import Final, TypeVar

from schedalg.checks import shown


class ModelMeanType(enum.Enum):
    """What a network predicts: x one step less noisy, clean data, the noise, or the velocity.

    The velocity is sqrt(ᾱ) noise - sqrt(1 - ᾱ) x0 (Salimans and Ho, arXiv 2202.00512, section 4).
    """

    PREVIOUS_X = enum.auto()
    START_X = enum.auto()
    EPSILON = enum.auto()
    VELOCITY = enum.auto()


class ModelVarType(enum.Enum):
    """Where the variance of a step comes from.

    A learned variance is the second half of the channels. LEARNED: the network returns the
    logarithm of the variance. LEARNED_RANGE: it returns v in [-1, 1], which interpolates between
    the logarithms of the posterior's variance and of β.
    """

    LEARNED = enum.auto()
    FIXED_SMALL = enum.auto()
    FIXED_LARGE = enum.auto()
    LEARNED_RANGE = enum.auto()

    def is_learned(self) -> bool:
        """Whether the network has twice the channels of its input.

        Example:
            >>> from schedalg.interop.guided_diffusion import ModelVarType
            >>> ModelVarType.LEARNED_RANGE.is_learned()
            True
        """
        return self in (ModelVarType.LEARNED, ModelVarType.LEARNED_RANGE)


class LossType(enum.Enum):
    """The loss: MSE, with the variational bound added if the variance is learned; or KL, the bound.

    RESCALED_MSE multiplies that bound by steps / 1000, and RESCALED_KL by the number of steps.
    """

    MSE = enum.auto()
    RESCALED_MSE = enum.auto()
    KL = enum.auto()
    RESCALED_KL = enum.auto()

    def is_vb(self) -> bool:
        """Whether the loss is the variational bound alone.

        Example:
            >>> from schedalg.interop.guided_diffusion import LossType
            >>> LossType.KL.is_vb(), LossType.RESCALED_MSE.is_vb()
            (True, False)
        """
        return self in (LossType.KL, LossType.RESCALED_KL)


#: Members as repositories without enumerations write them; their lower-case names are known too.
_SPELT: Final[Mapping[str, str]] = {"x_prev": "PREVIOUS_X", "x_start": "START_X", "v": "VELOCITY"}

Member = TypeVar("Member", bound=enum.Enum)


def checked_member(name: str, value: object, kind: type[Member]) -> Member:
    """Return a member of the enumeration, which may be given by its name, such as "epsilon".

    Raises:
        TypeError: `value` is not a member, and no string.
        ValueError: `value` is a string that names none.
    """
    if isinstance(value, kind):
        return value
    allowed = ", ".join(str(member) for member in kind)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {allowed} (of this module); got {shown(value)}")
    member = _SPELT.get(value, value.upper())
    if member not in kind.__members__ or value != value.lower():
        spelt = ", ".join(repr(member.name.lower()) for member in kind)
        raise ValueError(f"{name} must be one of {allowed} or {spelt}; got {shown(value)}")
    return kind[member]
