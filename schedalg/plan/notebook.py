"""A plan as notebooks show it."""

from typing import TYPE_CHECKING

from schedalg.arrays import has_values
from schedalg.plan import text
from schedalg.plotting.markup import block, code, table

if TYPE_CHECKING:
    from schedalg.plan.plan import Plan


def html(plan: "Plan") -> str:
    """Return the plan as HTML: its table, without the middle rows if there are many."""
    if not has_values(plan.a):
        return code(repr(plan))
    titled, left_out = text.cells(text.columns(plan))
    gap = (text.ENDS, f"… {left_out} rows …") if left_out else None
    return block(
        code(text.heading(plan)),
        table(list(titled), list(zip(*titled.values(), strict=True)), "right", gap),
    )
