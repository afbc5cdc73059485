"""Selection and perturbation bias, estimated from captions and labels of what their images show.

For each factor: how often captions say anything of it (selection), and how often what they say is another value than
the image's (perturbation), as observed, and as the probability ρ of a uniform redraw that would explain it:
wrong-value rate = ρ (1 − 1/k) for k values. Where no uniform redraw explains what captions say, ρ is not determined.
How strongly they speak of it, whatever they do to it, is in its `spectrum`: a swap that is always the same is strong, a
blind redraw weak. Errors of the lexicon and of a detector that labels the images are taken out in expectation, so a
corrected selection or wrong-value rate can leave [0, 1] by its error; its interval does not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from vergence.channels import Channel, Table, Unstated
from vergence.corpus.association import associations
from vergence.corpus.channel import said_by_shown
from vergence.corpus.errata import DetectorError, LexiconError
from vergence.corpus.lexicon import Group, Lexicon
from vergence.corpus.matching import Captions, compiled
from vergence.corpus.rates import RATES, Items, rates
from vergence.corpus.rows import caption_array, cluster_codes, label_codes
from vergence.corpus.strength import COLUMNS, rows_of, strengths, tables_of
from vergence.errors import ConfigError, FactorError, ShapeError, unknown
from vergence.factors import Factor, FactorSpace
from vergence.misalignment import Misalignment

NOT_ASSESSABLE = "not assessable without image labels"


@dataclass(frozen=True, eq=False)
class BiasEstimate:
    """Estimated selection and perturbation, by factor and by value.

    Args:
        factors: One row per factor: factor, values (k), images (rows with a label and a caption), clusters (how many
            independent ones), unlabelled (rows with a caption but no label), selection, wrong_value, rho, each of these
            three with _low and _high, and note: why a rate is NaN, as "not determined: the redraw is not uniform
            (p = 0.001)", or that there are no labels.
        values: The same by factor and value shown.
        tables: What captions say by what images show: factor, shown, said (a value, "(nothing)" or "(several)"),
            captions. A detector's errors are taken out, so that captions need not be whole numbers.
        dependence: Pairs of labelled factors: a, b, cramers_v (in [0, 1]) and p_value of independence.
        spectrum: How strongly captions speak of each labelled factor of two values or more, as
            `vergence.theory.spectrum` has it: factors, order, strength in [0, 1], multiplicity, low, high and how; a
            row for each of its k - 1 directions, the strongest first, for equal ones together.
        rows: How many rows were given.
        lost: Rows left out for want of a caption that can be used, by kind.
        level: Nominal coverage of the intervals.
    """

    factors: pd.DataFrame
    values: pd.DataFrame
    tables: pd.DataFrame
    dependence: pd.DataFrame
    spectrum: pd.DataFrame
    rows: int
    lost: Mapping[str, int] = field(default_factory=dict)
    level: float = 0.95

    @property
    def not_assessable(self) -> tuple[str, ...]:
        """Factors without image-side labels."""
        return tuple(self.factors.loc[self.factors["note"] == NOT_ASSESSABLE, "factor"])

    @property
    def space(self) -> FactorSpace:
        """The factors that are estimated, those with labels and more than one value, in the lexicon's order.

        Raises:
            FactorError: If there is none.
        """
        names = self.factors.loc[self._estimated(), "factor"]
        shown = self.tables.groupby("factor", sort=False)["shown"].unique()
        return FactorSpace(tuple(Factor(name, tuple(shown[name])) for name in names))

    @property
    def misalignment(self) -> Misalignment:
        """What captions say of the factors of `space`, by the estimates alone; their intervals stand in `factors`.

        How often they mention each, brought into [0, 1] where a correction left it; and as the channel the uniform
        redraw ρ where one explains what they say, otherwise the table of what is said by what is shown. Where captions
        are silent about a value, the channel is not stated.
        """
        known = self.factors[self._estimated()].set_index("factor")
        mention = {str(name): float(rate) for name, rate in known["selection"].clip(0, 1).items()}
        redraw = {str(name): float(rho) for name, rho in known["rho"].dropna().clip(0, 1).items()}
        channels = {name: self._channel(name) for name in mention if name not in redraw and mention[name] > 0}
        return Misalignment.of_rates(mention, redraw=redraw, channels=channels)

    def _estimated(self) -> pd.Series:
        known = self.factors["note"] != NOT_ASSESSABLE
        return known & (self.factors["values"] > 1) & self.factors["selection"].notna()

    def _channel(self, factor: str) -> Channel:
        cells = self.tables[self.tables["factor"] == factor]
        counts = cells.pivot_table(index="said", columns="shown", values="captions", sort=False)
        shown = list(dict.fromkeys(cells["shown"]))
        said = counts.reindex(index=shown, columns=shown).fillna(0).clip(lower=0)
        return Table(said / said.sum()) if (said.sum() > 0).all() and len(shown) > 1 else Unstated()


def estimate_misalignment(
    captions: Captions | Iterable[Any],
    labels: pd.DataFrame,
    lexicon: Lexicon,
    *,
    clusters: Iterable[Any] | None = None,
    lexicon_errors: Mapping[str, LexiconError] | None = None,
    detectors: Mapping[str, DetectorError] | None = None,
    match: str = "word",
    level: float = 0.95,
) -> BiasEstimate:
    r"""Estimate what captions omit and what they get wrong.

    Selection is $P(\text{some value mentioned} \mid \text{present})$, the wrong-value rate
    $P(\text{another value mentioned} \mid \text{present, some value mentioned})$. [cai2025] Sec. 3 names the factors
    for which they are above 0; differs: here they are rates. With a lexicon error given, a caption is taken to speak of
    one value at most.

    Variances are those of ratios of sums over clusters, linearised; limits without correction are Wilson's at the
    effective sample size, with Student's quantile for the number of clusters. Where the lexicon's error rates were
    themselves estimated, their variances are added by the delta method. Whether a uniform redraw explains the wrong
    values is tested at 0.01; where it is rejected, or where ρ would be above 1, ρ is not determined.

    Args:
        captions: One for each row of the labels; a row whose caption is null is left out and counted as lost.
        labels: A column per factor, named as the lexicon's group, holding names of its concepts; missing where the
            image shows no one value. With a detector, its labels. Other columns are left alone.
        lexicon: Groups are factors, concepts their values, as `lexicon_from_factors` makes it.
        clusters: Which rows belong together, such as captions of one image: one text or number for each row, none
            missing. Every row is its own if not given.
        lexicon_errors: By factor, the lexicon's error rates, to be taken out.
        detectors: By factor, the detector's error rates, to be taken out.
        match: "word" or "substring".
        level: Nominal coverage, in (0, 1).

    Returns:
        Rates with intervals. A group without a column of labels is listed as not assessable.

    Raises:
        ShapeError: If numbers of captions, labels and clusters differ.
        CorpusError: If a caption is no text, or a cluster is missing or cannot be compared.
        FactorError: If a label is no concept of its group, or an error rate is for a factor that is unknown or, for a
            detector, has no labels.
        ConfigError: If the level is not inside (0, 1).

    Example:
        >>> from vergence import Factor, FactorSpace
        >>> from vergence.corpus import lexicon_from_factors
        >>> space = FactorSpace((Factor("size", ("small", "big")), Factor("hue", ("red", "blue"))))
        >>> lexicon = lexicon_from_factors(space)
        >>> labels = pd.DataFrame({"size": ["small", "small", "big", "big"]})
        >>> estimate = estimate_misalignment(["a small cup", "cup", "small", "big"], labels, lexicon)
        >>> estimate.factors[["factor", "selection", "wrong_value", "rho"]].round(2).values.tolist()[0]
        ['size', 0.75, 0.33, 0.67]
        >>> estimate.not_assessable
        ('hue',)
    """
    if not 0 < level < 1:
        raise ConfigError(f"level must be inside (0, 1); got {level!r}")
    if not isinstance(labels, pd.DataFrame):
        raise ShapeError(f"labels must be a DataFrame with a column for each factor; got {type(labels).__name__}")
    texts = caption_array(captions)
    members = np.arange(len(labels)) if clusters is None else cluster_codes(clusters)
    if not len(texts) == len(labels) == len(members):
        raise ShapeError(
            f"each caption needs one row of labels and one cluster; got {len(texts)} captions, {len(labels)}"
            f" rows and {len(members)} clusters"
        )
    names = [group.name for group in lexicon.groups]
    for name in (*(lexicon_errors or {}), *(detectors or {})):
        if name not in names:
            raise FactorError(unknown("factor", name, names))
    mentions = compiled(lexicon, match).mentions(texts)
    found = np.zeros((len(labels), len(lexicon.concepts)), dtype=bool)
    found[mentions.captions, mentions.concepts] = True
    captioned = pc.is_valid(texts).to_numpy(zero_copy_only=False) if len(texts) else np.zeros(0, dtype=bool)
    factors, values, tables, directions, first, codes = [], [], [], [], 0, {}
    for group in lexicon.groups:
        columns = slice(first, first + len(group.concepts))
        first = columns.stop
        kinds = tuple(concept.name for concept in group.concepts)
        shown = label_codes(group.name, labels, kinds) if group.name in labels else np.full(len(labels), -1)
        known = captioned & (shown >= 0)
        counts = {"values": len(kinds), "images": int(known.sum()), "unlabelled": int((captioned & ~known).sum())}
        detector = (detectors or {}).get(group.name)
        if not known.any():
            if detector is not None:
                raise FactorError(f"errors of a detector are given for factor {group.name!r}, which has no labels")
            factors.append({"factor": group.name, **counts, "clusters": 0, "note": NOT_ASSESSABLE})
            continue
        codes[group.name] = np.where(known, shown, -1)
        error = (lexicon_errors or {}).get(group.name)
        items = _items(found[known, columns], shown[known], members[known], group, detector=detector, error=error)
        total, by_value = rates(items, kinds, level)
        factors.append({"factor": group.name, **counts, "clusters": len(np.unique(items.clusters)), **total})
        values += [{"factor": group.name, "value": value, **own} for value, own in by_value.items()]
        tables.append(said_by_shown(items.found, items.weights, kinds).assign(factor=group.name))
        if len(kinds) > 1:
            directions.append(rows_of(group.name, strengths(tables_of(items, kinds), level=level)))
    lost = int((~captioned).sum())
    none = pd.DataFrame(columns=["factor", "shown", "said", "captions"])
    return BiasEstimate(
        factors=pd.DataFrame(factors).reindex(columns=_FACTORS),
        values=pd.DataFrame(values, columns=["factor", "value", "images", *RATES, "note"]),
        tables=pd.concat(tables, ignore_index=True)[list(none)] if tables else none,
        dependence=associations(codes, members),
        spectrum=pd.concat(directions, ignore_index=True) if directions else pd.DataFrame(columns=list(COLUMNS)),
        rows=len(labels),
        lost={"null": lost} if lost else {},
        level=level,
    )


_FACTORS = ("factor", "values", "images", "clusters", "unlabelled", *RATES, "note")


def _items(
    found: np.ndarray,
    shown: np.ndarray,
    clusters: np.ndarray,
    group: Group,
    *,
    detector: DetectorError | None,
    error: LexiconError | None,
) -> Items:
    kinds = tuple(concept.name for concept in group.concepts)
    if detector is not None and detector.values != kinds:
        raise FactorError(f"detector of {group.name!r} knows {detector.values}, the lexicon {kinds}; use one order")
    return Items(
        found=found,
        shown=shown,
        weights=np.eye(len(kinds))[shown] if detector is None else detector.weights(shown),
        clusters=np.unique(clusters, return_inverse=True)[1],
        detected=detector is not None,
        shifts=np.zeros((0, len(kinds), len(kinds))) if detector is None else detector.shifts,
        error=error,
    )
