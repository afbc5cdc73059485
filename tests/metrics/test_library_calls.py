"""Calls as users make them, without the hook that checks annotations in tests: the right value, or one clear line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Each is evaluated in a process of its own kind; `x` and `y` are float64 arrays of 40 rows and 5 columns.
VALUES = {
    "matthews_corrcoef([0, 1, 1, 0], [0, 1, 1, 0])": 1.0,
    "matthews_corrcoef(np.array([True, False]), [1, 0])": 1.0,
    "matthews_corrcoef(pd.Series([3, 5, 3]), np.array([3, 5, 3], dtype=np.uint16))": 1.0,
    "r2_score([1, 2, 3], [1, 2, 3]).item()": 1.0,
    "r2_score(pd.Series([1, 2, 3]), torch.tensor([1.0, 2.0, 3.0])).item()": 1.0,
    "cka(x.tolist(), x * 2)": 1.0,
    "mutual_knn(x, x.astype(np.float16).astype(np.float64), k=np.int64(39))": 1.0,
    "mutual_knn(x[::-1], x[::-1], k=1)": 1.0,
    "retrieve(x, x, image_of_text=list(range(40))).image_retrieval.recall(1)": 1.0,
    "retrieve(x.astype(np.float32), x).text_retrieval.median_rank()": 1.0,
    "pair_distance((x * 100).astype(np.int64), (x * 100).astype(np.int64))": 0.0,
    "float((Ridge().fit((x * 9).astype(int), x[:, 0]).predict(x * 9) - x[:, 0]).abs().max() < 0.2)": 1.0,
    "float(NearestNeighbours().fit(x.tolist(), [0, 1] * 20).predict(x.tolist()).shape[0])": 40.0,
    "float(info_nce(z, z.float(), temperature=np.float64(1.0)) - info_nce(z.float().double(), z, temperature=1))": 0.0,
}
REFUSED = {
    "cka(x, y[:39])": "ShapeError: rows must pair one to one",
    "r2_score(x[:, 0], x[:, :1])": "ShapeError: shapes differ: targets (40,), predictions (40, 1)",
    "centroid_distance(x, y[:, :2])": "ShapeError: shapes differ",
    "matthews_corrcoef(['cat', 'dog'], ['cat', 'dog'])": "ShapeError: labels must hold real numbers; got <U3",
    "matthews_corrcoef(x[:, 0], x[:, 0])": "ShapeError: labels must hold whole numbers; got torch.float64",
    "matthews_corrcoef(np.array([2**63], dtype=np.uint64), [1])": "ShapeError: labels must hold whole numbers below",
    "Logistic().fit(x, y[:, 0])": "ShapeError: labels must hold whole numbers",
    "Ridge().fit(x, pd.Series(['a'] * 40))": "ShapeError: targets must hold real numbers; got ",
    "Ridge().fit(x, y).predict(x[0])": "ShapeError: z must have shape (n, dim); got (5,)",
    "Ridge().fit(x, y).predict(x[:, :3])": "ShapeError: z must have 5 columns, as when it was fitted; got 3",
    "Logistic().fit(x, [0, 1] * 20).predict(x[:, :3])": "ShapeError: z must have 5 columns",
    "KernelRidge().fit(x, y).predict(x[:, :3])": "ShapeError: z must have 5 columns",
    "NearestNeighbours().fit(x, y).predict(x[:, :1])": "ShapeError: z must have 5 columns",
    "MLP(max_epochs=1).fit(x, y).predict(x[:, :1])": "ShapeError: z must have 5 columns",
    "mutual_knn(x, y, k=3.0)": "ConfigError: k must be a whole number >= 1; got 3.0",
    "mutual_knn(x, y, k=40)": "ConfigError: k must be <= 39",
    "mutual_knn(x, y, k=10**5000)": "ConfigError: k must be <= 39",
    "cka(x, y, kernel=None)": "ConfigError: unknown kernel None; known: linear, rbf",
    "cka(x, y, kernel='rbf', bandwidth='wide')": "ConfigError: bandwidth must be a finite number > 0; got 'wide'",
    "svcca(x, y, dim=2.5)": "ConfigError: dim must be a whole number >= 1; got 2.5",
    "share_interval([0.5, 1.0], level='high')": "ConfigError: level must be inside (0, 1); got 'high'",
    "Ridge(strengths=('strong',))": "ConfigError: strengths must be a finite number > 0; got 'strong'",
    "MLP(seed=10**22)": "ConfigError: seed must be a whole number in [0, 2^63)",
    "permutation_null(r2_score, x, y, generator=g)": "ConfigError: a measure that is compared with chance must give",
    "permutation_null(lambda x, y: float('nan'), x, y, generator=g)": "ConfigError: a measure that is compared with",
    "permutation_null(cka, x, y, generator=g, n_shuffles=True)": "ConfigError: n_shuffles must be a whole number >= 2",
    "info_nce(x, y)": "ShapeError: z_image must be a Tensor; got a ndarray",
    "info_nce(z, z[:, :2])": "ShapeError: shapes differ",
    "info_nce(z, z, temperature='0.1')": "ConfigError: temperature must be a finite number > 0; got '0.1'",
    "info_nce(z, z, similarity=None)": "ConfigError: unknown similarity None; known: cosine, dot",
    "info_nce(z, z, block_size=2.0)": "ConfigError: block_size must be a whole number >= 1; got 2.0",
    "sigmoid_loss(z, z, bias='low')": "ConfigError: bias must be a finite number; got 'low'",
    "lp_info_nce(z, z, p='2')": "ConfigError: p must be a finite number >= 1",
    "variational_bottleneck(z, z)": "ShapeError: z_image must be a DiagonalGaussian; got a Tensor",
}
PROGRAM = """
import json, sys
import numpy as np, pandas as pd, torch
from vergence.errors import VergenceError
from vergence.losses import *
from vergence.metrics import *
x, y = np.random.default_rng(0).normal(size=(2, 40, 5))
z, g = torch.from_numpy(x), torch.Generator().manual_seed(0)
found = []
for call in json.load(sys.stdin):
    try:
        found.append(eval(call))
    except VergenceError as error:
        found.append(f"{type(error).__name__}: {error}")
    except Exception as error:
        found.append(f"a traceback: {type(error).__name__}: {error}")
print(json.dumps(found, default=str))
"""


@pytest.fixture(scope="module")
def found() -> dict[str, object]:
    calls = [*VALUES, *REFUSED]
    path = os.pathsep.join([str(Path(__file__).parents[2] / "src"), *sys.path])
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", PROGRAM],
        input=json.dumps(calls),
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(calls, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("call", VALUES)
def test_calls_with_other_types_have_the_right_value(found: dict[str, object], call: str) -> None:
    assert found[call] == pytest.approx(VALUES[call], abs=1e-9)


@pytest.mark.parametrize("call", REFUSED)
def test_calls_that_have_no_value_are_refused_in_one_line(found: dict[str, object], call: str) -> None:
    assert str(found[call]).startswith(REFUSED[call])
    assert "\n" not in str(found[call])
