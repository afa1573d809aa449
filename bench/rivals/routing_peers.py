"""Other routers on vectors given: semantic-router and scikit-learn's logistic regression.

    python routing_peers.py ASKED.npz ANSWERED.npz PEER

ASKED has `x` float32[n, d] with the labels `y` int[n], and `q` float32[m, d] to decide on; ANSWERED
gets `pick` int[m] (-1 for none), `confidence` float[m] and `ms` float[m] of each decision.
"""

import sys
import time

import numpy as np

LEFT_OUT = 10


def logistic_regression(x, y, q):
    """The best of the usual strengths of the penalty, by cross-validation on the examples."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    search = LogisticRegression(max_iter=300)
    if len(x) <= 2000:
        search = GridSearchCV(search, {"C": [3, 10, 30, 100]}, cv=min(3, np.bincount(y).min()))
    else:
        search.C = 30
    found = search.fit(x, y).predict_proba(q)
    return found.argmax(1), found.max(1), np.zeros(len(q))


def semantic_router(x, y, q, calibrated=False):
    """Its indexed router as it comes; `calibrated` by its own Platt fit on a tenth of the examples,
    which then are none.
    """
    from semantic_router import Route
    from semantic_router.encoders import DenseEncoder
    from semantic_router.routers import IndexedRouter

    vectors = {f"x{i}": v for i, v in enumerate(x)} | {f"q{i}": v for i, v in enumerate(q)}

    class Given(DenseEncoder):
        def __call__(self, docs):
            return [vectors[doc].tolist() for doc in docs]

    out = np.arange(len(x)) % LEFT_OUT == LEFT_OUT - 1 if calibrated else np.zeros(len(x), bool)
    routes = [
        Route(name=str(label), utterances=[f"x{i}" for i in np.flatnonzero((y == label) & ~out)])
        for label in np.unique(y)
    ]
    router = IndexedRouter(encoder=Given(name="given"), routes=[r for r in routes if r.utterances])
    if calibrated:
        left = np.flatnonzero(out)
        router.fit([f"x{i}" for i in left], [str(y[i]) for i in left])
    pick, confidence, ms = [], [], []
    for i in range(len(q)):
        began = time.perf_counter()
        found = router(f"q{i}")
        ms.append((time.perf_counter() - began) * 1000)
        pick.append(int(found.name) if found.name is not None else -1)
        confidence.append(found.confidence or 0.0)
    return np.array(pick), np.array(confidence), np.array(ms)


def main():
    asked = np.load(sys.argv[1])
    x, y, q = asked["x"], asked["y"], asked["q"]
    if sys.argv[3] == "logistic regression":
        found = logistic_regression(x, y, q)
    else:
        found = semantic_router(x, y, q, calibrated=sys.argv[3].endswith("calibrated"))
    np.savez(sys.argv[2], **dict(zip(("pick", "confidence", "ms"), found, strict=True)))


if __name__ == "__main__":
    main()
