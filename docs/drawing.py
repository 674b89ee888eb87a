"""How pictures look: lines that anybody can tell apart, on any screen."""

from typing import Any

import matplotlib as mpl
from cycler import cycler
from docutils import nodes
from sphinx.application import Sphinx
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
    app.add_post_transform(Boxes)
