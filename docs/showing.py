"""How the site shows docstrings, sources and commands, where Sphinx would do otherwise."""

import ast
import re
from typing import Any

import click
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.python._object import PyObject
from sphinx.ext.napoleon import Config
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.pycode import ModuleAnalyzer
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

from schedalg import Plan, Schedule
from schedalg.command_line.commands import schedalg as command_line
from schedalg.interop.guided_diffusion import GaussianDiffusion

STYLE: Any = Config(napoleon_use_ivar=True)

# Napoleon makes `:ivar:` of "Attributes:", which Sphinx heads with "Variables".
for field in PyObject.doc_field_types:
    if field.name == "variable":
        field.label = "Attributes"


def leave_out(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out the fields of named tuples as members: the class says what they are."""
    generated = str(getattr(obj, "__doc__", "")).startswith("Alias for field number")
    return True if generated else None


class Docstring(GoogleDocstring):
    """A docstring in Google's style, in which "Returns:" is a text whatever colons it has."""

    def _consume_returns_section(
        self, preprocess_types: bool = False
    ) -> list[tuple[str, str, list[str]]]:
        return [("", "", self._dedent(self._consume_to_next_section()))]


def comment(module: str, name: str) -> list[str]:
    """Return the comment of a variable, where it is assigned: where a module imports it from."""
    analyzer = ModuleAnalyzer.for_module(module)
    for statement in ast.parse(analyzer.code).body:
        if isinstance(statement, ast.ImportFrom) and name in {n.name for n in statement.names}:
            return comment(str(statement.module), name)
    return list(analyzer.find_attr_docs().get(("", name), []))


def read(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn a docstring into what Sphinx reads.

    What is indented after an empty line is code, as in Markdown. A property has sections, as a
    function has.
    """
    if what == "data" and not any(lines):
        lines[:] = comment(*name.rsplit(".", 1))
    for i in reversed(range(1, len(lines) - 1)):
        indent, before = (len(line) - len(line.lstrip()) for line in (lines[i + 1], lines[i - 1]))
        other = lines[i - 1].lstrip().startswith("- ") or lines[i + 1].lstrip().startswith(">>>")
        if not lines[i] and lines[i - 1] and indent >= before + 4 and not other:
            lines[i:i] = ["", " " * before + "::"]
    kind: Any = what if what in ("class", "module") else "function"
    lines[:] = str(Docstring(lines, STYLE, app, kind, name, obj, options)).splitlines()


def shorten_types(app: Sphinx, domain: str, kind: str, content: nodes.Element) -> None:
    """Name types without their modules after a `Literal`, where Sphinx reads no more names."""
    for field in content.findall(nodes.field):
        name, body = field.children
        if name.astext().startswith(("type ", "rtype")) and "Literal[" in body.astext():
            short = re.sub(r"~[\w.]*\.(?=\w)", "", body.astext())
            body.children[:] = [nodes.paragraph("", short)]


def sources(app: Sphinx, module: str) -> tuple[str, dict[str, Any]]:
    """Return a module's text and where it defines what, methods from elsewhere included."""
    analyzer = ModuleAnalyzer.for_module(module)
    analyzer.analyze()
    places: dict[str, Any] = dict(analyzer.tags)
    for owner in (Schedule, Plan, GaussianDiffusion):
        for name, value in vars(owner).items():
            function = getattr(value, "__func__", value)
            if getattr(function, "__module__", None) == module and function.__name__ in places:
                places[f"{owner.__name__}.{name}"] = places[function.__name__]
    return analyzer.code, places


def level_captions(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Say at which level the captions of the list of pages are headings, to who hears them."""
    tree = str(context.get("furo_navigation_tree", ""))
    context["furo_navigation_tree"] = tree.replace(
        'role="heading"', 'role="heading" aria-level="2"'
    )


def add_places(app: Sphinx, doctree: nodes.document) -> None:
    """Give each object a place by its public name too, which links from its source lead to."""
    for signature in doctree.findall(addnodes.desc_signature):
        if str(signature.get("module")).startswith("schedalg."):
            signature["ids"].append(f"schedalg.{signature['fullname']}")


class Links(SphinxPostTransform):
    """Link the names in the pages, such as `Schedule.linear(1000)`, to the reference."""

    default_priority = 20  # after all other links

    def run(self, **kwargs: Any) -> None:
        """Put links around the code in the running text of a page."""
        found = self.env.domains.python_domain.objects
        around = self.document.findall(lambda node: isinstance(node, nodes.reference | nodes.title))
        taken = {id(code) for node in around for code in node.findall(nodes.literal)}
        for code in list(self.document.findall(nodes.literal)):
            name = re.fullmatch(r"(?:schedalg\.)?(\w[\w.]*)(\(.*\))?", code.astext())
            there = found.get(f"schedalg.{name[1]}") if name else None
            if there is not None and id(code) not in taken:
                place = there.docname, there.node_id
                link = make_refnode(self.app.builder, self.env.docname, *place, code.deepcopy())
                code.replace_self(link)


class Commands(SphinxDirective):
    """What each command says of itself with `--help`, under its name."""

    def run(self) -> list[nodes.Node]:
        """Return a section for each command."""
        above = click.Context(command_line, info_name="schedalg")
        sections: list[nodes.Node] = []
        for name, command in sorted(command_line.commands.items()):
            title = f"schedalg {name}"
            section = nodes.section(ids=[nodes.make_id(title)], names=[title])
            text = command.get_help(click.Context(command, above, name, max_content_width=88))
            section += [nodes.title("", title), nodes.literal_block("", text, language="none")]
            sections.append(section)
        return sections


class Numbers(SphinxPostTransform):
    """Mark the cells of tables that hold numbers, which browsers would break, as in `2e-16`."""

    default_priority = 20

    def run(self, **kwargs: Any) -> None:
        """Give these cells the class `number`."""
        for cell in self.document.findall(nodes.entry):
            if re.fullmatch(r"[-−]?\d[-−+±×%().,\s\de]*", cell.astext()):
                cell["classes"].append("number")


def setup(app: Sphinx) -> None:
    """Connect what is above to Sphinx."""
    app.add_directive("commands", Commands)
    app.add_post_transform(Links)
    app.add_post_transform(Numbers)
    app.connect("autodoc-process-docstring", read)
    app.connect("object-description-transform", shorten_types, priority=600)  # autodoc comes at 500
    app.connect("autodoc-skip-member", leave_out)
    app.connect("viewcode-find-source", sources)
    app.connect("doctree-read", add_places)
    app.connect("html-page-context", level_captions, priority=900)  # after furo
