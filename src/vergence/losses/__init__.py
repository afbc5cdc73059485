"""Contrastive losses, bottlenecks and the objective that weighs them."""

from vergence.losses.bottleneck import DiagonalGaussian, alignment_penalty, variational_bottleneck
from vergence.losses.cached import cached_backward
from vergence.losses.contrastive import info_nce, nt_xent, one_way_info_nce, sigmoid_loss
from vergence.losses.distance import l2_info_nce, lp_info_nce
from vergence.losses.entropy import align_max_entropy, neighbour_entropy
from vergence.losses.multimodal import all_pairs, one_versus_rest, over_pairs
from vergence.losses.objective import LossParts, Objective, OutputTerm, PosteriorTerm, Ramp, WeightedTerm
from vergence.losses.processes import gather_rows, process_count, process_rank, sum_over_processes
from vergence.losses.querywise import (
    HardNegatives,
    best_query,
    captioning_loss,
    hard_negatives,
    matching_loss,
    query_contrast,
    query_penalty,
    variational_query_penalty,
)
from vergence.losses.shares import share_of
from vergence.losses.standardize import Standardize, standardize
from vergence.losses.temperature import LearnedScalar, LearnedTemperature

__all__ = [
    "DiagonalGaussian",
    "HardNegatives",
    "LearnedScalar",
    "LearnedTemperature",
    "LossParts",
    "Objective",
    "OutputTerm",
    "PosteriorTerm",
    "Ramp",
    "Standardize",
    "WeightedTerm",
    "align_max_entropy",
    "alignment_penalty",
    "all_pairs",
    "best_query",
    "cached_backward",
    "captioning_loss",
    "gather_rows",
    "hard_negatives",
    "info_nce",
    "l2_info_nce",
    "lp_info_nce",
    "matching_loss",
    "neighbour_entropy",
    "nt_xent",
    "one_versus_rest",
    "one_way_info_nce",
    "over_pairs",
    "process_count",
    "process_rank",
    "query_contrast",
    "query_penalty",
    "share_of",
    "sigmoid_loss",
    "standardize",
    "sum_over_processes",
    "variational_bottleneck",
    "variational_query_penalty",
]
