"""Fine-tune the digits network by a policy gradient, towards digits of more ink.

    python docs/examples/digits/reinforce.py

takes half a minute on one core, and needs PyTorch. It prints the reward of every round, and draws
`reinforced.png`: the reward's curve, and the same seeds before, halfway and after.

Each row of the plan but the last draws x from a normal distribution whose mean the network decides,
so that a run is a game of 19 moves, with one reward at its end (DDPO, Black et al., arXiv
2305.13301).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from network import IMAGE_SHAPE, NUM_CLASSES, TRAIN_SCHEDULE, load_digits_split
from torch import Tensor
from train import WEIGHTS_PATH, TorchDigitsNetwork

from schedalg import DDPM, begin, initial_noise, log_prob, network_input

SCHEDULE = TRAIN_SCHEDULE.subsample(steps=20, spacing="trailing")
PLAN = DDPM().plan(SCHEDULE)
#: The last row adds no noise: it is no move of the game.
MOVES = int(np.count_nonzero(PLAN.c))

ROUNDS = 40
IMAGES_A_CLASS = 20
BATCHES = 4
LEARNING_RATE = 2e-4
#: How far the ratio of the new policy to the old one may leave 1 before a move counts no more.
CLIP = 0.2


class Policy:
    """The network in the shape of images; it predicts v."""

    def __init__(self, network: TorchDigitsNetwork) -> None:
        self.network = network

    def __call__(self, x: Tensor, timesteps: Tensor, labels: Tensor) -> Tensor:
        """Return the predicted v, like x."""
        v: Tensor = self.network(x.flatten(1), timesteps, labels)
        return v.reshape(x.shape)


class Game(NamedTuple):
    """Runs with a policy: what is needed to ask another policy for the density of their moves.

    Attributes:
        states: (MOVES + 1, B, 1, 8, 8), x before every move, and after the last.
        log_probs: (MOVES, B), the log-density of every move.
        images: (B, 1, 8, 8), x at the end.
    """

    states: Tensor
    log_probs: Tensor
    images: Tensor


def loaded() -> TorchDigitsNetwork:
    """Return the network of `train.py` with the weights that it stored."""
    network = TorchDigitsNetwork()
    with np.load(WEIGHTS_PATH, allow_pickle=False) as archive:
        weights = {name: torch.from_numpy(archive[name]).float() for name in archive.files}
    linear = {name for name in weights if name.endswith(".weight") and name != "classes.weight"}
    network.load_state_dict({k: w.T if k in linear else w for k, w in weights.items()})
    return network


def ink(images: Tensor) -> Tensor:
    """Return the share of each image that is ink, from 0 to 1: the reward."""
    return (images.clamp(-1, 1).flatten(1).mean(dim=1) + 1) / 2


@torch.no_grad()
def play(policy: Policy, labels: Tensor, seeds: list[int]) -> Game:
    """Sample an image for each label, and keep every x and the density of every move."""
    x = initial_noise(SCHEDULE, (len(labels), *IMAGE_SHAPE), seeds, like=torch.zeros(1))
    run = begin(PLAN, x, prediction="v", noise=seeds)
    states, log_probs = [run.x], []
    while not run.done:
        row, before = run.row, run.x
        output = policy(run.input, run.timesteps, labels)
        run.advance(output)
        if row < MOVES:
            states.append(run.x)
            log_probs.append(log_prob(PLAN, row, before, output, run.x, prediction="v"))
    return Game(torch.stack(states), torch.stack(log_probs).float(), run.x)


def advantages(rewards: Tensor, labels: Tensor) -> Tensor:
    """Return how much better each image is than its class, in standard deviations of that."""
    better = torch.empty_like(rewards)
    for label in range(NUM_CLASSES):
        mine = labels == label
        better[mine] = (rewards[mine] - rewards[mine].mean()) / (rewards[mine].std() + 1e-6)
    return better


def improve(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    game: Game,
    labels: Tensor,
    better: Tensor,
    generator: torch.Generator,
) -> None:
    """Make moves of good games more likely, and of bad ones less, all moves in random order."""
    moves = torch.randperm(MOVES * len(labels), generator=generator)
    for batch in moves.chunk(BATCHES):
        row, i = batch // len(labels), batch % len(labels)
        x, after = game.states[row, i], game.states[row + 1, i]
        given = network_input(PLAN, row, x, prediction="v")
        output = policy(given.input, given.timesteps, labels[i])
        new = log_prob(PLAN, row, x, output, after, prediction="v").float()
        ratio = torch.exp(new - game.log_probs[row, i])
        held = ratio.clamp(1 - CLIP, 1 + CLIP)
        loss = -torch.minimum(better[i] * ratio, better[i] * held).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.network.parameters(), 1.0)
        optimizer.step()


def readable(images: Tensor, labels: Tensor) -> float:
    """Return the share of images whose nearest real digit is of their class."""
    real, classes, _, _ = load_digits_split()
    nearest = torch.cdist(images.flatten(1), torch.from_numpy(real).flatten(1)).argmin(dim=1)
    return float((torch.from_numpy(classes)[nearest] == labels).float().mean())


def picture(ink: list[float], read: list[float], rows: dict[str, Tensor], path: Path) -> None:
    """Draw the curves of what was measured in every round beside rows of digits."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(10, 2.9), width_ratios=(1, 2.2), layout="constrained"
    )
    left.plot(ink, color="#1e88e5", label="share of ink (the reward)")
    left.plot(read, color="#999999", label="share of readable digits")
    left.set_xlabel("round")
    left.set_ylim(0, 1.05)
    left.legend(fontsize=8, loc="lower right")
    left.grid(alpha=0.3)
    strips, size = [], IMAGE_SHAPE[1] + 1
    for images in rows.values():
        clamped = images[:, 0].clamp(-1, 1).numpy()
        padded = np.pad(clamped, ((0, 0), (0, 1), (0, 1)), constant_values=-1)
        strips += [np.concatenate(list(line), axis=1) for line in np.split(padded, 2)]
    right.imshow(np.concatenate(strips), cmap="gray", vmin=-1, vmax=1)
    right.set_yticks([2 * size * (k + 0.5) for k in range(len(rows))], labels=list(rows))
    right.set_xticks([])
    for k in range(1, len(rows)):
        right.axhline(2 * size * k - 1, color="#ffa000", linewidth=1)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Play, improve, and show what became of the same seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of playing and improving")
    parser.add_argument("--out", type=Path, default=Path("reinforced.png"), help="the picture")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    policy = Policy(loaded())
    optimizer = torch.optim.Adam(policy.network.parameters(), lr=LEARNING_RATE)
    labels = torch.arange(NUM_CLASSES).repeat(IMAGES_A_CLASS)
    count, start = len(labels), time.perf_counter()
    rewards_of, readable_of, rows = [], [], {}

    def show(k: int) -> None:
        images = play(policy, labels, list(range(10**6, 10**6 + count))).images
        rows[f"round {k}"] = images[:40]
        print(f"round {k}: ink {ink(images).mean():.3f}, readable {readable(images, labels):.3f}")

    for k in range(arguments.rounds):
        if k in (0, arguments.rounds // 2):
            show(k)
        game = play(policy, labels, list(range(k * count, (k + 1) * count)))
        rewards = ink(game.images)
        improve(policy, optimizer, game, labels, advantages(rewards, labels), generator)
        rewards_of.append(float(rewards.mean()))
        readable_of.append(readable(game.images, labels))
        seconds = time.perf_counter() - start
        print(f"{k:3d}  {seconds:4.0f} s  ink {rewards_of[-1]:.3f}", flush=True)
    show(arguments.rounds)
    picture(rewards_of, readable_of, rows, arguments.out)
    print(f"picture: {arguments.out.resolve()}")


if __name__ == "__main__":
    main()
