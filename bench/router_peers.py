"""Other ways to route, on the same vectors: nearest neighbour, centroid, logistic regression, and
semantic-router. The last two run in an environment of their own (`.cache/bench/routing-peers`, made
on first use from `bench/rivals/routing-peers.txt`).
"""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent import Framework

HERE = Path(__file__).parent
ENVIRONMENT = "routing-peers"

Vectors = NDArray[np.float32]
Numbers = NDArray[np.int64]


class Picked(NamedTuple):
    """What is chosen for each message (-1: nobody), how sure, and in which time."""

    pick: Numbers
    confidence: NDArray[np.float64]
    ms: NDArray[np.float64] = np.zeros(0)


def nearest(x: Vectors, y: Numbers, q: Vectors) -> Picked:
    pick, confidence = np.zeros(len(q), np.int64), np.zeros(len(q))
    for i in range(0, len(q), 500):
        similar = q[i : i + 500] @ x.T
        pick[i : i + 500], confidence[i : i + 500] = y[similar.argmax(1)], similar.max(1)
    return Picked(pick, confidence)


def centroid(x: Vectors, y: Numbers, q: Vectors) -> Picked:
    labels = np.unique(y)
    centres = np.stack([x[y == label].mean(0) for label in labels])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    similar = q @ centres.T
    return Picked(labels[similar.argmax(1)], similar.max(1))


def other(name: str, x: Vectors, y: Numbers, q: Vectors) -> Picked:
    """`logistic regression`, `semantic-router` or `semantic-router calibrated`."""
    python = Framework("routing_peers", ENVIRONMENT).python()
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "asked.npz", Path(folder) / "answered.npz"
        np.savez(asked, x=x, y=y, q=q)
        script = HERE / "rivals" / "routing_peers.py"
        subprocess.run([python, script, asked, answered, name], check=True)
        found = np.load(answered)
        return Picked(found["pick"], found["confidence"], found["ms"])


#: Every peer by name.
PEERS: dict[str, Any] = {
    "nearest neighbour": nearest,
    "centroid": centroid,
    "logistic regression": lambda *given: other("logistic regression", *given),
    "semantic-router": lambda *given: other("semantic-router", *given),
    "semantic-router calibrated": lambda *given: other("semantic-router calibrated", *given),
}
#: Those that are quick, for what is measured many times.
FEW = ("nearest neighbour", "centroid", "logistic regression", "semantic-router")


def picked(x: Vectors, y: Numbers, q: Vectors, names: Sequence[str]) -> dict[str, Picked]:
    return {name: PEERS[name](x, y, q) for name in names}
