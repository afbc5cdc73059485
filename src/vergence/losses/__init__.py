"""Contrastive losses, bottlenecks and the objective that weighs them."""

from vergence.losses.bottleneck import alignment_penalty
from vergence.losses.contrastive import info_nce
from vergence.losses.objective import LossParts, Objective, WeightedTerm
from vergence.losses.standardize import Standardize, standardize
from vergence.losses.temperature import LearnedScalar, LearnedTemperature

__all__ = [
    "LearnedScalar",
    "LearnedTemperature",
    "LossParts",
    "Objective",
    "Standardize",
    "WeightedTerm",
    "alignment_penalty",
    "info_nce",
    "standardize",
]
