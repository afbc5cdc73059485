"""Figures: a table in, a matplotlib figure out; nothing is shown and no global setting is changed."""

from vergence.plots.alignment import alignment_against_chance
from vergence.plots.prediction import measured_against_predicted, score_by_size
from vergence.plots.style import svg

__all__ = ["alignment_against_chance", "measured_against_predicted", "score_by_size", "svg"]
