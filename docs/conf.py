"""How Sphinx makes the site: `sphinx-build -W --keep-going -n docs OUT`."""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.domains.python._object import PyObject
from sphinx.ext.napoleon.docstring import GoogleDocstring

import schedalg

project = "schedalg"
author = "The schedalg authors"
copyright = f"2026, {author}"
version = release = schedalg.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["examples"]
templates_path = ["_templates"]
nitpicky = True
# Other packages' names have no page here, and their own sites are not asked for one.
nitpick_ignore = [("py:class", "schedalg.samplers.protocols.State")]  # a type variable
nitpick_ignore_regex = [("py:.*", r"(?s)(?!schedalg\.).*")]

myst_heading_anchors = 3
highlight_language = "none"  # of formulas; Python says that it is
default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"schedalg {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Napoleon makes `:ivar:` of "Attributes:", which Sphinx heads with "Variables".
for field in PyObject.doc_field_types:
    if field.name == "variable":
        field.label = "Attributes"


def leave_out(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out the fields of named tuples as members: the class says what they are."""
    generated = str(getattr(obj, "__doc__", "")).startswith("Alias for field number")
    return True if generated else None


def mark_code(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Mark what is indented after an empty line as code, as Markdown reads it.

    Read the sections of a property too: napoleon would take its first words for its type.
    """
    for i in reversed(range(1, len(lines) - 1)):
        indent, before = (len(line) - len(line.lstrip()) for line in (lines[i + 1], lines[i - 1]))
        listed = lines[i - 1].lstrip().startswith("- ") or lines[i + 1].lstrip().startswith(">>>")
        if not lines[i] and lines[i - 1] and indent >= before + 4 and not listed:
            lines[i:i] = ["", " " * before + "::"]
    if what in ("attribute", "data", "property"):
        read = GoogleDocstring(lines, app.config, app, "object", name, obj, options)
        lines[:] = ["", *str(read).splitlines()]


def shorten_types(app: Sphinx, domain: str, kind: str, content: nodes.Element) -> None:
    """Name types without their modules after a `Literal`, where Sphinx reads no more names."""
    for field in content.findall(nodes.field):
        name, body = field.children
        if name.astext().startswith(("type ", "rtype")) and "Literal[" in body.astext():
            short = re.sub(r"~[\w.]*\.(?=\w)", "", body.astext())
            body.children[:] = [nodes.paragraph("", short)]


def setup(app: Sphinx) -> None:
    """Connect what is above to Sphinx."""
    app.connect("object-description-transform", shorten_types, priority=600)  # autodoc comes at 500
    app.connect("autodoc-process-docstring", mark_code, priority=400)  # napoleon comes at 500
    app.connect("autodoc-skip-member", leave_out)
