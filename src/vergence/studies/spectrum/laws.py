"""What theory says of a run's directions: their strengths, amplitudes, shares, and how many of them are kept.

Symmetric InfoNCE, NT-Xent and the sigmoid loss are held against `vergence.theory.kept`; one-way InfoNCE and the variational
form have population losses of their own, for Gaussian directions and any number of pairs:

- one-way, amplitudes a of the image and b of the text:
  (a² + b² - 2abσ)(1/τ + β) - ½ log(1 + 2b²/τ) - (a²/τ) / (1 + 2b²/τ);
- variational, noise of variance 1 on every output of both sides, penalty β KL = ½ β |μ - ν|², with s = 2/τ the noise's part:
  y (1 - σ)(1 + βτ/2) - ½ log(1 + s + y) - ½ (s + y) / (1 + s + y), which keeps a direction where
  (1 - σ)(1 + βτ/2) < ½/(1 + s) + ½/(1 + s)², so that weak ones go even without a bottleneck.
"""

from itertools import combinations
from math import inf, sqrt

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from vergence.studies.spectrum.spec import RunSpec
from vergence.theory import kept

PRIVATE = "image_private"


def directions(spec: RunSpec) -> pd.DataFrame:
    """Strength and multiplicity of each factor's linear directions, what no text can know of the image included."""
    k = spec.n_values
    rows = [
        {"factors": (name,), "strength": sigma * (1 - spec.mismatch), "multiplicity": 1 if k is None else k - 1}
        for name, sigma in zip(spec.space, spec.strengths, strict=True)
    ]
    if spec.n_private:
        rows.append({"factors": (PRIVATE,), "strength": 0.0, "multiplicity": spec.n_private})
    return pd.DataFrame(rows).assign(order=1)


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
    linear = directions(spec)
    linear = linear[[names[0] != PRIVATE for names in linear["factors"]]]
    single = [(name, sigma) for (name,), sigma in zip(linear["factors"], linear["strength"], strict=True)]
    rows = [{"factors": (name,), "strength": sigma**2} for name, sigma in single]
    rows += [{"factors": (a, b), "strength": s * t} for (a, s), (b, t) in combinations(single, 2)]
    second = pd.DataFrame(rows).assign(order=2, multiplicity=1)
    found = _kept(pd.concat([linear, second], ignore_index=True), spec)
    said = found.loc[found["order"] == 2, "kept"].to_numpy()
    excluded = {f"{name}²": bool(one == 0) for (name, _), one in zip(single, said, strict=False)}
    excluded["products"] = bool((said[len(single) :] == 0).all())
    return {name: 0.0 if out else None for name, out in excluded.items()}


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
        b = float(np.exp(log_text))
        a, spread = image(b), 1 + 2 * b**2
        return weight * (a**2 + b**2 - 2 * a * b * sigma) - np.log(spread) / 2 - a**2 / spread

    b = float(np.exp(minimize_scalar(loss, bounds=(-12, 6), method="bounded", options={"xatol": 1e-9}).x))
    return 2 * image(b) * b


def variational(sigma: float, bottleneck: float, temperature: float) -> float:
    """Y = 2a²/τ of the means of variational encoders whose noise has variance 1.

    Example:
        >>> round(variational(0.9, 0.0, 1.0), 3), variational(0.6, 0.0, 1.0)
        (5.854, 0.0)
    """
    noise = 2 / temperature
    total = amplitude((1 - sigma) * (1 + bottleneck * temperature / 2))
    return max(0.0, total - noise)


def amplitude(pull: float) -> float:
    """Y where ½/(1 + y) + ½/(1 + y)² equals a pull; 0 where the pull is 1 or more.

    Example:
        >>> amplitude(1.0), amplitude(0.0), round(amplitude(0.4), 4)
        (0.0, inf, 0.9056)
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
