"""What theory says of every number that the study measures, before anything is trained."""

from typing import Any

import numpy as np

from vergence.studies.spectrum import laws
from vergence.studies.spectrum.objectives import COLDEST
from vergence.studies.spectrum.slices import EXACT_CHANNELS
from vergence.studies.spectrum.spec import RunSpec

Row = dict[str, Any]

WITHIN = 0.1
"""Of an amplitude that the equation gives exactly: the share of it by which a measurement may be off."""
LEAST = 0.3
"""Amplitudes y below this are not bounded: the noise of a training that ends is a larger share of them."""
APART = 0.05
"""Of a share on the sphere."""
FULL = 4096
"""Pairs of a batch from which on the law of an infinite one is held to."""

_EXACT = "the amplitude equation, exact for Gaussian records, linear encoders and an infinite batch"
_SPHERE = "the law on the sphere"
_NOT_GAUSSIAN = "the record is no Gaussian: the equation is an idealisation"
_SMALL = "batches are small beside what the pairs share: the law is of an infinite batch"
_FEW = "pairs are few: the law is of the population"
_OTHER = {
    "one_way": "the population loss of one-way InfoNCE with Gaussian directions",
    "variational": "the population loss of InfoNCE with noise of variance 1 on both sides",
    "nt_xent": "as of InfoNCE: negatives of the own modality have the same spread where both sides agree",
    "sigmoid": "as of InfoNCE: both have the density ratio as optimum, but not within squared distances",
}
_LEARNED = "the law at the first temperature; this one is learned"
_SIZE = "the strongest directions fill the outputs, as far as linear readings go"
_FUNCTION = "functions of held directions compete with further ones; 0 where the first of one would raise the loss"
_LOSS = "above that of a constant; whether training, or the law, found the better representation"
_MIXED = "networks behind mixings: the law is of encoders without limits"


def predictions(spec: RunSpec) -> list[Row]:
    """Rows for every direction and metric of a run; bounded where the issue is settled by theory alone."""
    law = laws.expected(spec)
    rows = []
    for row in law.to_dict("records"):
        (factor,) = row["factors"]
        rows += [_row(spec, factor, "y", row["y"]), _row(spec, factor, "share", row["share"])]
        if factor != laws.PRIVATE:
            present = row["kept"] / row["multiplicity"]
            rows += [_row(spec, factor, metric, present) for metric in _probes(spec)]
    if not spec.n_private:
        rows += [_row(spec, laws.PRIVATE, "y", None), _row(spec, laws.PRIVATE, "share", None)]
    rows.append(_row(spec, "text_private", "y", law["y"].iloc[-1] if spec.n_private else None))
    rows.append(_row(spec, "image_other", "share", 0.0 if spec.encoders == "linear" else None))
    rows.append(_row(spec, "all", "temperature", _temperature(spec)))
    if spec.encoders == "deep":
        rows += [_row(spec, name, "share", value, why=_FUNCTION) for name, value in laws.functions(spec).items()]
        rows += [_row(spec, "all", name, None, why=_LOSS) for name in ("loss", "loss of the law")]
    return rows


def strength_by_factor(spec: RunSpec) -> dict[str, float]:
    """σ of each factor, for the table."""
    found = laws.directions(spec)
    return {factors[0]: sigma for factors, sigma in zip(found["factors"], found["strength"], strict=True)}


def _probes(spec: RunSpec) -> tuple[str, ...]:
    if spec.encoders == "linear":
        return ("r2_linear",) if spec.question == "pairs" else ()
    return ("r2_linear", "r2") if spec.n_values is None else ("matthews_linear", "matthews")


def _row(spec: RunSpec, factor: str, metric: str, value: float | None, *, why: str | None = None) -> Row:
    low = high = None
    if metric == "y" and bounded(spec) == "amplitude" and value is not None and LEAST <= value < np.inf:
        low, high = value * (1 - WITHIN), value * (1 + WITHIN)
    if metric == "share" and bounded(spec) == "share" and value is not None and factor != "image_other":
        low, high = max(0.0, value - APART), min(1.0, value + APART)
    said = None if value is None or not np.isfinite(value) else float(value)
    return {
        "side": "image",
        "factor": factor,
        "metric": metric,
        "predicted_low": low,
        "predicted_high": high,
        "expected": said,
        "reason": why or reason(spec),
    }


def bounded(spec: RunSpec) -> str | None:
    """Whether a run's amplitudes or shares are held to the law: "amplitude", "share" or `None`."""
    plain = spec.encoders == "linear" and spec.objective == "info_nce" and spec.temperature_is == "fixed"
    if not plain or spec.batch_size < FULL or spec.n_pairs is not None:
        return None
    if spec.constraint == "unit":
        return "share"
    exact = spec.channel in EXACT_CHANNELS and spec.n_values is None
    return "amplitude" if exact and spec.constraint == "free" else None


def reason(spec: RunSpec) -> str:
    """Why the law should hold of a run, or why it need not."""
    if spec.encoders == "deep":
        return f"{_SIZE}; {_MIXED}"
    if spec.temperature_is == "learned":
        return _LEARNED
    if spec.n_pairs is not None:
        return _FEW
    said = _OTHER.get(spec.objective, _SPHERE if spec.constraint == "unit" else _EXACT)
    if spec.channel not in EXACT_CHANNELS or spec.n_values is not None:
        said = _NOT_GAUSSIAN
    return f"{said}; {_SMALL}" if spec.batch_size < FULL and spec.question != "objectives" else said


def _temperature(spec: RunSpec) -> float | None:
    """Where a learned temperature ends, as far as that follows: free outputs shrink with it, and β costs nothing."""
    if spec.temperature_is == "fixed":
        return spec.temperature
    if spec.objective == "variational":
        return None
    if spec.constraint == "free":
        return COLDEST if spec.bottleneck else None
    if spec.constraint == "standardized" and not spec.bottleneck:
        return 2 * spec.output_size / float(sum(laws.amplitude(1 - sigma) for sigma in spec.strengths))
    return None
