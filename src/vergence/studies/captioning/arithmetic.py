"""Arithmetic on a captioner's embeddings against alignment, β, output size and how often captions state the factor."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from vergence.metrics.arithmetic import METHODS
from vergence.metrics.trends import Trend, trend
from vergence.plots.directions import Axis
from vergence.plots.runs import runs_as_points
from vergence.studies.captioning import pages
from vergence.studies.captioning.channel import SETTINGS
from vergence.studies.captioning.measure import ARITHMETIC
from vergence.studies.captioning.spec import CPU, PAPER, SMOKE, CaptionRun, Images, Scale
from vergence.studies.captioning.study import FAITHFUL, CaptioningStudy
from vergence.studies.study import Claim, Drawing

BETAS, SIZES = (0.1, 1.0), (8, 128)
OWN, *BASELINES = METHODS
RECALL, ALIGNMENT = "arithmetic recall@1", "cka"

# Bounds, set before any run: the right image must come first more often than by chance and than by either half of the
# sum alone; what captions never state cannot be added.
ABOVE_CHANCE, ABOVE_BASELINE, NEVER_ADDS = 0.05, 0.0, 0.0


def runs_of(sized: Scale, seeds: int, images: Images) -> list[CaptionRun]:
    """Faithful captions at every β and size, and captions that state tone or gender at times or never; by seed."""
    smoke = sized.name == "smoke"
    found = []
    for seed in range(min(seeds, sized.seeds)):
        base = CaptionRun(images=images, seed=seed, encoding_size=sized.encoding_size, budget=sized.budget)
        found += [base, *(replace(base, bottleneck=beta) for beta in BETAS[: 1 if smoke else None])]
        if not smoke:
            found += [replace(base, encoding_size=size) for size in SIZES]
            found += [replace(base, **setting) for setting in SETTINGS[1:]]
    return found


def runs_in(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each run and factor of `ARITHMETIC`.

    Returns:
        Columns run, factor, seed, captions, bottleneck, encoding_size, mention (of the factor), redraw, cka, recall,
        and recall of each baseline by its name.
    """
    columns = ["run", "factor", "seed", "captions", "bottleneck", "encoding_size", "mention", "redraw", ALIGNMENT]
    if table.empty:
        return pd.DataFrame(columns=[*columns, "recall", *BASELINES])
    aligned = table[table["metric"] == ALIGNMENT].set_index("run")["value"]
    rows = []
    for (run, factor), part in table[table["metric"] == RECALL].groupby(["run", "factor"], sort=False):
        first, by_method = part.iloc[0], part.set_index("decoder")["value"].astype(float)
        rows.append(
            {
                "run": run, "factor": factor,
                **{name: first[name] for name in ("seed", "captions", "bottleneck", "encoding_size")},
                "mention": first[f"mention_{factor}"], "redraw": first[f"redraw_{factor}"],
                ALIGNMENT: float(aligned[str(run)]), "recall": by_method.get(OWN, np.nan),
                **{name: by_method.get(name, np.nan) for name in BASELINES},
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=[*columns, "recall", *BASELINES])


def claims(table: pd.DataFrame) -> list[Claim]:
    """Faithful captions against chance and baselines, with bounds; what goes with alignment, β, size and mention."""
    runs = runs_in(table)
    found = []
    for factor in ARITHMETIC:
        own = runs[runs["factor"] == factor]
        plain = own[own["captions"] == FAITHFUL]
        usual = plain[(plain["bottleneck"] == 0) & (plain["encoding_size"] == _usual(runs))]
        word = factor.replace("_", " ")
        best = usual[["text_only", "image_only"]].max(axis=1)
        found += [
            _claim(f"{word}: recall@1 of arithmetic less chance, faithful captions, mean over seeds",
                   usual["recall"] - usual["chance"], at_least=ABOVE_CHANCE, where=_where(usual)),
            _claim(f"{word}: recall@1 of arithmetic less the better of text and image alone, mean over seeds",
                   usual["recall"] - best, at_least=ABOVE_BASELINE),
        ]  # fmt: skip
        silent = own[own["mention"] == 0].set_index("seed")["recall"]
        found.append(
            _claim(
                f"{word}: recall@1 where captions never state it, less that of faithful captions, mean over seeds",
                (silent - usual.set_index("seed")["recall"]).dropna(),
                at_most=NEVER_ADDS,
            )
        )
    for factor in ARITHMETIC:
        own, word = runs[runs["factor"] == factor], factor.replace("_", " ")
        plain = own[own["captions"] == FAITHFUL]
        usual_size = own["encoding_size"] == _usual(runs)
        for name, column, of in (
            ("alignment (CKA), over all runs", ALIGNMENT, own),
            ("alignment (CKA), over runs of faithful captions", ALIGNMENT, plain),
            ("β, faithful captions", "bottleneck", plain[plain["encoding_size"] == _usual(runs)]),
            ("output size, faithful captions", "encoding_size", plain[plain["bottleneck"] == 0]),
            ("how often captions state it", "mention", own[usual_size & (own["bottleneck"] == 0)]),
        ):
            said = _trend(of, column)
            sign = "" if column == "encoding_size" else f"{said.verdict(1)} with a rise: "
            found.append(
                Claim(
                    statement=f"{word}: Spearman of recall@1 and {name}",
                    measured=said.rho,
                    where=f"{sign}{said}",
                )
            )
    return found


def figures(table: pd.DataFrame) -> dict[str, Drawing]:
    """Recall over alignment, and over what was varied; a point for each run."""
    runs = runs_in(table)
    if runs.empty:
        return {}
    kinds = {
        "faithful": "faithful captions",
        "beta": "β > 0",
        "size": "other size",
        "captions": "captions omit or redraw",
    }
    runs["kind"] = [_kind(row, _usual(runs)) for row in runs.to_dict("records")]
    wide = runs.pivot_table(index=["run", "kind", ALIGNMENT], columns="factor", values="recall").reset_index()
    panels = [Axis(column=name, label=f"recall@1, {name.replace('_', ' ')}") for name in ARITHMETIC if name in wide]
    draw = partial(
        runs_as_points, wide, x=Axis(column=ALIGNMENT, label="CKA of images and captions"), panels=panels,
        series="kind", names={key: name for key, name in kinds.items() if (wide["kind"] == key).any()},
    )  # fmt: skip
    caption = "Exact recall@1 of arithmetic over alignment, a point for each run."
    return {"alignment": Drawing(caption, draw(layout="wide"), draw(layout="narrow"))}


def _kind(row: dict, usual: int) -> str:  # type: ignore[type-arg]
    if row["captions"] != FAITHFUL:
        return "captions"
    return "beta" if row["bottleneck"] else "size" if row["encoding_size"] != usual else "faithful"


def _usual(runs: pd.DataFrame) -> int:
    return int(runs["encoding_size"].mode().iloc[0]) if len(runs) else 0


def _trend(rows: pd.DataFrame, column: str) -> Trend:
    x, y = (rows[name].to_numpy(dtype=float) for name in (column, "recall"))
    return trend(x, y, generator=np.random.default_rng(0))


def _where(rows: pd.DataFrame) -> str:
    names: Sequence[str] = ("recall", *BASELINES)
    means = {name: rows[name].astype(float).mean() for name in names} if len(rows) else {}
    return ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in means.items())


def _claim(
    statement: str,
    values: "pd.Series[float]",
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    where: str = "",
) -> Claim:
    known = values.astype(float).dropna()
    mean = float(known.mean()) if len(known) else None
    return Claim(statement=statement, measured=mean, at_least=at_least, at_most=at_most, where=where)


STUDY = CaptioningStudy(
    name="arithmetic",
    description="image + text − text among drawings whose right answer is known, against alignment and captions",
    sized=(SMOKE, CPU, replace(PAPER, seeds=3, paired=3)),
    runs_of=runs_of,
    claimed=claims,
    drawn=figures,
    opened=pages.arithmetic,
)
