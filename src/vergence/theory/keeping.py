"""Which directions of a spectrum the outputs of an encoder hold, and how far apart they are drawn along each."""

from collections.abc import Mapping, Sequence
from math import nan

import numpy as np
import pandas as pd

from vergence.checks import at_least, non_negative, one_of, positive
from vergence.errors import ConfigError
from vergence.theory import amplitudes

CONSTRAINTS = ("free", "unit", "standardized")
_EQUAL = 1e-9
_NEEDED = ("factors", "order", "strength", "multiplicity")


def kept(
    spectrum: pd.DataFrame,
    *,
    encoding_size: int,
    bottleneck: float = 0.0,
    temperature: float = 1.0,
    constraint: str = "free",
) -> pd.DataFrame:
    r"""What n outputs of each side hold of a spectrum, trained with symmetric InfoNCE on an infinite batch.

    Directions of order 1 count as independent Gaussians. The n strongest are held, equal ones at the edge by their
    expected share, as far as they are stronger than `threshold(bottleneck, temperature)`. Their amplitudes minimise the
    loss of `vergence.theory.amplitudes`:

    - "free": outputs of any scale, logits $-\lVert a - b\rVert^2/\tau$, so that
      $(1 - \sigma)(1 + \beta\tau) = \tfrac12/(1 + y) + \tfrac12/(1 + y)^2$;
    - "standardized": the same logits, outputs of unit variance: the same with a multiplier λ on the left and
      $\sum y = 2n/\tau$, since a rotation gives any covariance of trace n equal variances (Schur and Horn);
    - "unit": unit vectors, logits $\cos/\tau$: a law on the sphere, found numerically; the penalty acts on them too.

    Directions of higher order are functions of the others and compete with them for outputs. What is told of them is
    whether the loss falls when a further output begins to hold one (`slope` above 0). Where it does not, it is not
    held; where it does, whether it is depends on how far the encoders can bend: kept is NaN, as it is where a row does
    not say in which degree it is of each factor.

    Args:
        spectrum: Of `vergence.theory.spectrum`, or any table with factors, order, strength and multiplicity.
        encoding_size: Outputs of each side, n, at least 1.
        bottleneck: β, the weight of $E\lVert a - b\rVert^2$, at least 0.
        temperature: τ, above 0: that of the logits of the constraint.
        constraint: "free", "unit" or "standardized".

    Returns:
        The rows with kept (expected number of directions held, up to the multiplicity; NaN where it is not decided or
        the strength is not stated), y ($2a^2/\tau$ of each direction that is held; infinite where nothing bounds it;
        NaN on the sphere), share (of the variance of the outputs, 0 to 1), slope (fall of the loss per y at y = 0, with
        all others as they are; NaN on the sphere). `attrs` has threshold; nats, how far the loss falls below log B,
        which no batch of B pairs can exceed; and excess, B times what a batch of B adds to the loss, to first order
        (both NaN on the sphere).

    Raises:
        ConfigError: If an option is out of range, or the table lacks a column or has no row.

    Example:
        >>> rows = [(("shape",), 1, 0.9, 1), (("size",), 1, 0.6, 1), (("tone",), 1, 0.2, 1)]
        >>> table = pd.DataFrame(rows, columns=["factors", "order", "strength", "multiplicity"])
        >>> found = kept(table, encoding_size=3, bottleneck=0.5)  # the threshold is 1/3
        >>> found[["kept", "y"]].round(2).values.tolist()
        [[1.0, 3.14], [1.0, 0.42], [0.0, 0.0]]
    """
    at_least("encoding_size", encoding_size, 1)
    non_negative("bottleneck", bottleneck)
    positive("temperature", temperature)
    one_of("constraint", constraint, CONSTRAINTS)
    if missing := [name for name in _NEEDED if name not in spectrum]:
        raise ConfigError(f"a spectrum has columns {', '.join(_NEEDED)}; these are missing: {', '.join(missing)}")
    if not len(spectrum):
        raise ConfigError("a spectrum without a direction says nothing; got an empty table")
    least = amplitudes.threshold(bottleneck, temperature)
    table = spectrum.copy()
    sigma, counts = (table[name].to_numpy(dtype=float) for name in ("strength", "multiplicity"))
    plain = (table["order"] == 1).to_numpy() & ~np.isnan(sigma)
    stated = np.where(plain, sigma, 0.0)
    # A budget can leave something even for what is below the threshold of outputs of free scale.
    room = np.where(plain & ((constraint != "free") | (stated > least)), counts, 0.0)
    held = strongest(stated, room, float(encoding_size))
    costs = (1 - stated) * (1 + bottleneck * temperature)
    multiplier = 0.0
    if constraint == "unit":
        shares = _on_sphere(stated, held, bottleneck, temperature)
        y, slope = np.full(len(table), nan), np.full(len(table), nan)
        held = np.where(shares > 0, held, 0.0)
    else:
        y = amplitudes.free(costs)
        if constraint == "standardized" and held.any():
            y, multiplier = amplitudes.budgeted(costs, held, 2 * encoding_size / temperature)
        held = np.where(y > 0, held, 0.0)
        y = np.where(held > 0, y, 0.0)
        shares = _shares(held, y)
        slope = 1 - costs - multiplier
    columns = {"kept": held, "y": y, "share": shares, "slope": slope}
    columns = {name: np.where(plain, column, nan) for name, column in columns.items()}
    if constraint != "unit":
        of_factor: dict[str, list[float]] = {}
        for names, amplitude in zip(table["factors"][plain], y[plain], strict=True):
            of_factor.setdefault(names[0], []).append(float(amplitude))
        for place in np.flatnonzero(table["order"] > 1):
            gained = _gain_of_function(table.iloc[place], of_factor)
            one = gained - (1 - sigma[place]) * (1 + bottleneck * temperature) - multiplier
            columns["slope"][place] = one
            if one <= _EQUAL:  # of no use beside what is held
                for name in ("kept", "y", "share"):
                    columns[name][place] = 0.0
    table = table.assign(**columns)
    table.attrs["threshold"] = least
    on_sphere = constraint == "unit"
    table.attrs["nats"] = nan if on_sphere else float((held * amplitudes.gain(y, costs))[held > 0].sum())
    table.attrs["excess"] = nan if on_sphere else amplitudes.excess(y, stated, held)
    return table


def strongest(sigma: np.ndarray, room: np.ndarray, outputs: float) -> np.ndarray:
    """Of each row's directions (`room` of them), how many are among the strongest so many; equal ones share."""
    held, rounded = np.zeros(len(sigma)), np.round(sigma, 9)
    for strength in sorted(set(rounded[room > 0]), reverse=True):
        equal = (rounded == strength) & (room > 0)
        fits = min(1.0, outputs / room[equal].sum())
        held[equal] = room[equal] * fits
        outputs -= held[equal].sum()
        if outputs <= _EQUAL:
            break
    return held


def _shares(held: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of the variance; what is unbounded takes all."""
    spread = held * np.where(np.isinf(y).any(), np.isinf(y).astype(float), np.where(np.isinf(y), 0.0, y))
    return spread / spread.sum() if spread.sum() > 0 else spread


def _on_sphere(sigma: np.ndarray, held: np.ndarray, bottleneck: float, temperature: float) -> np.ndarray:
    order = np.argsort(-sigma, kind="stable")  # so that what is cut off is at the edge
    owners = np.repeat(order, np.ceil(held - _EQUAL).astype(int)[order])[: round(held.sum()) or 1]
    found = np.array(amplitudes.on_sphere(tuple(sigma[owners]), 1 / temperature + 2 * bottleneck, temperature))
    shares = np.bincount(owners, found, minlength=len(sigma))
    even = np.zeros(len(sigma))
    for place in np.flatnonzero(held > 0):  # equal rows at the edge share what their directions hold
        equal = np.abs(sigma - sigma[place]) <= _EQUAL
        even[place] = shares[equal].sum() * held[place] / held[equal].sum()
    return even


def _gain_of_function(row: pd.Series, of_factor: Mapping[str, Sequence[float]]) -> float:
    r"""What the loss gains per y at y = 0 by a product of Hermite polynomials of held directions, before its own cost.

    With $v_i = 1/(1 + y_i)$, what the loss compares with an image are texts that are normal about $(1 - v_i)$ times its
    own value with variance $v_i$; among those two values of the function differ by D in mean square, 2 if nothing is
    held, and the slope is $D/2 - (1 - \sigma)(1 + \beta\tau) - \lambda$. NaN where the row does not say of which
    directions it is a function: of factors with directions of several strengths, or of several in unequal degrees.
    """
    names = row["factors"]
    degree, rest = divmod(int(row["order"]), len(names))
    held = [of_factor.get(name, ()) for name in names]
    if rest or (degree > 1 and len(names) > 1) or any(len(one) != 1 for one in held):
        return nan
    middles, squares = 1.0, 1.0
    for (amplitude,) in held:
        width = 1 / (1 + amplitude)
        middles *= (1 - width) ** degree
        squares *= _mean_square(degree, (1 - width) ** 2 + width)
    return float((1 + squares) / 2 - middles)


def _mean_square(degree: int, variance: float) -> float:
    """Mean square of the normalised Hermite polynomial of a normal variable that has another variance than 1."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(degree + 1)
    values = np.polynomial.hermite_e.hermeval(nodes * variance**0.5, [0] * degree + [1])
    norm = np.prod(np.arange(1, degree + 1), dtype=float) * weights.sum()
    return float(weights @ values**2 / norm)
