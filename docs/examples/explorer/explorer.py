"""An explorer of schedules and samplers: sliders, and at once the curves, the table and samples.

    pip install marimo ".[plot]"
    marimo run docs/examples/explorer/explorer.py

(`marimo edit` in place of `marimo run` opens it as a notebook.)
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="Schedules and samplers")


@app.cell
def _():
    import marimo as mo
    import mixture
    import numpy as np
    from matplotlib.figure import Figure

    import schedalg
    from schedalg import Denoiser, Schedule, plot_trajectories, sample_steps

    return (
        Denoiser,
        Figure,
        Schedule,
        mixture,
        mo,
        np,
        plot_trajectories,
        sample_steps,
        schedalg,
    )


@app.cell
def _(mo):
    mo.md(
        """
        # Schedules and samplers

        Samples of eight blurred points on a circle, whose perfect network is known: what is wrong
        with the samples comes from the steps alone.
        """
    )


@app.cell
def _(Schedule, schedalg):
    schedules = {
        "linear": Schedule.linear(1000),
        "scaled linear": Schedule.scaled_linear(1000),
        "cosine": Schedule.cosine(1000),
        "linear, to zero SNR": Schedule.linear(1000).rescale_zero_terminal_snr(),
        "flow": Schedule.flow(1000),
    }
    spacings = ["trailing", "leading", "linspace", "quadratic", "log_snr", "karras", "kl_optimal"]
    samplers = {
        "DDIM": schedalg.DDIM(),
        "DDPM": schedalg.DDPM(),
        "DPM-Solver++ 2M": schedalg.DPMSolverPP(order=2),
        "DPM-Solver++ 3M": schedalg.DPMSolverPP(order=3),
        "UniPC": schedalg.UniPC(),
        "DEIS": schedalg.DEIS(),
        "LMS": schedalg.LMS(),
        "Heun": schedalg.Heun(clean_stages=False),
        "Euler ancestral": schedalg.EulerAncestral(),
    }
    return samplers, schedules, spacings


@app.cell
def _(mo, samplers, schedules, spacings):
    schedule = mo.ui.dropdown(list(schedules), value="linear", label="schedule")
    spacing = mo.ui.dropdown(spacings, value="trailing", label="spacing")
    sampler = mo.ui.dropdown(list(samplers), value="DDIM", label="sampler")
    steps = mo.ui.slider(1, 100, value=10, label="steps", show_value=True)
    shift = mo.ui.slider(0.25, 8, 0.25, value=1, label="shift", show_value=True)
    seed = mo.ui.slider(0, 99, label="seed", show_value=True)
    mo.hstack([schedule, spacing, steps, shift, sampler, seed], justify="start", wrap=True)
    return sampler, schedule, seed, shift, spacing, steps


@app.cell
def _(mo, sampler, samplers, schedule, schedules, shift, spacing, steps):
    base = schedules[schedule.value].shift(shift.value)
    try:
        fast = base.subsample(steps=steps.value, spacing=spacing.value)
        plan = samplers[sampler.value].plan(fast)
    except ValueError as error:  # which says what does not go together
        mo.stop(True, mo.callout(str(error), kind="warn"))
    return fast, plan


@app.cell
def _(Denoiser, fast, mixture, np, plan, sample_steps, seed):
    generator = np.random.default_rng(seed.value)
    x_T = fast.prior_std * generator.standard_normal((500, 2))
    network = Denoiser.from_function(mixture.prediction, fast)
    states = [x_T, *sample_steps(network, fast, plan, x_T, noise=seed.value)]
    data = mixture.data(500, generator)
    return data, states


@app.cell
def _(Figure, data, mixture, mo, plan, plot_trajectories, states):
    pictures = Figure(figsize=(10, 4.8), layout="constrained")
    left, right = pictures.subplots(1, 2)
    plot_trajectories([state[:100] for state in states], ax=left)
    left.set_title("100 samples on their way")
    right.scatter(*data.T, s=6, marker="o", facecolors="none", edgecolors="0.4", label="data")
    right.scatter(*states[-1].T, s=8, marker="x", color="#d55e00", label="samples")
    right.set(aspect="equal", xlim=(-1.5, 1.5), ylim=(-1.5, 1.5))
    right.legend(loc="upper right")
    distance = mixture.distance(states[-1], data)
    right.set_title(f"{plan.model_calls} calls: energy distance {distance:.4f}")
    mo.as_html(pictures)


@app.cell
def _(fast, mo, plan):
    curves, numbers = fast.plot().figure, plan.plot()
    table = mo.vstack([plan, numbers.figure])
    mo.ui.tabs({"schedule": mo.vstack([fast, curves]), "plan": table})


if __name__ == "__main__":
    app.run()
