"""What the study knows before it trains: rates estimated from captions and image labels alone, and what follows."""

import math
import re
from typing import Any

import pandas as pd
import torch

from vergence.corpus import BiasEstimate, Concept, Group, Lexicon, estimate_misalignment, forecast
from vergence.corpus.forecast import THROUGH_OTHERS
from vergence.data import STYLE, Policy
from vergence.factors import FactorSpace
from vergence.misalignment import Misalignment
from vergence.probes import oracle_scores
from vergence.studies.demo.corpus import Corpus
from vergence.studies.demo.training import halves
from vergence.studies.forecast.spec import Scale, injected

Record = dict[str, Any]


def lexicon_of(space: FactorSpace) -> Lexicon:
    """The phrases of rendered captions; one within a longer one, as "person" in "person role", does not count there."""
    phrases = {factor: [STYLE.word(factor.name, value) for value in factor.values or ()] for factor in space.factors}
    known = [phrase for own in phrases.values() for phrase in own]

    def concept(value: str, phrase: str) -> Concept:
        whole = re.compile(rf"\b{re.escape(phrase)}\b")
        return Concept(value, (phrase,), tuple(other for other in known if other != phrase and whole.search(other)))

    groups = (Group(factor.name, tuple(map(concept, factor.values or (), own))) for factor, own in phrases.items())
    return Lexicon("the embedded set", tuple(groups))


def audit_setting(corpus: Corpus, captions: list[str], policy: Policy, scale: Scale) -> Record:
    """Audit the training captions as text, and forecast.

    Args:
        corpus: Whose labels say what the images show.
        captions: One for each image.
        policy: What was injected; only compared with, after the estimate.
        scale: Which sizes are trained.

    Returns:
        As JSON can hold it: the estimate, what of it was injected, the size of the unbiased block, the output sizes and
        the statements for each, those without a size first.
    """
    emoji, rows = corpus.emoji, corpus.train
    estimate = estimate_misalignment(
        [captions[row] for row in rows],
        emoji.labels.iloc[rows].reset_index(drop=True),
        lexicon_of(emoji.space),
        clusters=emoji.clusters[rows],
    )
    block = estimate.to_misalignment().unbiased
    sizes = scale.sizes(len(block))
    told = _told(corpus, block)
    statements = []
    for size in (None, *sizes):
        for row in forecast(estimate, encoding_size=size).to_dict("records"):
            through = row["statement"] == THROUGH_OTHERS
            statements.append({"encoding_size": size, **row, "told": told[row["factor"]] if through else 0.0})
    return {
        "estimate": _json(estimate.factors),
        "recovered": _recovered(estimate, policy),
        "block": len(block),
        "sizes": list(sizes),
        "statements": statements,
    }


def _told(corpus: Corpus, block: frozenset[str]) -> dict[str, float]:
    """What the block's true values tell of the other factors on unseen concepts."""
    fit, test = halves(corpus, torch.zeros(len(corpus.emoji), 0))
    return oracle_scores(fit, test, corpus.emoji.space, Misalignment(block))


def _recovered(estimate: BiasEstimate, policy: Policy) -> list[Record]:
    """Estimated beside injected rates of the factors that were tampered with; a rate of nothing cannot be estimated."""
    rows = []
    for row in _json(estimate.factors):
        rates = dict(zip(("selection", "rho"), injected(policy, row["factor"]), strict=True))
        if rates == {"selection": 1.0, "rho": 0.0}:
            continue
        for rate, truth in rates.items():
            if row[rate] is not None:
                low, high = row[f"{rate}_low"], row[f"{rate}_high"]
                found = {"estimate": row[rate], "low": low, "high": high, "covered": low <= truth <= high}
                rows.append({"factor": row["factor"], "rate": rate, "injected": round(truth, 6), **found})
    return rows


def _json(frame: pd.DataFrame) -> list[Record]:
    return [
        {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
        for row in frame.astype(object).to_dict("records")
    ]
