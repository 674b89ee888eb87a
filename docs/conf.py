"""How Sphinx makes the site: `sphinx-build -nW docs site`."""

import shutil
import sys
from pathlib import Path

import schedalg

HERE = Path(__file__).parent
sys.path.append(str(HERE))  # where `showing` is
shutil.rmtree(HERE / "reference" / "api", ignore_errors=True)  # made anew: names may be gone

project = "schedalg"
author = "The schedalg authors"
copyright = f"2026, {author}"
version = release = schedalg.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "showing",
]
exclude_patterns = ["examples"]
templates_path = ["_templates"]
nitpicky = True
# Other packages' names have no page here, and their own sites are not asked for one.
nitpick_ignore = [  # type variables
    ("py:class", "schedalg.arrays.ArrayT"),
    ("py:class", "schedalg.samplers.protocols.State"),
]
nitpick_ignore_regex = [("py:.*", r"(?s)(?!schedalg\.).*")]

myst_heading_anchors = 3
highlight_language = "none"  # of formulas; Python says that it is
default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
python_use_unqualified_type_names = True

html_theme = "furo"
pygments_dark_style = "a11y-high-contrast-dark"  # furo's own underlines modules
html_title = f"schedalg {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
