"""Time whole loops, less the network, beside those of diffusers, and print ratios.

    python -m tests.benchmarks.backends [cpu] [cuda]

from the root of the repository, for all devices that there are, or for those that are named. The
network returns the same tensor in every call, so what is timed is what the sampler adds to it. Not
part of the tests: times are noisy, and only ratios of times taken in turns mean anything. What it
found is kept in speed.json beside this file, where other devices, of another machine, keep theirs;
docs/images/speed.png is drawn from all of it.

The tables and the timesteps are made before, on both sides, except in `cold`, which times them, and
in the second column of `warm`, where `sample` finds its table.
diffusers is told not to clip x0, which the loops of schedalg do not do either.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from schedalg import DDIM, DDPM, DPMSolverPP, Euler, Plan, Schedule, UniPC, run, sample
from schedalg.network.reading import reading_of
from schedalg.parameterization import PARAMETERIZATIONS
from schedalg.running.noise import StepNoise
from tests.benchmarks.timing import (
    Timed,
    in_turns,
    kernels_launched,
    peak_of_cuda,
    peak_of_numpy,
    peak_of_torch,
    print_table,
    ratio,
)

if TYPE_CHECKING:
    import torch

STEPS = 50
#: Steps and shape of a robot's policy, where making a table takes longer than running it.
FEW_STEPS, SMALL = 10, (1, 16, 2)
SHAPES = ((1, 4, 64, 64), (4, 4, 128, 128), (16, 3, 256, 256))
DTYPES = ("float32", "bfloat16")
KEPT = Path(__file__).with_name("speed.json")
PICTURE = Path(__file__).parents[2] / "docs" / "images" / "speed.png"
#: Of Okabe and Ito, told apart by the colour-blind, and one for each shape.
COLOURS = ("#0072B2", "#E69F00", "#009E73")


@dataclass(frozen=True)
class Contest:
    """A sampler, and the scheduler of diffusers that does the same.

    Attributes:
        name: What the tables call it.
        plan: Ours.
        theirs: The name of the class.
        options: What it is made with.
        drawn: Whether noise is drawn, on both sides from a `torch.Generator`.
        fixed_noise: Whether both sides are handed the same tensor in place of noise, which takes
            no time to draw.
        shown: Whether it is in the picture.
    """

    name: str
    plan: Plan
    theirs: str
    options: dict[str, Any] = field(default_factory=dict)
    drawn: bool = False
    fixed_noise: bool = False
    shown: bool = True


@dataclass(frozen=True)
class Setting:
    """Tensors of one shape and dtype on one device."""

    device: str
    dtype: str
    shape: tuple[int, ...]
    x: torch.Tensor
    output: torch.Tensor
    noise: torch.Tensor

    @property
    def label(self) -> str:
        """The shape, as text."""
        return "×".join(map(str, self.shape))

    def finish(self) -> None:
        """Wait for the device."""
        import torch

        if self.device == "cuda":
            torch.cuda.synchronize()


@dataclass(frozen=True)
class Result:
    """What a contest gave in a setting, as ratios of times.

    Attributes:
        contest: The sampler.
        setting: The tensors.
        faster: Times that diffusers' loop takes longer.
        floor: Time over that of the fewest operations of torch; None where no such loop is written.
        bandwidth: Share of the bandwidth of a copy; None but on CUDA.
    """

    contest: Contest
    setting: Setting
    faster: float
    floor: float | None
    bandwidth: float | None


def contests() -> list[Contest]:
    """Return what is timed."""
    schedule = Schedule.linear(1000).subsample(steps=STEPS)
    of_vp = Schedule.linear(1000).subsample(steps=STEPS, spacing="karras").as_ve()
    ddpm = partial(Contest, plan=DDPM().plan(schedule), theirs="DDPMScheduler")
    euler = partial(Contest, theirs="EulerDiscreteScheduler", options={"use_karras_sigmas": True})
    unclipped = {"clip_sample": False}
    return [
        Contest("DDIM", DDIM().plan(schedule), "DDIMScheduler", unclipped),
        ddpm("DDPM", options=unclipped, drawn=True),
        ddpm("DDPM, noise given", options=unclipped, fixed_noise=True),
        euler("Euler", Euler().plan(of_vp)),
        euler("Euler, input unscaled", Euler().plan(Schedule.karras(STEPS)), shown=False),
        Contest("DPM++ 2M", DPMSolverPP().plan(schedule), "DPMSolverMultistepScheduler"),
        Contest("UniPC", UniPC().plan(schedule), "UniPCMultistepScheduler"),
    ]


def setting(device: str, dtype: str, shape: tuple[int, ...]) -> Setting:
    """Return the tensors of a setting."""
    import torch

    generator = torch.Generator().manual_seed(0)
    x, output, noise = (
        torch.randn(shape, generator=generator).to(device, getattr(torch, dtype)) for _ in range(3)
    )
    return Setting(device, dtype, shape, x, output, noise)


def ours(contest: Contest, at: Setting) -> Timed:
    """Return our loop."""
    output, source = at.output, _source(contest, at)
    return Timed(lambda: run(contest.plan, lambda x, t: output, at.x, noise=source))


def _source(contest: Contest, at: Setting) -> Any:
    """Return where our noise comes from."""
    import torch

    if contest.drawn:
        return torch.Generator(at.device).manual_seed(0)
    return (lambda x: at.noise) if contest.fixed_noise else None


def theirs(contest: Contest, at: Setting) -> Timed:
    """Return diffusers' loop."""
    import diffusers
    import torch

    scheduler = getattr(diffusers, contest.theirs)(
        num_train_timesteps=1000, beta_schedule="linear", **contest.options
    )
    extra = {"generator": torch.Generator(at.device).manual_seed(0)} if contest.drawn else {}

    def loop() -> torch.Tensor:
        return _walked(scheduler, at, extra)

    return Timed(loop, partial(scheduler.set_timesteps, STEPS, device=at.device))


def _walked(scheduler: Any, at: Setting, extra: dict[str, Any]) -> torch.Tensor:
    """Return x at the end of diffusers' loop."""
    x = at.x
    for t in scheduler.timesteps:
        scheduler.scale_model_input(x, t)
        x = scheduler.step(at.output, t, x, **extra).prev_sample
    return x


def noise_as_told(contest: Contest, at: Setting) -> AbstractContextManager[object]:
    """Return a context in which diffusers is handed the same noise as we are, if it is to be."""
    if not contest.fixed_noise:
        return nullcontext()

    def same(*args: object, **kwargs: object) -> torch.Tensor:
        return at.noise

    return mock.patch("diffusers.schedulers.scheduling_ddpm.randn_tensor", same)


def floor(contest: Contest, at: Setting) -> Timed | None:
    """Return the fewest plain operations of torch that do a step, or None if it has memories.

    A library may need less than this: one operation can do the work of both.
    """
    import torch

    if contest.plan.b.shape[1] > 1:
        return None
    buffers = torch.empty_like(at.x), torch.empty_like(at.x)
    seen = torch.empty_like(at.x)
    scaled = scales_input(contest.plan)
    generator = torch.Generator(at.device).manual_seed(0) if contest.drawn else None

    def loop() -> torch.Tensor:
        x = at.x
        for k in range(STEPS):
            if scaled:
                torch.mul(x, 0.9, out=seen)
            x = torch.mul(x, 0.9, out=buffers[k % 2]).add_(at.output, alpha=0.1)
            if contest.drawn:
                torch.randn(at.shape, generator=generator, out=buffers[1 - k % 2])
                x.add_(buffers[1 - k % 2], alpha=0.1)
            elif contest.fixed_noise:
                x.add_(at.noise, alpha=0.1)
        return x

    return Timed(loop)


def copies(at: Setting) -> Timed:
    """Return a copy of x for each step."""
    import torch

    to = torch.empty_like(at.x)

    def loop() -> None:
        for _ in range(STEPS):
            to.copy_(at.x)

    return Timed(loop)


def moved(contest: Contest) -> float:
    """Return how often a step has to read or write as much as x, at least.

    x and the output are read, and x is written; with it what the network sees next, noise, and
    memories read and written.
    """
    plan = contest.plan
    read = float((plan.b[:, 1:] != 0).sum(axis=1).mean())
    written = float(plan.b.shape[1] > 1)
    return 3 + read + written + float(scales_input(plan)) + float((plan.c != 0).any())


def scales_input(plan: Plan) -> bool:
    """Whether a network of epsilon is shown x in another scale."""
    return bool(
        (
            reading_of(PARAMETERIZATIONS["epsilon"], plan.schedule, plan.alpha, plan.sigma).c_in
            != 1
        ).any()
    )


def compare(contest: Contest, at: Setting) -> Result:
    """Return the ratios of one contest in one setting."""
    least = floor(contest, at)
    entries = [ours(contest, at), theirs(contest, at)]
    if least is not None:
        entries.append(least)
    if at.device == "cuda":
        entries.append(copies(at))
    with noise_as_told(contest, at):
        times = in_turns(*entries, finish=at.finish)
    mine = times[:, 0]
    # A copy reads and writes: two of what `moved` counts.
    copied = ratio(times[:, -1], mine) * moved(contest) / 2
    return Result(
        contest,
        at,
        ratio(times[:, 1], mine),
        None if least is None else ratio(mine, times[:, 2]),
        copied if at.device == "cuda" else None,
    )


def print_results(device: str, results: list[Result]) -> None:
    """Print how fast the loops are."""
    for dtype in DTYPES:
        chosen = [result for result in results if result.setting.dtype == dtype]
        shapes = list(dict.fromkeys(result.setting.label for result in chosen))
        tables: list[tuple[str, Callable[[Result], str]]] = [
            ("times faster than diffusers", lambda result: f"{result.faster:.2f}"),
            (
                "times torch.mul(x, a, out=buf).add_(e, alpha=b)",
                lambda result: _number(result.floor),
            ),
        ]
        if device == "cuda":
            tables.append(("share of a copy's bandwidth", lambda r: _number(r.bandwidth)))
        for title, cell in tables:
            names = dict.fromkeys(result.contest.name for result in chosen)
            rows = [
                [name, *(cell(result) for result in chosen if result.contest.name == name)]
                for name in names
            ]
            print_table(f"{device}, {dtype}: {title}", ["sampler", *shapes], rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def seeds(device: str) -> None:
    """Print what noise from a seed costs."""
    rows = []
    for shape in SHAPES:
        at = setting(device, "float32", shape)
        costs = _drawn_here(at) if device == "cpu" else _drawn_in_loops(at)
        rows.append([at.label, *(f"{cost:.2f}" for cost in costs)])
    if device == "cpu":
        head = ["shape", "torch.randn", "NumPy's standard_normal"]
        print_table(f"{device}, float32: noise=7, times the cost of", head, rows)
    else:
        head = ["shape", "time"]
        print_table(f"{device}, float32: DDPM with noise=7, over a torch.Generator", head, rows)


def _drawn_here(at: Setting) -> list[float]:
    """Return the cost of a draw over torch's and NumPy's."""
    import torch

    mine, rng = StepNoise(at.x, 7), np.random.default_rng(7)
    generator = torch.Generator().manual_seed(7)
    times = in_turns(
        Timed(lambda: mine(at.x)),
        Timed(lambda: torch.randn(at.shape, generator=generator)),
        Timed(lambda: rng.standard_normal(at.shape, dtype=np.float32)),
    )
    return [ratio(times[:, 0], times[:, i]) for i in (1, 2)]


def _drawn_in_loops(at: Setting) -> list[float]:
    """Return the time of a loop whose noise is made from a seed, over that of a generator's."""
    ddpm = next(contest for contest in contests() if contest.drawn)
    seeded = Timed(lambda: run(ddpm.plan, lambda x, t: at.output, at.x, noise=7))
    times = in_turns(seeded, ours(ddpm, at), finish=at.finish)
    return [ratio(times[:, 0], times[:, 1])]


def warm() -> None:
    """Print what `run` and `sample` take in a second call, over two operations of torch a step.

    `run` is given a plan, and `sample` a schedule and a sampler, as in the README. With
    NUMBA_DISABLE_JIT=1 both go by operations of torch.
    """
    for steps, shape in ((FEW_STEPS, SMALL), (STEPS, SHAPES[0])):
        at = setting("cpu", "float32", shape)
        schedule = Schedule.linear(1000).subsample(steps=steps)
        rows = []
        for name, sampler in (("DDIM", DDIM()), ("DPM++ 2M", DPMSolverPP()), ("UniPC", UniPC())):
            times = in_turns(
                _two_operations(at, steps),
                Timed(partial(_run_plan, sampler.plan(schedule), at)),
                Timed(partial(_sampled, schedule, sampler, at)),
                rounds=(50, 2000),
                seconds=3,
            )
            rows.append([name, *(f"{ratio(times[:, i], times[:, 0]):.2f}" for i in (1, 2))])
        title = f"cpu, float32, {at.label}, {steps} steps: over two operations of torch a step"
        print_table(title, ["sampler", "run", "sample"], rows)


def _two_operations(at: Setting, steps: int) -> Timed:
    """Return the fewest plain operations that take x through a step without memories."""
    import torch

    buffers = torch.empty_like(at.x), torch.empty_like(at.x)

    def loop() -> None:
        x = at.x
        for k in range(steps):
            x = torch.mul(x, 0.9, out=buffers[k % 2]).add_(at.output, alpha=0.1)

    return Timed(loop)


def _run_plan(plan: Plan, at: Setting) -> object:
    return run(plan, lambda x, t: at.output, at.x)


def _sampled(schedule: Schedule, sampler: Any, at: Setting) -> object:
    return sample(lambda x, t: at.output, schedule, sampler, at.x)


def cold() -> None:
    """Print what all that comes before a first sample takes, and its parts, over diffusers' loop.

    Every call has a schedule of betas that no call had before, so that nothing is cached. That of
    diffusers is given its betas before, and is timed from `set_timesteps` on.
    """
    at = setting("cpu", "float32", SMALL)
    rows = []
    for name, sampler, theirs, options in (
        ("DDIM", DDIM(), "DDIMScheduler", {"clip_sample": False}),
        ("DPM++ 2M", DPMSolverPP(2), "DPMSolverMultistepScheduler", {}),
        ("UniPC 2", UniPC(2), "UniPCMultistepScheduler", {"solver_order": 2}),
        ("UniPC 3", UniPC(3), "UniPCMultistepScheduler", {"solver_order": 3}),
    ):
        made: list[Schedule] = []
        times = in_turns(
            Timed(_with_timesteps(theirs, options, at)),
            Timed(partial(_sampled_cold, sampler, at)),
            Timed(_never_seen),
            Timed(partial(_planned, sampler, made), partial(_add_unseen, made)),
            rounds=(50, 1000),
            seconds=5,
        )
        # The least: such short calls are either interrupted or not.
        least = times.min(axis=0)
        rows.append([name, *(f"{part / least[0]:.2f}" for part in least[1:])])
    head = ["sampler", "all", "schedule", "table"]
    print_table(f"cpu, float32, {at.label}, {FEW_STEPS} steps: cold, over diffusers", head, rows)


_SEEN = count()


def _planned(sampler: Any, made: list[Schedule]) -> Plan:
    return sampler.plan(made.pop())


def _add_unseen(made: list[Schedule]) -> None:
    made.append(_never_seen())


def _never_seen() -> Schedule:
    """Return a respaced schedule that no call returned before."""
    beta_start = 1e-4 * (1 + 1e-9 * next(_SEEN))
    return Schedule.linear(1000, beta_start).subsample(steps=FEW_STEPS)


def _sampled_cold(sampler: Any, at: Setting) -> object:
    """Sample along such a schedule."""
    return _sampled(_never_seen(), sampler, at)


def _with_timesteps(name: str, options: dict[str, Any], at: Setting) -> Callable[[], object]:
    """Return diffusers' loop with its call of `set_timesteps`."""
    import diffusers

    scheduler = getattr(diffusers, name)(
        num_train_timesteps=1000, beta_schedule="linear", **options
    )

    def loop() -> torch.Tensor:
        scheduler.set_timesteps(FEW_STEPS)
        return _walked(scheduler, at, {})

    return loop


def in_numpy() -> None:
    """Print what a step on NumPy's arrays takes."""
    rng = np.random.default_rng(0)
    x, e = (rng.standard_normal(SHAPES[-1], dtype=np.float32) for _ in range(2))
    plan, buf = contests()[0].plan, np.empty_like(x)

    def plain() -> None:
        nonlocal buf  # which `+=` assigns to
        for _ in range(STEPS):
            np.multiply(x, 0.9, out=buf)
            buf += 0.1 * e

    times = in_turns(Timed(lambda: run(plan, lambda x, t: e, x)), Timed(plain))
    label = "×".join(map(str, SHAPES[-1]))
    cells = ["DDIM", f"{ratio(times[:, 0], times[:, 1]):.2f}"]
    head = ["sampler", label]
    print_table("NumPy, float32: times np.multiply(x, a, out=buf); buf += b * e", head, [cells])


def memory(device: str) -> None:
    """Print the peaks of loops."""
    rows = []
    peak = peak_of_cuda if device == "cuda" else peak_of_torch
    for contest in contests():
        if contest.name not in ("DDIM", "DPM++ 2M", "UniPC"):
            continue
        cells = [contest.name, str(1 + contest.plan.b.shape[1])]
        for dtype in DTYPES:
            at = setting(device, dtype, SHAPES[-1])
            for loop in (ours(contest, at), theirs(contest, at)):
                cells.append(f"{peak(loop.run, loop.prepare) / at.x.nbytes:.2f}")
        if device == "cpu":
            cells.append(f"{_peak_in_numpy(contest.plan):.2f}")
        rows.append(cells)
    head = ["sampler", "x and m memories"]
    head += [f"{dtype}, {whose}" for dtype in DTYPES for whose in ("ours", "diffusers")]
    head += ["NumPy float32, ours"] if device == "cpu" else []
    title = f"{device}: peak of memory in sizes of x, that and the output given not counted"
    print_table(title, head, rows)


def _peak_in_numpy(plan: Plan) -> float:
    """Return the peak of a loop in NumPy, in sizes of x."""
    x = np.ones(SHAPES[-1], dtype=np.float32)
    output = x.copy()
    return peak_of_numpy(lambda: run(plan, lambda x, t: output, x)) / x.nbytes


def launches() -> None:
    """Print the kernels that a step launches beside the network's."""
    at = setting("cuda", "float32", SHAPES[0])
    rows = []
    for contest in contests():
        counts = []
        for loop in (ours(contest, at), theirs(contest, at)):
            with noise_as_told(contest, at):
                counts.append(f"{kernels_launched(loop.run, loop.prepare) / STEPS:.1f}")
        rows.append([contest.name, *counts])
    head = ["sampler", "ours", "diffusers"]
    print_table("cuda: kernels a step, those of a loop's start shared out", head, rows)


def captured() -> None:
    """Print what a captured step takes: the slope between runs of 50 and of 250 steps."""
    ddim = contests()[0]
    more = 5 * STEPS
    short, long = (Schedule.linear(1000).subsample(steps=steps) for steps in (STEPS, more))
    rows = []
    for shape in SHAPES:
        at = setting("cuda", "float32", shape)
        runs = [Timed(partial(_captured, schedule, at)) for schedule in (short, long)]
        loops = (theirs(ddim, at), ours(ddim, at))
        times = np.median(in_turns(*runs, *loops, finish=at.finish), axis=0)
        step = (times[1] - times[0]) / (more - STEPS)
        cells = [at.label, *(f"{loop / STEPS / step:.2f}" for loop in times[2:])]
        rows.append(cells)
    head = ["shape", "than diffusers", "than ours, not captured"]
    print_table("cuda, float32: a captured step of DDIM, times faster", head, rows)


def _captured(schedule: Schedule, at: Setting) -> object:
    """Run DDIM by a captured step."""
    return sample(lambda x, t: at.output, schedule, DDIM(), at.x, capture=True)


def keep(device: str, results: list[Result]) -> None:
    """Write what was found on a device to the file, in place of what it had of that device."""
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    kept[device] = {
        "machine": machine(device),
        "faster": [
            [r.contest.name, r.setting.dtype, r.setting.label, round(r.faster, 2)]
            for r in results
            if r.contest.shown
        ],
    }
    KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def draw() -> None:
    """Draw how many times faster than diffusers each loop is, of all devices in the file."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    devices = list(kept)
    names = list(dict.fromkeys(name for name, *_ in kept[devices[0]]["faster"]))
    size = (10, 1.6 + 1.15 * len(names))
    figure, panels = plt.subplots(
        1, len(devices), figsize=size, sharey=True, squeeze=False, layout="constrained"
    )
    for axes, device in zip(panels[0], devices, strict=True):
        _panel(axes, kept[device]["faster"], names)
        if len(devices) > 1:
            axes.set_title({"cpu": "CPU", "cuda": "CUDA"}[device], fontsize=12)
    bars, labels = panels[0][0].get_legend_handles_labels()
    by_column = [i + j for i in range(len(SHAPES)) for j in range(0, len(bars), len(SHAPES))]
    figure.legend(
        [bars[i] for i in by_column],
        [labels[i] for i in by_column],
        loc="outside lower center",
        ncols=len(SHAPES),
        fontsize=11,
        frameon=False,
    )
    spare = "\n" * len(devices)  # for the lines on the machines
    figure.suptitle(f"What {STEPS} steps add to the network's time{spare}", fontsize=14)
    machines = "\n".join(kept[device]["machine"] for device in devices)
    figure.text(0.5, 0.955, machines, ha="center", va="top", fontsize=9, color="#444444")
    figure.savefig(PICTURE, dpi=100)
    plt.close(figure)


def _panel(axes: Any, results: list[list[Any]], names: list[str]) -> None:
    """Draw the bars of one device: samplers from the top, and in each the dtypes and shapes."""
    shapes = ["×".join(map(str, shape)) for shape in SHAPES]
    kinds = [(dtype, shape) for dtype in DTYPES for shape in shapes]
    height = 0.8 / len(kinds)
    for i, (dtype, shape) in enumerate(kinds):
        mine = {name: faster for name, *of, faster in results if tuple(of) == (dtype, shape)}
        places = [row - 0.4 + (i + 0.5) * height for row in range(len(names))]
        faster = np.array([mine[name] for name in names])
        colour = COLOURS[shapes.index(shape)]
        axes.barh(
            places,
            faster - 1,
            height * 0.86,
            left=1,
            color=colour if dtype == DTYPES[0] else "white",
            edgecolor=colour,
            hatch=None if dtype == DTYPES[0] else "/////",
            label=f"{shape}, {dtype}",
        )
        for place, value in zip(places, faster, strict=True):
            text = f"{value:.1f}" if value < 9.95 else f"{value:.0f}"
            axes.text(max(value, 1) * 1.02, place, text, va="center_baseline", fontsize=8.5)
    axes.axvline(1, color="black", linewidth=1.2)
    axes.set_xscale("log")
    least, most = (bound(faster for *_, faster in results) for bound in (min, max))
    axes.set_xlim(min(0.9, least * 0.9), most * 1.2)
    ticks = [tick for tick in (0.25, 0.5, 1, 2, 3, 5, 10, 20, 50, 100) if tick < most * 1.2]
    ticks = [tick for tick in ticks if tick >= min(0.9, least * 0.9)]
    axes.set_xticks(ticks, labels=[f"{tick:g}×" for tick in ticks], fontsize=10)
    axes.minorticks_off()
    axes.set_yticks(
        range(len(names)), labels=[name.replace(", ", ",\n") for name in names], fontsize=12
    )
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("times faster than diffusers (at 1×; log scale)", fontsize=10)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def machine(device: str) -> str:
    """Return the kind of machine, and the versions."""
    import diffusers
    import torch

    versions = f"torch {torch.__version__}, diffusers {diffusers.__version__}"
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, {versions}"
    return f"{processor()}, {torch.get_num_threads()} threads, {versions}, NumPy {np.__version__}"


def processor() -> str:
    """Return the model of the processor."""
    listed = Path("/proc/cpuinfo")
    if listed.exists():
        for line in listed.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    """Print every table, and draw the picture."""
    if any(find_spec(name) is None for name in ("torch", "diffusers", "matplotlib")):
        sys.exit('this needs torch, diffusers and matplotlib: pip install "schedalg[benchmark]"')
    import torch

    devices = sys.argv[1:] or ["cpu", "cuda"][: 1 + torch.cuda.is_available()]
    with torch.inference_mode():
        for device in devices:
            print(f"\n{device}: {machine(device)}", flush=True)
            settings = [setting(device, dtype, shape) for dtype in DTYPES for shape in SHAPES]
            results = [compare(contest, at) for at in settings for contest in contests()]
            print_results(device, results)
            keep(device, results)
            seeds(device)
            memory(device)
            if device == "cuda":
                launches()
                captured()
            else:
                warm()
                cold()
                in_numpy()
    draw()


if __name__ == "__main__":
    main()
