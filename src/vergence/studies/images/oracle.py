"""What captions record of the unbiased block, and what that tells of every factor: leakage that no training adds.

A hue that captions name by a colour is known only as far as the name says. So the oracle is computed from what captions
record, not from the exact values: any predictor from the block's records, fitted on labels alone, without an image.
"""

from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from pandas.api.types import is_numeric_dtype
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from vergence.metrics import matthews_corrcoef, r2_score
from vergence.misalignment import Misalignment
from vergence.random import named
from vergence.scenes import scenes
from vergence.views.scene_captions import PALETTE_OF_HUE, write_scene_captions

_N = 10_000


def told(name: str, mention: tuple[tuple[str, float], ...], redraw: tuple[tuple[str, float], ...]) -> dict[str, float]:
    """Score the best predictor of each factor from what captions record of the unbiased block.

    Args:
        name: One of `vergence.scenes.SCENES`.
        mention: How often captions speak of a factor.
        redraw: How often they then get it wrong.

    Returns:
        By factor R² or Matthews correlation, at least 0: of independent factors 1 in the block and 0 outside.
    """
    bias = Misalignment.of_rates(dict(mention), redraw=dict(redraw))
    block = tuple(factor for factor in scenes(name).space if factor in bias.unbiased - bias.graded)
    if scenes(name).equations is None:
        return {factor: float(factor in block) for factor in scenes(name).space}
    return dict(_told(name, block)) if block else dict.fromkeys(scenes(name).space, 0.0)


@lru_cache(maxsize=64)
def _told(name: str, block: tuple[str, ...]) -> tuple[tuple[str, float], ...]:
    drawn = scenes(name)
    labels = drawn.draw(_N, generator=named(0, name, "oracle"))
    bias = Misalignment.of_rates(dict.fromkeys(block, 1.0))
    captions = write_scene_captions(
        name, labels, bias, generator=named(0, name, "oracle", "captions"), palettes=PALETTE_OF_HUE
    )
    fit, test = slice(0, _N // 2), slice(_N // 2, _N)
    features = _numbers(captions.said, labels, fit)
    scores = []
    for factor in drawn.space.factors:
        exact = factor.name in block and not factor.is_continuous
        scores.append((factor.name, 1.0 if exact else _score(features, labels[factor.name], fit, test)))
    return tuple(scores)


def _numbers(said: pd.DataFrame, labels: pd.DataFrame, fit: slice) -> np.ndarray:
    """What a caption says as numbers: one column for each value, or the mean of what is called so."""
    columns = []
    for name in said.columns:
        if not is_numeric_dtype(labels[name]):
            columns += [said[name].eq(value).to_numpy(dtype=float) for value in sorted(set(labels[name]))]
        else:
            called = said[name].astype(str)
            means = labels[name].iloc[fit].groupby(called.iloc[fit]).mean()
            columns.append(called.map(means).fillna(labels[name].mean()).to_numpy(dtype=float))
    return np.stack(columns, axis=1)


def _score(features: np.ndarray, target: pd.Series, fit: slice, test: slice) -> float:
    if not is_numeric_dtype(target):
        codes = pd.factorize(target)[0]
        classifier = HistGradientBoostingClassifier(max_iter=60, random_state=0).fit(features[fit], codes[fit])
        guessed = torch.from_numpy(classifier.predict(features[test]))
        return max(0.0, float(matthews_corrcoef(torch.tensor(codes[test]), guessed)))
    values = target.to_numpy(dtype=float)
    regressor = HistGradientBoostingRegressor(max_iter=80, random_state=0).fit(features[fit], values[fit])
    guessed = torch.from_numpy(regressor.predict(features[test]))
    return max(0.0, float(r2_score(torch.tensor(values[test]), guessed)))
