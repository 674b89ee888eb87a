"""Checks of the arguments that users pass in, by what they are."""

from schedalg.checks.arrays import (
    check_like,
    check_memory,
    check_numeric,
    check_readable,
    check_sample,
    is_like,
)
from schedalg.checks.columns import (
    as_array,
    check_order,
    host_array,
    host_numbers,
    host_result,
    require,
    table,
)
from schedalg.checks.documents import parsed_json
from schedalg.checks.messages import described, shown
from schedalg.checks.objects import (
    check_callable,
    check_sampler_object,
    raise_stopped,
    require_whole,
)
from schedalg.checks.paths import checked_path
from schedalg.checks.positions import checked_positions
from schedalg.checks.scalars import (
    MOST,
    check_choice,
    flag,
    in_unit,
    integer,
    number_or_infinity,
    positive_integer,
    positive_number,
    real_number,
)
from schedalg.checks.versions import check_version

__all__ = [
    "MOST",
    "as_array",
    "check_callable",
    "check_choice",
    "check_like",
    "check_memory",
    "check_numeric",
    "check_order",
    "check_readable",
    "check_sample",
    "check_sampler_object",
    "check_version",
    "checked_path",
    "checked_positions",
    "described",
    "flag",
    "host_array",
    "host_numbers",
    "host_result",
    "in_unit",
    "integer",
    "is_like",
    "number_or_infinity",
    "parsed_json",
    "positive_integer",
    "positive_number",
    "raise_stopped",
    "real_number",
    "require",
    "require_whole",
    "shown",
    "table",
]
