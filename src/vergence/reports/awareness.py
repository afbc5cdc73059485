"""What a model is aware of, as files, and beside how often captions speak of it [cai2025]."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from vergence.corpus import wilson
from vergence.errors import CorpusError
from vergence.files import read_json
from vergence.probes.awareness import AwarenessTable
from vergence.probes.zeroshot import SCORES
from vergence.reports.page import Section, build_page, grid, prose

SEEN = 0.5
"""Of an F1: what counts as seen, if its interval is above what guessing gives."""
MOST_PAIRS = 12
"""On the page."""
FEWEST_IMAGES = 10
"""Of a group that the headline names, where there is one."""


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values; what is not a number is `None`."""
    return [
        {str(key): None if isinstance(value, float) and not np.isfinite(value) else value for key, value in row.items()}
        for row in table.to_dict("records")
    ]


def as_json(found: AwarenessTable) -> dict[str, Any]:
    """The groups with macro-F1 and its interval, and every concept."""
    groups = found.groups.rename(columns={"macro_f1_low": "low", "macro_f1_high": "high"})
    return {"groups": records(groups), "concepts": records(found.concepts)}


def as_clip_benchmark(found: AwarenessTable, *, model: str, dataset: str) -> list[dict[str, Any]]:
    """A record for each group in the form and by the names that CLIP_benchmark uses."""
    return [
        {
            "dataset": f"{dataset}/{row.group}",
            "model": model,
            "pretrained": model,
            "task": "zeroshot_classification",
            "metrics": {
                "acc1": row.acc1,
                "acc5": row.acc5,
                "mean_per_class_recall": row.mean_per_class_recall,
                "mean_average_precision": row.mean_average_precision,
            },
            "language": "en",
        }
        for row in found.groups.itertuples()
    ]


def with_coverage(concepts: pd.DataFrame, audit: Path) -> pd.DataFrame:
    """Concepts with the share of captions that mention each, and which of them belie the rule.

    Args:
        concepts: Of an `AwarenessTable`.
        audit: The folder of `vergence audit --out`, by the same lexicon.

    Returns:
        With the columns share, share_low, share_high, and standing: "mentioned, not seen", "hardly mentioned, seen",
        "neither", "both", or "" where there is no image. Mentioned are concepts at or above the median share of those
        with images.

    Raises:
        CorpusError: If the folder has no coverage, or one of other concepts.
    """
    content = read_json(audit / "coverage.json")
    if not isinstance(content, Mapping) or not isinstance(content.get("concepts"), list):
        raise CorpusError(f"{audit / 'coverage.json'} is no coverage; name the --out folder of vergence audit")
    shares = pd.DataFrame(content["concepts"])[["group", "concept", "share", "low", "high"]]
    joined = concepts.merge(
        shares.rename(columns={"low": "share_low", "high": "share_high"}), on=["group", "concept"], how="left"
    )
    if joined["share"].isna().any():
        strange = joined.loc[joined["share"].isna(), "concept"].iloc[0]
        raise CorpusError(f"{audit} has no coverage of {strange!r}; audit the captions with the same --lexicon")
    known = joined["support"] > 0
    often = joined["share"] >= joined.loc[known, "share"].median()
    seen = (joined["f1"] >= SEEN) & (joined["f1_low"] > joined["chance_f1"])
    names = np.select(
        [often & ~seen, ~often & seen, ~often & ~seen],
        ["mentioned, not seen", "hardly mentioned, seen", "neither"],
        "both",
    )
    return joined.assign(standing=np.where(known, names, ""))


def confused(found: AwarenessTable) -> pd.DataFrame:
    """Which concepts are taken for which others: group, shown, told, share, images; first what is surest to be common.

    They are in the order of the lower ends of Wilson's intervals of the shares, so that one image does not come first.
    """
    rows: list[tuple[str, str, str, float, float]] = []
    for group, table in found.confusion.items():
        support = found.concepts[found.concepts["group"] == group].set_index("concept")["support"]
        names, counts = list(table.columns), table.to_numpy()
        for one, other in zip(*np.nonzero(counts), strict=True):
            if one != other:
                images = float(counts[one, other])
                rows.append((group, names[one], names[other], images / support[names[one]], images))
    made = pd.DataFrame(rows, columns=["group", "shown", "told", "share", "images"])
    low, _ = wilson(made["images"].to_numpy(dtype=float), (made["images"] / made["share"]).to_numpy(dtype=float))
    return made.iloc[np.argsort(-low, kind="stable")].reset_index(drop=True)


def page(
    found: Mapping[str, AwarenessTable],
    *,
    examples: Mapping[tuple[str, str, str], Markup],
    about: Mapping[str, object],
    notes: Sequence[str],
    pictures: Sequence[Section] = (),
) -> str:
    """The page: groups by model, concepts, what is taken for what.

    Args:
        found: By what the page calls each model.
        examples: By group, shown and told, an image that the first model takes so.
        about: How it was made.
        notes: What the reader must know.
        pictures: Sections before the tables.
    """
    first, *_ = found.values()
    many = first.groups["images"] >= FEWEST_IMAGES
    best = (first.groups[many] if many.any() else first.groups).sort_values("macro_f1", ascending=False)
    headline = f"{best.iloc[0]['group']} is seen best (macro-F1 {best.iloc[0]['macro_f1']:.2f})" + (
        f", {best.iloc[-1]['group']} least ({best.iloc[-1]['macro_f1']:.2f})" if len(best) > 1 else ""
    )
    return build_page(
        kicker="vergence awareness",
        headline=headline[:1].upper() + headline[1:],
        lede=f"Zero-shot scores of {int((first.concepts['support'] > 0).sum())} concepts with images, in "
        f"{len(first.groups)} groups; within a group the nearest name wins.",
        claims=[],
        sections=[
            Section("Groups", _groups(found)),
            *pictures,
            Section("Taken for another", _pairs(confused(first), examples)),
            Section("Concepts", _concepts(found)),
        ],
        about=about,
        notes=notes,
    )


def _groups(found: Mapping[str, AwarenessTable]) -> Markup:
    rows = []
    for name, table in found.items():
        for row in records(table.groups.sort_values("macro_f1", ascending=False)):
            macro = _between(row["macro_f1"], row["macro_f1_low"], row["macro_f1_high"])
            others = (f"{row[one]:.2f}" for one in ("chance_macro_f1", "acc1", "mean_average_precision"))
            rows.append((row["group"], name, row["images"], macro, *others))
    headings = ("group", "model", "images", "macro-F1", "guessing", "accuracy", "mean AP")
    return grid(headings, rows, label="Groups", numbers=headings[2:])


def _concepts(found: Mapping[str, AwarenessTable]) -> Markup:
    rows = []
    for name, table in found.items():
        for row in records(table.concepts[table.concepts["support"] > 0]):
            scores = [_between(row[one], row[f"{one}_low"], row[f"{one}_high"]) for one in SCORES]
            rows.append((row["concept"], row["group"], name, row["support"], *scores, f"{row['chance_f1']:.2f}"))
    headings = ("concept", "group", "model", "images", "precision", "recall", "F1", "average precision", "guessing F1")
    return grid(headings, rows, label="Concepts", numbers=headings[3:])


def _pairs(pairs: pd.DataFrame, examples: Mapping[tuple[str, str, str], Markup]) -> Markup:
    if pairs.empty:
        return prose("No image is taken for another concept.")
    rows = [
        (row["shown"], row["told"], row["group"], f"{row['share']:.0%}",
         examples.get((row["group"], row["shown"], row["told"]), ""))
        for row in records(pairs.head(MOST_PAIRS))
    ]  # fmt: skip
    return grid(("shown", "taken for", "group", "of its images", "one of them"), rows, label="Pairs", numbers=())


def _between(value: float, low: float, high: float) -> str:
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"
