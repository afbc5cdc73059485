"""The registry of metrics: what each promises. The common test holds them to it, and docs/metrics.md repeats it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from types import MappingProxyType

import torch
from torch import Tensor

from vergence import metrics

EACH, BOTH, NO = "each", "both", "no"  # invariant to an own change of each side, to one change of both, to neither
NEARLY = "both, nearly"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One metric of paired representations, or of the first alone."""

    measure: Callable[[Tensor, Tensor], float]
    lowest: float
    highest: float
    better: str
    scale: str = NO
    rotation: str = NO
    shift: str = NO
    order: bool = True  # whether the order of the pairs is of no account
    swap: bool = False
    one_sided: bool = False
    takes_arrays: bool = True  # whether `measure` hands on its arguments as they come
    full_rank: bool = False  # whether data of lower rank are refused
    equal: float | None = None  # the value of two equal representations
    constant: float | None = None  # the value where the first does not vary
    cost: str
    source: str


def views(n: int = 100, dim: int = 5, *, seed: int = 0, noise: float = 1.0) -> tuple[Tensor, Tensor]:
    """Two noisy views of the same items, off-centre and of different scale per dimension."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, dim, generator=g, dtype=torch.float64) * torch.linspace(0.5, 2, dim, dtype=torch.float64) + 0.3
    return x, x + noise * torch.randn(n, dim, generator=g, dtype=torch.float64) + 0.2


def _factor_information(x: Tensor, y: Tensor) -> float:
    classes = torch.arange(x.shape[1], device=x.device)
    return metrics.factor_information(x.argmax(1), torch.log_softmax(y.double(), dim=1), classes=classes).nats


def _gaussian_information(x: Tensor, y: Tensor) -> float:
    return metrics.gaussian_information(torch.cat([x, y], dim=1).double().T.cov(), dim_x=x.shape[1]).nats


_KERNEL = {"scale": EACH, "rotation": EACH, "shift": EACH, "swap": True, "equal": 1.0, "constant": 0.0}
_NEAR = {"scale": EACH, "rotation": EACH, "swap": True, "equal": 1.0, "cost": "n² d; one block of rows"}
_HIGHER, _LOWER = "higher", "lower"

CASES: Mapping[str, Case] = MappingProxyType(
    {
        "cka": Case(
            measure=metrics.cka, lowest=0, highest=1, better=_HIGHER, cost="n d²", source="[kornblith2019]", **_KERNEL
        ),
        "cka(unbiased=True)": Case(
            measure=partial(metrics.cka, unbiased=True),
            lowest=-1,
            highest=1,
            better=_HIGHER,
            cost="n d²; streamed by `CKA`",
            source="[song2012]",
            **_KERNEL,
        ),
        'cka(kernel="rbf")': Case(
            measure=partial(metrics.cka, kernel="rbf"),
            lowest=0,
            highest=1,
            better=_HIGHER,
            cost="n² d; one block of rows",
            source="[kornblith2019]",
            **_KERNEL,
        ),
        "mutual_knn": Case(
            measure=metrics.mutual_knn, lowest=0, highest=1, better=_HIGHER, source="[huh2024]", **_NEAR
        ),
        "cknna": Case(
            measure=metrics.cknna,
            lowest=-1,
            highest=1,
            better=_HIGHER,
            constant=0.0,
            source="[huh2024]",
            **_NEAR,
        ),
        "svcca": Case(
            measure=metrics.svcca, lowest=0, highest=1, better=_HIGHER, cost="n d²", source="[raghu2017]", **_KERNEL
        ),
        "procrustes": Case(
            measure=metrics.procrustes, lowest=0, highest=1, better=_HIGHER, cost="n d²", source="[ding2021]", **_KERNEL
        ),
        "centroid_distance": Case(
            measure=metrics.centroid_distance,
            lowest=0,
            highest=inf,
            better=_LOWER,
            rotation=BOTH,
            shift=BOTH,
            swap=True,
            equal=0.0,
            cost="n d",
            source="[liang2022]",
        ),
        "relative_gap": Case(
            measure=metrics.relative_gap,
            lowest=0,
            highest=inf,
            better=_LOWER,
            scale=BOTH,
            rotation=BOTH,
            shift=BOTH,
            swap=True,
            equal=0.0,
            cost="n d",
            source="this library",
        ),
        "linear_separability": Case(
            measure=metrics.linear_separability,
            lowest=0,
            highest=1,
            better="0.5: no gap",
            order=False,
            scale=BOTH,
            rotation=NEARLY,
            shift=BOTH,
            swap=True,
            cost="5 logistic fits",
            source="this library",
        ),
        "pair_distance": Case(
            measure=metrics.pair_distance,
            lowest=0,
            highest=4,
            better=_LOWER,
            scale=EACH,
            rotation=BOTH,
            swap=True,
            equal=0.0,
            cost="n d",
            source="[wang2020]",
        ),
        "uniformity": Case(
            measure=lambda x, _: metrics.uniformity(x),
            lowest=-8,
            highest=0,
            better=_LOWER,
            scale=EACH,
            rotation=EACH,
            one_sided=True,
            constant=0.0,
            cost="n² d; one block of rows",
            source="[wang2020]",
        ),
        "effective_rank": Case(
            measure=lambda x, _: metrics.effective_rank(x),
            lowest=0,
            highest=inf,
            better="neither",
            scale=EACH,
            rotation=EACH,
            shift=EACH,
            one_sided=True,
            constant=0.0,
            cost="n d²",
            source="[roy2007]",
        ),
        "r2_score": Case(
            measure=lambda x, y: float(metrics.r2_score(x, y).mean()),
            lowest=-inf,
            highest=1,
            better=_HIGHER,
            scale=BOTH,
            shift=BOTH,
            equal=1.0,
            constant=0.0,
            cost="n d",
            source="[cai2025]",
        ),
        "matthews_corrcoef": Case(
            measure=lambda x, y: metrics.matthews_corrcoef(x.argmax(1), y.argmax(1)),
            takes_arrays=False,
            lowest=-1,
            highest=1,
            better=_HIGHER,
            scale=EACH,
            swap=True,
            equal=1.0,
            constant=0.0,
            cost="n · classes",
            source="[gorodkin2004]",
        ),
        "mean_corr_coef": Case(
            measure=metrics.mean_corr_coef,
            lowest=0,
            highest=1,
            better=_HIGHER,
            scale=EACH,
            shift=EACH,
            swap=True,
            equal=1.0,
            constant=0.0,
            cost="n d² + d³",
            source="[hyvarinen2016]",
        ),
        "factor_information": Case(
            measure=_factor_information,
            takes_arrays=False,
            lowest=-inf,
            highest=inf,
            better=_HIGHER,
            cost="n · classes",
            source="[almudevar2025]",
        ),
        "info_nce_bound": Case(
            measure=lambda x, y: metrics.info_nce_bound(x, y).nats,
            lowest=-inf,
            highest=inf,
            better=_HIGHER,
            scale=EACH,
            rotation=BOTH,
            swap=True,
            cost="n² d; one block of rows",
            source="[oord2018]",
        ),
        "gaussian_information": Case(
            measure=_gaussian_information,
            takes_arrays=False,
            full_rank=True,
            lowest=0,
            highest=inf,
            better=_HIGHER,
            scale=EACH,
            rotation=EACH,
            shift=EACH,
            swap=True,
            cost="d³",
            source="[cover2006]",
        ),
        "image_retrieval_recall@k": Case(
            measure=lambda x, y: metrics.retrieve(x, y).table()["image_retrieval_recall@1"],
            lowest=0,
            highest=1,
            better=_HIGHER,
            scale=EACH,
            rotation=BOTH,
            equal=1.0,
            cost="n² d; one block of texts",
            source="[radford2021]",
        ),
        "text_retrieval_median_rank": Case(
            measure=lambda x, y: metrics.retrieve(x, y).table()["text_retrieval_median_rank"],
            lowest=1,
            highest=inf,
            better=_LOWER,
            scale=EACH,
            rotation=BOTH,
            equal=1.0,
            cost="n² d; one block of texts",
            source="[radford2021]",
        ),
    }
)
