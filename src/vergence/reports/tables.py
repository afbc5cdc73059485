"""The numbers of a run as tables, and what its policies say of each factor."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from vergence.reports.compare import number

Results = Mapping[str, Any]
Record = Mapping[str, Any]

_BASELINE = "faithful"


def scores(results: Results) -> pd.DataFrame:
    """Scores at the main size as a table.

    Args:
        results: What `vergence demo` writes into `results.json`.

    Returns:
        One row for each policy and factor: policy, factor, metric, value, low, high, predicted (NaN where theory is
        silent), encoding_size, n_unbiased (size of the unbiased block) and standing: named, perturbed or omitted.
        Missing numbers are NaN.
    """
    policies = results["policies"]
    return pd.DataFrame(
        [
            _row(results, name, factor, record, main_size(results, name))
            for name in policies
            for factor, record in policies[name]["factors"].items()
        ]
    )


def size_scores(results: Results) -> pd.DataFrame:
    """Scores at every output size as a table.

    Args:
        results: What `vergence demo` writes into `results.json`.

    Returns:
        The columns of `scores`, one row for each policy, size and factor; no row if the run swept no sizes.
    """
    return pd.DataFrame(
        [
            _row(results, name, factor, record, run["encoding_size"])
            for name, runs in results.get("sizes", {}).items()
            for run in runs
            for factor, record in run["factors"].items()
        ]
    )


def baseline_policy(results: Results) -> str | None:
    """Name the policy with which others are compared.

    Args:
        results: What `vergence demo` writes into `results.json`.

    Returns:
        "faithful" if it ran, otherwise the policy with the largest unbiased block; `None` if only one policy ran.
    """
    policies = results["policies"]
    if len(policies) < 2:
        return None
    return _BASELINE if _BASELINE in policies else max(policies, key=lambda name: len(block(results, name)))


def main_size(results: Results, policy: str) -> int | None:
    """Output size at which a policy's main scores were taken; `None` if the results do not say."""
    size = results["policies"][policy].get("encoding_size", results.get("main_size"))
    return int(size) if number(size) is not None else None


def standing(results: Results, policy: str, factor: str) -> str:
    """What a policy's captions do with a factor: "named" and always right, "perturbed" or "omitted"."""
    bias = results["policies"].get(policy, {}).get("misalignment", {})
    if factor in bias.get("unbiased", ()):
        return "named"
    return "perturbed" if factor in bias.get("perturbed", ()) else "omitted"


def _row(results: Results, policy: str, factor: str, record: Record, size: int | None) -> dict[str, object]:
    numbers = {key: number(record.get(key)) for key in ("value", "low", "high", "predicted")}
    return {
        "policy": policy,
        "factor": factor,
        "metric": str(record.get("metric", "score")),
        **{key: np.nan if value is None else value for key, value in numbers.items()},
        "encoding_size": size,
        "n_unbiased": len(block(results, policy)),
        "standing": standing(results, policy, factor),
    }


def block(results: Results, policy: str) -> tuple[str, ...]:
    """The unbiased block of a policy: what its captions name and get right; empty if the results do not say."""
    return tuple(results["policies"].get(policy, {}).get("misalignment", {}).get("unbiased", ()))
