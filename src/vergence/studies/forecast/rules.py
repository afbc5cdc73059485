"""When a forecast is a hit and when a miss: fixed before the study was run, when only the demo's figures were known.

A forecast speaks of what captions teach; a probe measures what images show of it, through encoders and probes that have
limits of their own. So a score is not held against 1 and 0 but against what *faithful* captions teach of the same
factor at the largest size that is trained, the reference: the most that these images, encoders and probes give.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from types import MappingProxyType
from typing import Any

from vergence.corpus.forecast import CANNOT, IGNORED, LEARNED, MISSED, THROUGH_OTHERS

HIT, MISS, NO_NUMBER = "hit", "miss", "no number"

SHORT_OF_REFERENCE = 0.15
"""A factor that "will be learned" scores at most this much below the reference: by its score, since the reference is
measured on the same items and shares most of its error."""

SHARE_OF_REFERENCE = 0.35
"""A factor that "will be missed" keeps at most this share of the reference, beyond what other factors tell of it: by
the upper end of its interval, since that little is left has to be shown, not only not refuted."""

_TAUGHT, _UNTAUGHT = frozenset({LEARNED}), frozenset({CANNOT, MISSED, IGNORED, THROUGH_OTHERS})


@dataclass(frozen=True)
class Judgement:
    """What became of a statement.

    Args:
        outcome: "hit", "miss" or "no number".
        at_least: What the score had to reach; NaN if nothing.
        at_most: What the upper end of its interval had to stay at or below; NaN if nothing.
    """

    outcome: str = NO_NUMBER
    at_least: float = nan
    at_most: float = nan


def judge(statement: str, measured: Mapping[str, Any], *, reference: float, told: float = 0.0) -> Judgement:
    """Hold a statement against a measurement.

    Args:
        statement: Of a forecast.
        measured: The score and its interval: value, low, high; Matthews correlations in [-1, 1].
        reference: Score of the same factor under faithful captions at the largest size.
        told: Score of the best predictor from the factors of the unbiased block; only used where the statement says
            that a factor is learned through others.

    Returns:
        The outcome. There is no number if the statement names none, as "not determined" and "in part" do, or if the
        reference is so low that learned and missed cannot be told apart by it.

    Example:
        >>> judge(LEARNED, {"value": 0.7, "low": 0.6, "high": 0.8}, reference=0.8)
        Judgement(outcome='hit', at_least=0.65, at_most=nan)
        >>> judge(MISSED, {"value": 0.2, "low": 0.1, "high": 0.3}, reference=0.8)
        Judgement(outcome='miss', at_least=nan, at_most=0.28)
    """
    most = round(SHARE_OF_REFERENCE * reference + (max(told, 0.0) if statement == THROUGH_OTHERS else 0.0), 6)
    least = round(reference - SHORT_OF_REFERENCE, 6)
    if statement not in _TAUGHT | _UNTAUGHT or most >= least:
        return Judgement()
    if statement in _TAUGHT:
        return Judgement(HIT if measured["value"] >= least else MISS, at_least=least)
    return Judgement(HIT if measured["high"] <= most else MISS, at_most=most)


MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(sorted(_TAUGHT), f"score >= reference - {SHORT_OF_REFERENCE}"),
        CANNOT: f"upper end <= {SHARE_OF_REFERENCE} reference, at every size",
        MISSED: f"upper end <= {SHARE_OF_REFERENCE} reference",
        IGNORED: f"upper end <= {SHARE_OF_REFERENCE} reference",
        THROUGH_OTHERS: f"upper end <= what other factors tell + {SHARE_OF_REFERENCE} reference",
    }
)
"""What each statement was taken to mean, for the files of results."""
