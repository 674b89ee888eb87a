"""How Sphinx makes the site: `sphinx-build -nW docs site`."""

import shutil
import sys
from pathlib import Path

import schedalg

HERE = Path(__file__).parent
sys.path.append(str(HERE))  # where `checking`, `drawing` and `showing` are
for made in (HERE / "reference" / "api", HERE / "pictures"):
    shutil.rmtree(made, ignore_errors=True)  # made anew: names may be gone, numbers may differ

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
    "sphinx_gallery.gen_gallery",
    "checking",
    "drawing",
    "showing",
]
exclude_patterns = ["examples", "gallery"]
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

# Each script of docs/gallery is run, and becomes a page with its pictures.
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "pictures",
    "subsection_order": [
        f"gallery/{name}" for name in ("plane", "schedules", "samplers", "choosing", "running")
    ],
    "within_subsection_order": "FileNameSortKey",
    "ignore_pattern": "peaks",
    "copyfile_regex": "peaks.py",
    "abort_on_example_error": True,
    "reset_modules": ("drawing.style",),
    "thumbnail_size": (560, 392),
    "capture_repr": (),
    "doc_module": ("schedalg",),
    "notebook_extensions": set(),
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": float("inf"),
}

html_theme = "furo"
pygments_dark_style = "a11y-high-contrast-dark"  # furo's own underlines modules
html_title = f"schedalg {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [(name, {"defer": "defer"}) for name in ("scrolling.js", "versions.js")]
html_copy_source = False

# `sphinx-build -b linkcheck`: two at a time, since most lead to arXiv, which slows fast askers.
linkcheck_workers = 2
linkcheck_timeout = 20
linkcheck_retries = 3
linkcheck_report_timeouts_as_broken = True

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
