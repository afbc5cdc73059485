"""What a representation captures and how well two of them align: tensors or NumPy arrays in, numbers out."""

from vergence.metrics.alignment import CKA, cka, procrustes, svcca
from vergence.metrics.gap import (
    ModalityGap,
    centroid_distance,
    effective_rank,
    linear_separability,
    modality_gap,
    pair_distance,
    relative_gap,
    uniformity,
)
from vergence.metrics.identifiability import matthews_corrcoef, r2_score
from vergence.metrics.intervals import Interval, cluster_bootstrap
from vergence.metrics.linear import FittedLogistic, FittedRidge, Logistic, Ridge
from vergence.metrics.neighbours import cknna, mutual_knn
from vergence.metrics.null import Null, exchange_null, permutation_null
from vergence.metrics.retrieval import Ranks, Retrieval, retrieval

__all__ = [
    "CKA",
    "FittedLogistic",
    "FittedRidge",
    "Interval",
    "Logistic",
    "ModalityGap",
    "Null",
    "Ranks",
    "Retrieval",
    "Ridge",
    "centroid_distance",
    "cka",
    "cknna",
    "cluster_bootstrap",
    "effective_rank",
    "exchange_null",
    "linear_separability",
    "matthews_corrcoef",
    "modality_gap",
    "mutual_knn",
    "pair_distance",
    "permutation_null",
    "procrustes",
    "r2_score",
    "relative_gap",
    "retrieval",
    "svcca",
    "uniformity",
]
