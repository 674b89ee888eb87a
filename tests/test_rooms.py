"""The core's rooms import one another in one direction, counting imports for types alone."""

import pytest

import schedalg

grimp = pytest.importorskip("grimp")

#: From the ground up: each room may import those before it.
ROOMS = [
    "forks",
    "frozen",
    "cache",
    "descent",
    "plugins",
    "libraries",
    "arrays",
    "tables",
    "checks",
    "plotting",
    "parameterization",
    "schedule",
    "network",
    "plan",
    "samplers",
    "expressions",
    "running",
    "bulk",
    "fitting",
    "interop",
    "testing",
    "command_line",
    "__main__",
]


def room(module: str) -> str:
    return module.split(".")[1]


def test_imports_point_one_way() -> None:
    graph = grimp.build_graph("schedalg")
    modules = [module for module in graph.modules if module != "schedalg"]
    assert {room(module) for module in modules} == set(ROOMS)
    against = {
        (importer, imported)
        for importer in modules
        for imported in graph.find_modules_directly_imported_by(importer)
        if imported == "schedalg" or ROOMS.index(room(imported)) > ROOMS.index(room(importer))
    }
    assert not against


def test_nothing_imports_a_backend() -> None:
    backends = ("schedalg_torch", "schedalg_cupy", "schedalg_jax")
    graph = grimp.build_graph("schedalg", *backends)
    for backend in backends:
        importers = graph.find_downstream_modules(backend, as_package=True)
        assert not {name for name in importers if name.split(".")[0] != backend}


def test_the_namespace_shows_the_public_names_and_the_rooms() -> None:
    shown = {name for name in dir(schedalg) if not name.startswith("_")}
    assert set(schedalg.__all__) <= shown <= {*schedalg.__all__, *ROOMS}
