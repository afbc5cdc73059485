"""What theory says of a run's directions: their strengths, amplitudes, shares, and how many of them are kept.

Symmetric InfoNCE, NT-Xent and the sigmoid loss are held against `vergence.theory.kept`; one-way InfoNCE and the
variational form have population losses of their own, for Gaussian directions and an infinite batch:

- one-way, amplitudes a of the image and b of the text:
  (a² + b² - 2abσ)(1/τ + β) - ½ log(1 + 2b²/τ) - (a²/τ) / (1 + 2b²/τ);
- variational, noise of variance 1 on every output of both sides and penalty β KL = ½ β |μ - ν|², with s = 2/τ of the
  noise: y (1 - σ)(1 + βτ/2) - ½ log(1 + s + y) - ½ (s + y) / (1 + s + y), which keeps a direction where
  (1 - σ)(1 + βτ/2) < ½/(1 + s) + ½/(1 + s)², so that weak ones go even without a bottleneck.
"""

from math import exp, inf, log, sqrt

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from vergence.studies.spectrum.spec import RunSpec
from vergence.theory import kept, spectrum

PRIVATE = "image_private"


def directions(spec: RunSpec) -> pd.DataFrame:
    """`spectrum` of a run's texts, each factor's linear directions, and what no text can know of the image."""
    rows = spectrum(spec.misalignment, spec.space, mismatch=spec.mismatch)
    if not spec.n_private:
        return rows
    own = {"factors": (PRIVATE,), "order": 1, "strength": 0.0, "multiplicity": spec.n_private}
    return pd.concat([rows, pd.DataFrame([own])], ignore_index=True)


def expected(spec: RunSpec) -> pd.DataFrame:
    """The rows of `directions` with `y`, `share` and `kept`, for the run's objective and constraint."""
    rows = directions(spec)
    if spec.objective == "one_way":
        return _shared_out(rows, [one_way(sigma, spec.bottleneck, spec.temperature) for sigma in rows["strength"]])
    if spec.objective == "variational":
        return _shared_out(rows, [variational(sigma, spec.bottleneck, spec.temperature) for sigma in rows["strength"]])
    return _kept(rows, spec)


def functions(spec: RunSpec) -> dict[str, float | None]:
    """Share of squares and products of continuous factors: 0 where the law excludes them, `None` where it is silent."""
    if spec.n_values is not None:
        return {}
    rows = spectrum(spec.misalignment, spec.space, mismatch=spec.mismatch, order=2)
    found = _kept(rows, spec)
    found = found[found["order"] == 2]
    silent = {names for names, held in zip(found["factors"], found["kept"], strict=True) if held != 0}
    said: dict[str, float | None] = {f"{name}²": None if (name,) in silent else 0.0 for name in spec.space}
    return {**said, "products": None if any(len(names) > 1 for names in silent) else 0.0}


def one_way(sigma: float, bottleneck: float, temperature: float) -> float:
    """Y = 2ab/τ of one-way InfoNCE on squared distances: σ / (1 - σ²) without a bottleneck.

    Example:
        >>> round(one_way(0.6, 0.0, 1.0), 4), one_way(0.3, 0.5, 1.0)
        (0.9375, 0.0)
    """
    if sigma == 1:
        return inf
    weight = 1 + bottleneck * temperature
    if bottleneck == 0:
        return sigma / (1 - sigma**2)
    if sigma <= 1 - 1 / weight:
        return 0.0

    def image(text: float) -> float:  # the best amplitude of the image; both in units of √τ
        return text * sigma * weight / (weight - 1 / (1 + 2 * text**2))

    def loss(log_text: float) -> float:
        b = exp(log_text)
        a, spread = image(b), 1 + 2 * b**2
        return weight * (a**2 + b**2 - 2 * a * b * sigma) - log(spread) / 2 - a**2 / spread

    found = exp(minimize_scalar(loss, bounds=(-12, 6), method="bounded", options={"xatol": 1e-9}).x)
    return 2 * image(found) * found


def variational(sigma: float, bottleneck: float, temperature: float) -> float:
    """Y = 2a²/τ of the means of variational encoders whose noise has variance 1.

    Example:
        >>> round(variational(0.9, 0.0, 1.0), 3), variational(0.6, 0.0, 1.0)
        (2.854, 0.0)
    """
    noise = 2 / temperature
    total = amplitude((1 - sigma) * (1 + bottleneck * temperature / 2))
    return max(0.0, total - noise)


def amplitude(pull: float) -> float:
    """Y where ½/(1 + y) + ½/(1 + y)² equals a pull; 0 where the pull is 1 or more.

    Example:
        >>> amplitude(1.0), amplitude(0.0), round(amplitude(0.4), 4)
        (0.0, inf, 0.9059)
    """
    if pull >= 1:
        return 0.0
    return inf if pull <= 0 else 1 / (sqrt(0.25 + 2 * pull) - 0.5) - 1


def _shared_out(rows: pd.DataFrame, y: list[float]) -> pd.DataFrame:
    total = rows["multiplicity"] * np.array(y)
    share = total / total.sum() if np.isfinite(total).all() and total.sum() > 0 else np.nan * total
    return rows.assign(y=y, share=share, kept=rows["multiplicity"].where(np.array(y) > 0, 0).astype(float))


def _kept(rows: pd.DataFrame, spec: RunSpec) -> pd.DataFrame:
    unit = spec.constraint == "unit"
    return kept(
        rows,
        encoding_size=spec.output_size,
        bottleneck=spec.bottleneck,
        temperature=spec.temperature / (2 if unit else 1),
        constraint=spec.constraint,
    )
