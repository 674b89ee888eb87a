"""A setting of the docs: the "Example:" sections of docstrings are shown as code.

Griffe reads docstrings for mkdocstrings, and knows the heading "Examples:" alone: it would show
"Example:" as running text, in which `>>>` starts a quotation.
"""

import re
from typing import Any

import griffe


class ExampleSections(griffe.Extension):
    """Has griffe read the heading "Example:" as "Examples:"."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change the heading in the docstring of a module, a class or a function."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(
                r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE
            )
