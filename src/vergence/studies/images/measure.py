"""What trained encoders hold of every factor, read by probes from either side, and how well the sides align."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vergence.factors import Factor
from vergence.metrics import (
    MLP,
    Logistic,
    Ridge,
    cka,
    cluster_bootstrap,
    factor_information,
    matthews_corrcoef,
    mutual_knn,
    r2_score,
    retrieve,
)
from vergence.probes import Labelled
from vergence.random import named
from vergence.studies.images.ideal import least_loss
from vergence.studies.images.sets import ImageSet
from vergence.studies.images.spec import LEAST, ImageRun, role
from vergence.studies.images.train import Trained
from vergence.studies.study import Row

LINEAR, NETWORK, SHARE = "linear", "mlp", "share"
_PROBES: Mapping[bool, Mapping[str, Any]] = {
    True: {LINEAR: Ridge(), NETWORK: MLP(max_epochs=30, batch_size=256)},
    False: {LINEAR: Logistic(), NETWORK: MLP(max_epochs=30, batch_size=256)},
}


def measure_run(run: ImageRun, trained: Trained, images: ImageSet) -> list[Row]:
    """Probe every factor from both sides, and compare the sides.

    Args:
        run: What was trained.
        trained: What came out.
        images: Its images; probes are fitted on one part of those that training has not seen, scored on another.

    Returns:
        A row for each side, factor, probe and metric ("matthews" or "r2", "urr" and "nats" of discrete factors, "share"
        of the variance between its values), as far as the run's readings go, and rows of both sides together for "cka",
        "knn1", "knn5", "recall1" (images found by their texts), "temperature", "loss" (of the last epoch) and, where it
        is read, "least loss".
    """
    fit, test = (trained.encode(images, images.parts[part]) for part in ("fit", "test"))
    rows: list[Row] = []
    for side, z_fit, z_test in zip(("image", "text"), fit, test, strict=True):
        if z_fit is None or z_test is None:
            continue
        halves = [
            Labelled(z, images.labels.iloc[images.parts[part]], images.parts[part])
            for z, part in ((z_fit, "fit"), (z_test, "test"))
        ]
        for factor in images.space.factors:
            base = {"side": side, "factor": factor.name, "role": role(run, factor.name)}
            rows += [{**base, **row} for row in _probed(run, factor, side, *halves)]
            if f"{side}/{SHARE}" in run.readings and not factor.is_continuous:
                z, y, _ = halves[1].known(factor)
                rows.append({**base, "probe": "", "metric": SHARE, "value": variance_share(z, y)})
    z_image, z_text = test
    if z_text is not None:
        rows += compared(z_image, z_text, trained)
        rows += [_of_both("loss", trained.curve[-1])] if trained.curve else []
        least = least_loss(run) if LEAST in run.readings else None
        rows += [] if least is None else [_of_both("least loss", least)]
    return rows


def variance_share(z: Float[Tensor, "n dim"], classes: Int[Tensor, " n"]) -> float:
    r"""The share of the variance of outputs that lies between the values of a factor, all interactions left out.

    $1 - \frac{n - 1}{n - k} \frac{\sum \lVert z - \bar z_c \rVert^2}{\sum \lVert z - \bar z \rVert^2}$, which is 0 on
    average where the factor has no part in z.

    Args:
        z: Outputs.
        classes: Which of the k values each row has.

    Returns:
        At most 1; of a factor without a part a little above or below 0.

    Example:
        >>> variance_share(torch.tensor([[1.0], [1.0], [-1.0], [-1.0]]), torch.tensor([0, 0, 1, 1]))
        1.0
    """
    known, place, counts = torch.unique(classes, return_inverse=True, return_counts=True)
    means = torch.zeros(len(known), z.shape[1], dtype=z.dtype).index_add_(0, place, z) / counts[:, None]
    within, whole = ((z - middle).square().sum() for middle in (means[place], z.mean(0)))
    return float(1 - (within / (len(z) - len(known))) / (whole / (len(z) - 1)))


def _probed(run: ImageRun, factor: Factor, side: str, fit: Labelled, test: Labelled) -> list[Row]:
    (z_fit, y_fit, _), (z_test, y_test, _) = fit.known(factor), test.known(factor)
    score = r2_score if factor.is_continuous else matthews_corrcoef
    rows = []
    for name, probe in _PROBES[factor.is_continuous].items():
        if f"{side}/{name}" not in run.readings:
            continue
        fitted = probe.fit(z_fit, y_fit)
        interval = partial(cluster_bootstrap, generator=named(run.seed, factor.name, name), n_resamples=200)
        predicted = fitted.predict(z_test)
        low, high = interval(score, y_test, predicted, torch.arange(len(y_test)))
        rows.append(
            {
                "probe": name,
                "metric": "r2" if factor.is_continuous else "matthews",
                "value": float(score(y_test, predicted)),
                "low": low,
                "high": high,
            }
        )
        if not factor.is_continuous and name == LINEAR:
            told = factor_information(y_test, fitted.log_probabilities(z_test), classes=fitted.classes)
            rows.append({"probe": name, "metric": "nats", "value": told.nats})
            rows.append({"probe": name, "metric": "urr", "value": told.uncertainty_reduction_ratio})
    return rows


def compared(z_image: Tensor, z_text: Tensor, trained: Trained) -> list[Row]:
    """How well the sides align, and the temperature at the end."""
    found: dict[str, Any] = {
        "cka": cka(z_image, z_text),
        "knn1": mutual_knn(z_image, z_text, k=1),
        "knn5": mutual_knn(z_image, z_text, k=5),
        "recall1": retrieve(z_image, z_text).image_retrieval.recall(1),
        "temperature": trained.temperature,
    }
    return [_of_both(metric, float(value)) for metric, value in found.items()]


def _of_both(metric: str, value: float) -> Row:
    return {"side": "both", "factor": "all", "role": "alignment", "probe": "", "metric": metric, "value": value}
