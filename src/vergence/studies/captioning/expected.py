r"""What generated captions must say of a factor, in closed form, given what training captions say of it.

A captioner that has learned its training captions says, at the place where a clause may come, that clause with the rate
$m$ at which they have it, and in it a value $v$ of an image that shows $s$ with $K(v|s)$. A reader that knows $s$ only
as $q(s)$ says $\sum_s q(s) K(v|s)$ instead. What a decoder makes of that:

- greedy says the clause if $m > 1/2$, and then the most probable value: the mode of both;
- nucleus sampling first drops what is beyond the share $p$, and draws from the rest;
- sampling draws: it copies the channel.

A beam that weighs lengths, as is usual, compares captions by what they say of everything else, too: of it nothing is
said here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vergence.channels import Redraw
from vergence.factors import Factor

GREEDY, BEAM, NUCLEUS, SAMPLE = "greedy", "beam", "nucleus", "sample"
DECODERS = (GREEDY, NUCLEUS, SAMPLE)
"""Those of which something is predicted."""
NUCLEUS_SHARE = 0.9
_EXACT = 1e-9


@dataclass(frozen=True)
class Said:
    """What captions say of a factor where an image has a value of it.

    Args:
        mentioned: Share that state a value.
        precision: Share of these that state the right one; NaN if none does.
    """

    mentioned: float
    precision: float


def expected(factor: Factor, mention: float, redraw: float, decoder: str) -> Said:
    """What a decoder says of a factor, if the captioner knows what the image shows and has learned its captions.

    Args:
        factor: A discrete factor, its values equally frequent.
        mention: How often training captions state it.
        redraw: How often they then state a value drawn uniformly.
        decoder: One of `DECODERS`.

    Returns:
        NaN where two things are equally probable, which decides nothing.

    Example:
        >>> tone = Factor("tone", ("light", "medium", "dark"))
        >>> expected(tone, 1.0, 0.5, "greedy"), expected(tone, 0.3, 0.0, "greedy").mentioned
        (Said(mentioned=1.0, precision=1.0), 0.0)
        >>> round(expected(tone, 0.6, 0.5, "sample").precision, 3)
        0.667
    """
    column = value_column(len(factor.values or ()), redraw)
    return Said(_mentioned(mention, decoder), _precision(column, decoder) if mention else np.nan)


def through_reader(factor: Factor, redraw: float, decoder: str, *, faithful: float) -> float:
    """The share of right values that a captioner states which reads images as one of faithful captions does.

    The mode of what is said stays what the reader takes for most probable, for every redraw below 1; a draw is the
    reader's, or with the redraw's probability any value.

    Args:
        factor: A discrete factor.
        redraw: How often training captions state a value drawn uniformly.
        decoder: One of `DECODERS`.
        faithful: The share that the same decoder states rightly after faithful captions.

    Example:
        >>> round(through_reader(Factor("tone", ("light", "dark")), 0.5, "sample", faithful=0.8), 9)
        0.65
    """
    k = len(factor.values or ())
    if redraw == 0 or decoder == GREEDY:
        return 1 / k if redraw == 1 else faithful
    column = value_column(k, redraw)
    if decoder == NUCLEUS:  # of a sure reader; one that is not sure loses more values, and so less than this
        column = truncated(column, NUCLEUS_SHARE)
    return float(faithful * column[0] + (1 - faithful) * (1 - column[0]) / max(k - 1, 1))


def value_column(k: int, redraw: float) -> Float[np.ndarray, " k"]:
    """How probable each value is to be stated, the one shown first.

    Example:
        >>> value_column(2, 0.5).tolist()
        [0.75, 0.25]
    """
    names = Factor("values", tuple(map(str, range(max(k, 2)))))
    return np.array(Redraw(redraw).table(names))[:, 0]


def truncated(probabilities: Float[np.ndarray, " k"], share: float) -> Float[np.ndarray, " k"]:
    """What nucleus sampling draws from: the most probable ones that have at least a share together.

    Example:
        >>> truncated(np.array([0.7, 0.25, 0.05]), 0.9).round(3).tolist()
        [0.737, 0.263, 0.0]
    """
    order = np.argsort(-probabilities, kind="stable")
    before = np.cumsum(probabilities[order]) - probabilities[order]
    kept = np.zeros(len(probabilities), dtype=bool)
    kept[order[before < share - _EXACT]] = True
    found: Float[np.ndarray, " k"] = np.where(kept, probabilities, 0) / probabilities[kept].sum()
    return found


def _mentioned(mention: float, decoder: str) -> float:
    if mention in (0.0, 1.0) or decoder == SAMPLE:
        return mention
    if decoder == NUCLEUS:
        return float(truncated(np.array([mention, 1 - mention]), NUCLEUS_SHARE)[0])
    return np.nan if abs(mention - 0.5) < _EXACT else float(mention > 0.5)


def _precision(column: Float[np.ndarray, " k"], decoder: str) -> float:
    if decoder == GREEDY:
        return 1.0 if column[0] > column[1] + _EXACT else np.nan
    return float(column[0] if decoder == SAMPLE else truncated(column, NUCLEUS_SHARE)[0])


def rates(mention: Mapping[str, float], redraw: Mapping[str, float], factor: str) -> tuple[float, float]:
    """Of a factor, how often captions state it, and how often they then draw its value."""
    return mention.get(factor, 0.0), redraw.get(factor, 0.0)
