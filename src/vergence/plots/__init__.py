"""Figures: a table in, a matplotlib figure out; nothing is shown and no global setting is changed."""

from vergence.plots.alignment import alignment_against_chance
from vergence.plots.forecast import forecast_beside_measurement
from vergence.plots.prediction import measured_against_predicted, score_by_size
from vergence.plots.style import svg

__all__ = [
    "alignment_against_chance",
    "forecast_beside_measurement",
    "measured_against_predicted",
    "score_by_size",
    "svg",
]
