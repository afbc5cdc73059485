"""What a representation captures and how well two of them align: tensors or NumPy arrays in, numbers out."""

from vergence.metrics.identifiability import matthews_corrcoef, r2_score
from vergence.metrics.intervals import Interval, cluster_bootstrap
from vergence.metrics.linear import FittedLogistic, FittedRidge, Logistic, Ridge

__all__ = [
    "FittedLogistic",
    "FittedRidge",
    "Interval",
    "Logistic",
    "Ridge",
    "cluster_bootstrap",
    "matthews_corrcoef",
    "r2_score",
]
