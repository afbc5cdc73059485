"""β, matching and the contrastive term in a captioner: each claim of the paper's tables, by the sign of a difference.

Source: [almudevar2025], image captioning on COCO. Runs that are compared share a seed: split, captions, first weights,
order and the caption that each image shows in each epoch; only the weight of a term differs.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from vergence.plots.awareness import intervals_by_name
from vergence.probes.robustness import Difference, paired_difference
from vergence.studies.captioning import pages
from vergence.studies.captioning.expected import GREEDY
from vergence.studies.captioning.measure import DEALT, NEAREST
from vergence.studies.captioning.spec import CPU, PAPER, SMOKE, CaptionRun, Images, Scale
from vergence.studies.captioning.study import CaptioningStudy
from vergence.studies.study import Claim, Drawing

SMALL, LARGE, MATCHING = 0.1, 1.0, 1.0

# Bounds of what must hold, set when one development training of another seed had been looked at while it ran. One of
# six epochs was scored afterwards; it led to a longer training and left these numbers as they were. A caption must
# state group, gender and tone rightly clearly more often than captions dealt at random do, and must not be worse than
# that of the most alike training image.
GROUP_ABOVE, GENDER_ABOVE, TONE_ABOVE = 0.3, 0.1, 0.1
CIDER_ABOVE = 0.0


@dataclass(frozen=True, kw_only=True)
class PaperClaim:
    """What the paper says one setting does against another.

    Args:
        words: In words.
        metric: What moves.
        after: The setting that is said to move it: β, weight of matching.
        before: Against which.
        sign: Which way.
    """

    words: str
    metric: str
    after: tuple[float, float]
    before: tuple[float, float]
    sign: Literal[-1, 1]


_RECALL = {"image": "image retrieval recall@1", "text": "text retrieval recall@1"}
PAPER_CLAIMS = (
    PaperClaim(words="β = .1 raises CIDEr", metric="cider_d", after=(SMALL, 0), before=(0, 0), sign=1),
    PaperClaim(words="β = .1 raises BLEU-4", metric="bleu_4", after=(SMALL, 0), before=(0, 0), sign=1),
    PaperClaim(words="β = .1 raises CKA", metric="cka", after=(SMALL, 0), before=(0, 0), sign=1),
    PaperClaim(words="β = .1 raises mutual k-NN", metric="mutual_knn@5", after=(SMALL, 0), before=(0, 0), sign=1),
    PaperClaim(words="β = .1 costs image retrieval", metric=_RECALL["image"], after=(SMALL, 0), before=(0, 0), sign=-1),
    PaperClaim(words="β = .1 costs text retrieval", metric=_RECALL["text"], after=(SMALL, 0), before=(0, 0), sign=-1),
    PaperClaim(words="β = 1 loses CIDEr", metric="cider_d", after=(LARGE, 0), before=(0, 0), sign=-1),
    PaperClaim(words="β = 1 loses BLEU-4", metric="bleu_4", after=(LARGE, 0), before=(0, 0), sign=-1),
    PaperClaim(words="β = 1 loses image retrieval", metric=_RECALL["image"], after=(LARGE, 0), before=(0, 0), sign=-1),
    PaperClaim(words="β = 1 raises CKA", metric="cka", after=(LARGE, 0), before=(0, 0), sign=1),
    PaperClaim(
        words="matching costs CIDEr against β = .1", metric="cider_d", after=(0, MATCHING), before=(SMALL, 0), sign=-1
    ),
    PaperClaim(
        words="β = .1 raises CIDEr with matching too", metric="cider_d", after=(SMALL, MATCHING), before=(0, MATCHING),
        sign=1,
    ),
    PaperClaim(
        words="β = .1 raises CKA with matching too", metric="cka", after=(SMALL, MATCHING), before=(0, MATCHING), sign=1
    ),
)  # fmt: skip


def runs_of(sized: Scale, seeds: int, images: Images) -> list[CaptionRun]:
    """β = 0 and .1 for every seed; β = 1, matching and no contrast for the first ones; seed by seed."""
    found = []
    for seed in range(seeds):
        base = CaptionRun(images=images, seed=seed, encoding_size=sized.encoding_size, budget=sized.budget)
        settings: list[dict[str, float]] = [{}, {"bottleneck": SMALL}]
        if seed < sized.seeds:
            settings += [{"bottleneck": LARGE}, {"contrast": 0.0}]
            settings += [{"matching": MATCHING}, {"matching": MATCHING, "bottleneck": SMALL}]
        found += [
            replace(base, **setting)  # type: ignore[arg-type]
            for setting in settings
        ]
    return found


def claims(table: pd.DataFrame) -> list[Claim]:
    """What captions state, against chance and baselines, with bounds; the paper's claims with a verdict each."""
    found = []
    for factor, least in (("group", GROUP_ABOVE), ("gender", GENDER_ABOVE), ("skin_tone", TONE_ABOVE)):
        above = _stated(table, factor, GREEDY) - _stated(table, factor, DEALT)
        found.append(
            Claim(
                statement=f"{factor.replace('_', ' ')} stated rightly by greedy captions of unseen concepts, above "
                "captions dealt at random, least over runs",
                measured=_least(above),
                at_least=least,
                where=_means(table, factor),
            )
        )
    for name, other in (
        ("the caption of the nearest training image", _score(table, "cider_d", NEAREST)),
        ("a captioner without the contrastive term", _score(table, "cider_d", GREEDY, contrast=0.0)),
    ):
        own = _score(table, "cider_d", GREEDY)
        difference = compare(own, other)
        found.append(
            Claim(
                statement=f"CIDEr-D of greedy captions less that of {name}, mean over seeds",
                measured=difference.mean if difference else None,
                at_least=CIDER_ABOVE,
                where=str(difference or ""),
            )
        )
    return found + [verdict_claim(table, one) for one in PAPER_CLAIMS]


def verdict_claim(table: pd.DataFrame, one: PaperClaim) -> Claim:
    """A claim of the paper as the table tells it: the difference, its interval, and what that says of the sign."""
    difference = difference_of(table, one)
    said = "" if difference is None else f"{verdict(difference, one.sign)}: {difference}"
    return Claim(statement=f"{one.words}: difference", measured=difference.mean if difference else None, where=said)


def verdict(difference: Difference, sign: Literal[-1, 1]) -> str:
    """What an interval says of a claimed sign: "agree", "disagree", or "undecided" if it holds 0 or there is none.

    Example:
        >>> verdict(Difference(mean=0.2, low=0.1, high=0.3, n=8), 1)
        'agree'
    """
    if not (np.isfinite(difference.low) and np.isfinite(difference.high)) or difference.low <= 0 <= difference.high:
        return "undecided"
    return "agree" if (difference.low > 0) == (sign > 0) else "disagree"


def difference_of(table: pd.DataFrame, one: PaperClaim) -> Difference | None:
    """The paired difference that a claim is about; `None` if no seed has both settings."""
    after, before = (
        _score(table, one.metric, GREEDY if one.metric in {"cider_d", "bleu_4"} else None, bottleneck=b, matching=m)
        for b, m in (one.after, one.before)
    )
    return compare(after, before)


def compare(after: "pd.Series[float]", before: "pd.Series[float]") -> Difference | None:
    """The mean difference of the seeds that both have."""
    both = pd.concat([after, before], axis=1, join="inner").dropna()
    return paired_difference(both.iloc[:, 0].to_numpy(), both.iloc[:, 1].to_numpy()) if len(both) else None


def figures(table: pd.DataFrame) -> dict[str, Drawing]:
    """Differences that the paper's claims are about, with their intervals."""
    rows = []
    for one in PAPER_CLAIMS:
        difference = difference_of(table, one)
        if difference is not None and np.isfinite(difference.low):
            scale = abs(_score(table, one.metric, None).mean()) or 1.0
            ends = {name: getattr(difference, name) / scale for name in ("low", "high")}
            rows.append(
                {"name": one.words, "value": difference.mean / scale, **ends, "said": verdict(difference, one.sign)}
            )
    if not rows:
        return {}
    names = {name: name for name in ("agree", "disagree", "undecided")}
    caption = (
        "What a setting changes, as a part of what the score is at β = 0, with 95 % intervals over paired seeds; by "
        "what they say of the paper's claim."
    )
    draw = [
        intervals_by_name(
            pd.DataFrame(rows), series="said", names=names, label="change, as a part of the score", layout=layout
        )
        for layout in ("wide", "narrow")
    ]
    return {"claims": Drawing(caption, draw[0], draw[1])}


def _score(
    table: pd.DataFrame,
    metric: str,
    decoder: str | None,
    *,
    bottleneck: float = 0.0,
    matching: float = 0.0,
    contrast: float = 1.0,
) -> "pd.Series[float]":
    """A score of one setting by seed."""
    if table.empty:
        return pd.Series(dtype=float)
    rows = table[
        (table["metric"] == metric)
        & (table["bottleneck"] == bottleneck)
        & (table["matching"] == matching)
        & (table["contrast"] == contrast)
    ]
    rows = rows if decoder is None else rows[rows["decoder"] == decoder]
    if decoder is None and "decoder" in rows and rows["decoder"].notna().any():
        rows = rows[rows["decoder"] == GREEDY]
    return rows.set_index("seed")["value"].astype(float)


def _stated(table: pd.DataFrame, factor: str, decoder: str) -> "pd.Series[float]":
    """By run, how often captions state the right value."""
    if table.empty:
        return pd.Series(dtype=float)
    rows = table[(table["metric"] == "recall") & (table["factor"] == factor) & (table["decoder"] == decoder)]
    return rows[rows["contrast"] > 0].set_index("run")["value"].astype(float)


def _means(table: pd.DataFrame, factor: str) -> str:
    said = {name: _stated(table, factor, name) for name in (GREEDY, DEALT, NEAREST)}
    known = {name: values.mean() for name, values in said.items() if len(values)}
    return ", ".join(f"{name} {value:.2f}" for name, value in known.items())


def _least(values: "pd.Series[float]") -> float | None:
    return float(values.min()) if len(values) and values.notna().all() else None


STUDY = CaptioningStudy(
    name="captioning-beta",
    description="the paper's tables of captioning: β, matching, and what captions of unseen concepts say",
    sized=(SMOKE, CPU, PAPER),
    runs_of=runs_of,
    claimed=claims,
    drawn=figures,
    opened=pages.beta,
)
