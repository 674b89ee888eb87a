"""What looks at the operations of torch, and what must not be kept from under it."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

import torch

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

# There is no public way to ask for a trace or a dispatch mode. These are what torch's own library
# asks.
_traced = torch._C._get_tracing_state
_modes = torch._C._len_torch_dispatch_stack


def watched() -> bool:
    """Whether something looks for operations of torch, which a compiled loop is none of.

    It may also give tensors without memory in place of new ones, as `FakeTensorMode` does.
    """
    return _traced() is not None or _modes() > 0


def kept(make: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Return a function that keeps what was made for the last 256 arguments.

    Nothing that is made while operations are watched is kept, or taken from what was: it may be a
    tensor without memory, which a later call would write to.
    """
    found: Callable[..., Result] = lru_cache(256)(make)

    @wraps(make)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return make(*args, **kwargs) if watched() else found(*args, **kwargs)

    return call
