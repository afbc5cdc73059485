"""What a representation captures and how well two of them align: tensors or NumPy arrays in, numbers out."""

from vergence.metrics.alignment import CKA, cka, procrustes, svcca
from vergence.metrics.arithmetic import Arithmetic, arithmetic
from vergence.metrics.canonical import CanonicalSpectrum, Strength, canonical_spectrum
from vergence.metrics.captions import CaptionScore, bleu, caption_scores, cider, rouge_l, tokenize
from vergence.metrics.concepts import concepts_of
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
from vergence.metrics.identifiability import (
    BlockIdentifiability,
    block_identifiability,
    matthews_corrcoef,
    mean_corr_coef,
    r2_score,
)
from vergence.metrics.information import (
    Information,
    factor_information,
    factor_information_null,
    gaussian_information,
    info_nce_bound,
)
from vergence.metrics.intervals import Interval, cka_interval, cluster_bootstrap, share_interval
from vergence.metrics.kernel import FittedKernelRidge, KernelRidge, NystroemRidge
from vergence.metrics.linear import FittedLogistic, FittedRidge, Logistic, Ridge
from vergence.metrics.nearest import FittedNearestNeighbours, NearestNeighbours
from vergence.metrics.neighbours import cknna, mutual_knn
from vergence.metrics.neural import MLP, FittedMLP
from vergence.metrics.null import Null, exchange_null, permutation_null
from vergence.metrics.report import alignment_table
from vergence.metrics.retrieval import Ranks, Retrieval, retrieve
from vergence.metrics.robust import Eraser, GroupLogistic, equalised_odds_difference, group_accuracy
from vergence.metrics.size import EncodingSize, suggest_encoding_size

__all__ = [
    "CKA",
    "MLP",
    "Arithmetic",
    "BlockIdentifiability",
    "CanonicalSpectrum",
    "CaptionScore",
    "EncodingSize",
    "Eraser",
    "FittedKernelRidge",
    "FittedLogistic",
    "FittedMLP",
    "FittedNearestNeighbours",
    "FittedRidge",
    "GroupLogistic",
    "Information",
    "Interval",
    "KernelRidge",
    "Logistic",
    "ModalityGap",
    "NearestNeighbours",
    "Null",
    "NystroemRidge",
    "Ranks",
    "Retrieval",
    "Ridge",
    "Strength",
    "alignment_table",
    "arithmetic",
    "bleu",
    "block_identifiability",
    "canonical_spectrum",
    "caption_scores",
    "centroid_distance",
    "cider",
    "cka",
    "cka_interval",
    "cknna",
    "cluster_bootstrap",
    "concepts_of",
    "effective_rank",
    "equalised_odds_difference",
    "exchange_null",
    "factor_information",
    "factor_information_null",
    "gaussian_information",
    "group_accuracy",
    "info_nce_bound",
    "linear_separability",
    "matthews_corrcoef",
    "mean_corr_coef",
    "modality_gap",
    "mutual_knn",
    "pair_distance",
    "permutation_null",
    "procrustes",
    "r2_score",
    "relative_gap",
    "retrieve",
    "rouge_l",
    "share_interval",
    "suggest_encoding_size",
    "svcca",
    "tokenize",
    "uniformity",
]
