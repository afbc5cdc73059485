"""Figures: a table in, a matplotlib figure out; nothing is shown and no global setting is changed."""

from vergence.plots.alignment import alignment_against_chance
from vergence.plots.forecast import forecast_beside_measurement
from vergence.plots.prediction import between_floor_and_ceiling, score_by_size
from vergence.plots.spectrum import directions_by_strength
from vergence.plots.style import svg

__all__ = [
    "alignment_against_chance",
    "between_floor_and_ceiling",
    "directions_by_strength",
    "forecast_beside_measurement",
    "score_by_size",
    "svg",
]
