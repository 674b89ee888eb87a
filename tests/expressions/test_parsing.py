"""Schedules and samplers as text: what a text means, and what any other text is answered with."""

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedalg import (
    DDIM,
    TCD,
    DPMSolverPP,
    Heun,
    Restart,
    RungeKutta,
    Schedule,
    Tableau,
    parse_sampler,
    parse_schedule,
)
from schedalg.expressions.building import CONSTRUCTORS, SAMPLERS, TRANSFORMS
from schedalg.testing.cases import FAMILIES
from tests.registry.samplers import SAMPLERS as ENTRIES

#: Texts, and the schedules that they are.
SCHEDULES: dict[str, Callable[[], Schedule]] = {
    "linear(1000) | subsample(every=10) | shift(3.0)": lambda: (
        Schedule.linear(1000).subsample(every=10).shift(3.0)
    ),
    " linear ( 8 ,\n beta_end = 1e-2 , ) ": lambda: Schedule.linear(8, beta_end=1e-2),
    "cosine(20, .01)[3:-2:2] | as_ve() | as_flow()": lambda: (
        Schedule.cosine(20, 0.01)[3:-2:2].as_ve().as_flow()
    ),
    "linear(20)[:10] | compose(linear(20)[10:])": lambda: Schedule.linear(20),
    "linear(20)[5:][:3][::2]": lambda: Schedule.linear(20)[5:][:3][::2],
    "linear(20)[:0]": lambda: Schedule.linear(20)[:0],
    "karras(10, sigma_max=80, rho=7.)": lambda: Schedule.karras(10),
    "linear(20) | subsample(steps=5, spacing='karras', rounded=True)": lambda: Schedule.linear(
        20
    ).subsample(steps=5, spacing="karras", rounded=True),
    'linear(20) | subsample(sections="3,4")': lambda: Schedule.linear(20).subsample(sections="3,4"),
    "linear(20) | subsample(indices=(1, 3, 7)) | refine(2)": lambda: Schedule.linear(20)[
        [1, 3, 7]
    ].refine(2),
    "from_log_snr([2, -2.5, -inf], timesteps=None)": lambda: Schedule.from_log_snr(
        [2, -2.5, -math.inf]
    ),
    "from_betas(((0.1), 0.2)) | rescale_zero_terminal_snr()": lambda: Schedule.from_betas(
        [0.1, 0.2]
    ).rescale_zero_terminal_snr(),
}


@pytest.mark.parametrize("text", SCHEDULES)
def test_a_text_is_the_schedule_that_python_makes(text: str) -> None:
    assert parse_schedule(text) == SCHEDULES[text]()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_schedule_is_a_text_of_its_numbers(family: str) -> None:
    s = FAMILIES[family](7)
    times = s.timesteps.tolist()
    text = f"from_log_snr({s.to_log_snr().tolist()}, kind={s.kind!r}, timesteps={times})"
    expected = Schedule.from_log_snr(s.to_log_snr(), kind=s.kind, timesteps=times)
    assert parse_schedule(text) == expected


def written(value: Any) -> str:
    """Return a value as it stands in a text."""
    if isinstance(value, Schedule):
        return f"from_log_snr({written(tuple(value.to_log_snr().tolist()))})"
    if isinstance(value, tuple):
        return f"({''.join(written(each) + ', ' for each in value)})"
    if type(value).__name__ in SAMPLERS:
        names = [field.name for field in fields(value) if field.init]
        arguments = (f"{name}={written(getattr(value, name))}" for name in names)
        return f"{type(value).__name__}({', '.join(arguments)})"
    return repr(value)


@pytest.mark.parametrize("name", ENTRIES)
def test_every_sampler_is_a_text_of_its_fields(name: str) -> None:
    sampler = ENTRIES[name].sampler
    if type(sampler).__name__ in SAMPLERS:
        assert parse_sampler(written(sampler)) == sampler


def test_samplers_take_values_by_place_and_other_samplers() -> None:
    assert parse_sampler("DPMSolverPP(3, eta=1)") == DPMSolverPP(3, eta=1)
    assert parse_sampler("Restart(Heun(), [(3, 6, 2)])") == Restart(Heun(), [(3, 6, 2)])
    middle = Tableau([[], [0.5]], [0, 1], order=2)
    assert parse_sampler("RungeKutta(Tableau([[], [.5]], [0, 1], 2))") == RungeKutta(middle)
    assert parse_sampler("TCD(trained=linear(9))") == TCD(trained=Schedule.linear(9))


#: Wrong texts, what is said of them, and the place that the caret is below.
WRONG: dict[str, tuple[str, str]] = {
    "": ("expected a name", ""),
    "   ": ("expected a name", ""),
    "3": ("expected a name", "3"),
    "None": ("expected a name", "None"),
    "linear": ("expected '(' after linear, got the end", ""),
    "linear(1000": ("expected ',' or ')', got the end", ""),
    "linear(1000))": ("expected '|' or the end, got ')'", ")"),
    "linear(1000) |": ("expected a name, got the end", ""),
    "linear(1000).shift(3)": ("write linear(1000) | shift(3.0)", ".shift"),
    "linear(2 ** 3)": ("'*' has no meaning", "** 3"),
    "linear(1000) | subsmple(every=10)": ("did you mean subsample?", "subsmple"),
    "linear(10) | __class__()": ("no transform is named __class__", "__class__"),
    "eval('1')": ("no schedule or sampler is named eval; there are linear", "eval"),
    "from_dict(1)": ("no schedule or sampler is named from_dict", "from_dict"),
    "shift(3)": ("shift is a transform", "shift"),
    "linear(3) | linear(4)": ("compose(linear(...))", "linear(4)"),
    "linear(3) | compose(DDIM())": ("other must be a Schedule", "DDIM"),
    "DDIM() | shift(3)": ("DDIM is not a schedule", "shift"),
    "DDIM()": ("a schedule is meant: one of linear", "DDIM"),
    "linear()": ("linear needs n: it takes n, beta_start, beta_end", "linear"),
    "linear(1, 2, 3, 4)": ("linear takes 3 values", "4)"),
    "linear(3, m=4)": ("linear has no argument m: it takes n", "m=4"),
    "linear(3, n=4)": ("n is given twice", "n=4"),
    "linear(n=3, 1e-4)": ("without a name follows", "1e-4"),
    "linear(3) | as_ve(2)": ("as_ve takes 0 values", "2)"),
    "linear(3) | as_ve(k=2)": ("as_ve has no argument k: it takes none", "k=2"),
    "linear(3) | subsample(3)": ("takes 0 values by their place, and by name every", "3)"),
    "linear(n=)": ("expected a value, got ')'", ")"),
    "linear(True)": ("n must be an integer, got True", "True"),
    "linear(-3)": ("n must be at least 1", "-3"),
    "linear(- None)": ("expected a number after '-'", "None"),
    "linear(1e999)": ("more than float64 holds", "1e999"),
    f"linear({'9' * 5000})": ("a number has 5000 digits", "9" * 20),
    "linear('10)": ("a string ends on its line", "'10"),
    "linear(10)[3]": ("a slice has a ':'", "[3]"),
    "linear(10)[::-1]": ("slice step is -1", "[::-1]"),
    "linear(10)[1:2:3:4]": ("expected a slice", ":4]"),
    "linear(10)[1.5:]": ("expected a slice", "1.5:"),
    "linear(10)[:-x]": ("expected an integer", "x]"),
    "linear(10)[:2": ("expected a slice", ""),
    "linear(10) | shift(factor=-1)": ("factor must be above 0", "factor=-1"),
    "from_betas([0.1, 0.2, -3, 0.4])": ("betas[2] is -3", "-3"),
    "linear(10)\n| shift(\n  -1)": ("line 3, column 3", "-1)"),
    f"from_betas([{'0.1, ' * 300}-3])": ("betas[300] is -3", "-3"),
    "linear(" + "[" * 30: ("nested more than 20", "[" * 10),
    "linear(\x1b[3)": ("has no meaning", " [3)"),
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: repr(text[:40]))
def test_what_is_wrong_is_shown_by_a_caret(text: str) -> None:
    reason, at = WRONG[text]
    with pytest.raises(ValueError, match=r"^text, ") as caught:
        parse_schedule(text)
    said, line, caret = str(caught.value).rsplit("\n", 2)
    assert reason in said
    assert caret.strip() == "^"
    assert max(len(line), len(caret)) <= 40  # of a narrow terminal
    shown = line[caret.index("^") :]
    assert shown.startswith(at) if at else not shown.strip()
    assert str(caught.value).isprintable() == ("\n" not in str(caught.value))


def test_a_sampler_is_meant() -> None:
    for text in ("linear(3)", "Tableau([[]], [1], 1)"):
        with pytest.raises(ValueError, match="a sampler is meant: one of DDIM"):
            parse_sampler(text)
    with pytest.raises(ValueError, match=r"eta must be in \[0, 1\], got 2\.0\n.*\n       \^"):
        parse_sampler("DDIM(2)")
    for parse in (parse_schedule, parse_sampler):
        with pytest.raises(TypeError, match="text must be a string, got 3"):
            parse(3)


TOKENS = [
    *CONSTRUCTORS, *TRANSFORMS, *SAMPLERS, *"()[]|,:=-.", "[:2]", "[::2]", "()", "(3)", "(n=4)",
    "n", "eta", "steps", "every", "0", "1", "2", "7", ".5", "1e-3", "None", "True", "inf", "'x'",
    " ", "\n", "\u00e9", "\x00",
]  # fmt: skip


@given(st.text() | st.lists(st.sampled_from(TOKENS), max_size=12).map("".join))
def test_any_text_is_a_value_or_the_one_error(text: str) -> None:
    for parse, kind in ((parse_schedule, Schedule), (parse_sampler, object)):
        try:
            found = parse(text)
        except ValueError as error:
            said = str(error)
        else:
            said = "text, read" if isinstance(found, kind) else ""
        assert said.startswith("text, ")


@given(
    st.integers(2, 12),
    st.lists(
        st.one_of(
            st.floats(0.1, 10).map(lambda a: (f"| shift({a!r})", lambda s: s.shift(a))),
            st.integers(1, 3).map(
                lambda k: (f"| subsample(every={k})", lambda s: s.subsample(every=k))
            ),
            st.tuples(st.integers(-9, 2), st.integers(3, 9)).map(
                lambda ends: (f"[{ends[0]}:{ends[1]}]", lambda s: s[ends[0] : ends[1]])
            ),
            st.just(("|as_flow()", lambda s: s.as_flow())),
        ),
        max_size=4,
    ),
)
def test_a_chain_is_the_same_calls_in_python(n: int, chain: list[tuple[str, Any]]) -> None:
    text, expected = f"linear({n})", Schedule.linear(n)
    for stage, change in chain:
        if len(expected) >= 3:  # what `every` may be
            text, expected = f"{text} {stage}", change(expected)
    assert parse_schedule(text) == expected


def test_nothing_but_constructors_transforms_and_samplers_is_offered() -> None:
    for name, make in CONSTRUCTORS.items():
        assert make == getattr(Schedule, name)
    for name in TRANSFORMS:
        assert not name.startswith("_")
    assert {"subsample", "compose", "shift", "as_vp", "refine"} <= set(TRANSFORMS)
    assert {"linear", "flow", "karras", "from_sigmas"} <= set(CONSTRUCTORS)
    assert {type(entry.sampler).__name__ for entry in ENTRIES.values()} - set(SAMPLERS) == set()
    assert DDIM().plan(parse_schedule("linear(4)")).model_calls == 4
