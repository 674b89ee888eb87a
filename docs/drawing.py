"""How pictures look: lines that anybody can tell apart, on any screen."""

import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cycler import cycler
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx_gallery.directives import imgsgnode

#: Okabe and Ito's colours, which the colour-blind can tell apart, grey in place of yellow.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#888888"]
LINES = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 1)), "-"]


def style(gallery_conf: dict[str, Any], file: str) -> None:
    """Give a script the style of all, whatever the one before it has set."""
    mpl.rcdefaults()
    mpl.use("agg")
    mpl.rcParams.update(
        {
            "axes.grid": True,
            "axes.prop_cycle": cycler(color=COLOURS) + cycler(linestyle=LINES),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlesize": "medium",
            "figure.titlesize": "medium",
            "figure.constrained_layout.use": True,
            "figure.figsize": (8.0, 4.5),
            "font.size": 11.0,
            "grid.alpha": 0.3,
            "legend.fontsize": "small",
            "savefig.dpi": 130,
        }
    )


class Scripts(SphinxTransform):
    """A gallery's picture in a page, where a paragraph is a link to its script and nothing else.

    On GitHub, which runs no scripts, the link leads to the script. Here it is written below the
    picture, and leads to the page in the gallery that shows the script.
    """

    default_priority = 400

    def apply(self, **kwargs: Any) -> None:
        """Put the pictures above their links."""
        for paragraph in list(self.document.findall(nodes.paragraph)):
            link = paragraph.next_node()
            script = re.fullmatch(
                r"(?:\.\./)*gallery/(\w+)/(plot_\w+)\.py",
                link["reftarget"] if isinstance(link, addnodes.download_reference) else "",
            )
            if script is None or len(paragraph) > 1:
                continue
            folder, name = script.groups()
            page = f"pictures/{folder}/{name}"  # which sphinx-gallery has written
            text = (Path(self.env.srcdir) / f"{page}.rst").read_text(encoding="utf-8")
            (spoken,) = re.findall(r":alt: (.+)", text)
            made = f"/pictures/{folder}/images/sphx_glr_{name}_001.png"
            there = addnodes.pending_xref(
                "",
                nodes.inline("", link.astext()),
                refdomain="std",
                reftype="doc",
                reftarget=f"/{page}",
                refdoc=self.env.docname,
                refexplicit=True,
                refwarn=True,
            )
            caption = nodes.paragraph("", "", there, classes=["caption"])
            picture = nodes.paragraph("", "", nodes.image(uri=made, alt=spoken))
            paragraph.replace_self([picture, caption])


class Boxes(SphinxPostTransform):
    """A box around each picture, which scrolls where the picture is wider than the screen."""

    default_priority = 20

    def run(self, **kwargs: Any) -> None:
        """Put pictures into boxes: those of the gallery, and those alone in a paragraph."""
        alone = [
            image.parent
            for image in self.document.findall(nodes.image)
            if isinstance(image.parent, nodes.paragraph) and len(image.parent) == 1
        ]
        for picture in [*self.document.findall(imgsgnode), *alone]:
            picture.replace_self(nodes.container("", picture.deepcopy(), classes=["picture"]))


def setup(app: Sphinx) -> None:
    """Connect what is above to Sphinx."""
    app.add_transform(Scripts)
    app.add_post_transform(Boxes)
