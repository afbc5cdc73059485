"""What arithmetic on embeddings finds, as a page: scores beside baselines, then queries with their images."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from vergence.metrics.arithmetic import OUTCOMES, Arithmetic
from vergence.reports.arithmetic_data import Gallery
from vergence.reports.page import Section, build_page, data_uri, environment, grid, prose
from vergence.reports.words import listed, show, words

SHOWN = 5
"""Queries that the page shows of each factor, found and not found."""

_SAID = {
    "arithmetic": "image + text − text",
    "text_only": "text alone",
    "image_only": "image alone",
    "chance": "chance",
    "exact": "the right image",
    "unchanged": "same concept, value unchanged",
    "strayed": "same concept, other change",
    "value_only": "right value, other concept",
    "neither": "neither",
}
_SIDE = 64


def page(
    found: Arithmetic,
    table: pd.DataFrame,
    pairs: pd.DataFrame,
    gallery: Gallery,
    *,
    gains: pd.DataFrame,
    settings: Mapping[str, Any],
    about: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> str:
    """Lay out the page.

    Args:
        found: Every query.
        table: By factor.
        pairs: By factor, source and target.
        gallery: The images.
        gains: Over each baseline, by factor.
        settings: phrases, step and move.
        about: command, model and seed.
        notes: What the reader must know.

    Returns:
        HTML that needs no other file and no network.
    """
    own = table[table["method"] == "arithmetic"]
    scores = [f"{words(row['factor'])} {100 * row['recall@1']:.0f} %" for row in own.to_dict("records")]
    lede = (
        f"Each image is asked for its own concept with another value of one factor, all else equal: image + text of "
        f"the new value − text of its own. Of {found.gallery:,} other images, the right one should be nearest to that."
    )
    phrases = {(factor, value): said[0] for factor, value, said in settings["phrases"]}
    drawn = np.random.default_rng(about["seed"])
    sections = [
        Section("How often the right image is first", _scores(table)),
        Section("What the texts add", _gains(gains)),
        Section("What the first image is", _outcomes(table)),
        Section("From value to value", _pairs(pairs)),
        *(
            Section(f"{words(str(factor)).capitalize()}: {kind}", _examples(part, gallery, phrases, drawn))
            for factor, rows in found.queries[found.queries["method"] == "arithmetic"].groupby("factor", sort=False)
            for kind, part in (("found", rows[rows["exact"] == 1]), ("not found", rows[rows["exact"] == 0]))
        ),
    ]
    said = {"Step": settings["step"], "Vector that is moved, of several": settings["move"]}
    said["Texts"] = "; ".join(f"{words(factor)} “{text}”" for (factor, _), text in phrases.items())
    return build_page(
        kicker=f"Arithmetic on embeddings: {gallery.name}",
        headline=f"Image + text − text finds the right image: {listed(scores)}",
        lede=lede,
        claims=[],
        sections=sections,
        about={"Command": about["command"], "Model": about["model"], "Seed": about["seed"], **said},
        notes=[f"{note[:1].upper()}{note[1:]}." for note in notes],
    )


def _scores(table: pd.DataFrame) -> Markup:
    rows = [
        (
            _factor(row), _SAID[row["method"]], f"{row['queries']:,}", row["concepts"],
            _between(row, "recall@1"), _between(row, "recall@5"), _between(row, "reciprocal_rank"),
            f"{row['median_rank']:g}", show(row["source_first"]),
        )
        for row in table.to_dict("records")
    ]  # fmt: skip
    numbers = ("queries", "concepts", "recall@1", "recall@5", "reciprocal rank", "median rank", "source first")
    note = (
        "Shares with 95 % intervals for new concepts; chance is exact. “Source first” is how often the source image "
        "itself would have been nearest, had it not been left out."
    )
    return grid(("factor", "by", *numbers), rows, label="Scores by factor", numbers=numbers) + prose(note)


def _gains(gains: pd.DataFrame) -> Markup:
    rows = [
        (_factor(row), _SAID[row["over"]], _between(row, "gain", sign="+"))
        for row in gains[gains["score"] == "recall@1"].to_dict("records")
    ]
    note = "On the same queries; 95 % intervals with concepts drawn with replacement."
    headings = ("factor", "over", "recall@1 gained")
    return grid(headings, rows, label="Gain over baselines", numbers=headings[2:]) + prose(note)


def _outcomes(table: pd.DataFrame) -> Markup:
    rows = [
        (_factor(row), _SAID[row["method"]], *(show(row[name]) for name in OUTCOMES))
        for row in table.to_dict("records")
    ]
    numbers = tuple(_SAID[name] for name in OUTCOMES)
    return grid(("factor", "by", *numbers), rows, label="What the first image is", numbers=numbers)


def _pairs(pairs: pd.DataFrame) -> Markup:
    rows = [
        (
            _factor(row),
            row["source"],
            row["target"],
            f"{row['queries']:,}",
            _between(row, "recall@1"),
            show(row["unchanged"]),
        )
        for row in pairs[pairs["method"] == "arithmetic"].to_dict("records")
    ]
    numbers = ("queries", "recall@1", "value unchanged")
    return grid(("factor", "from", "to", *numbers), rows, label="Recall from value to value", numbers=numbers)


def _examples(
    rows: pd.DataFrame, gallery: Gallery, phrases: Mapping[tuple[str, str], str], drawn: np.random.Generator
) -> Markup:
    """A few queries, drawn at random, each of another concept."""
    if rows.empty:
        return prose("None.")
    some = rows.iloc[drawn.permutation(len(rows))].drop_duplicates("concept").head(SHOWN)
    queries = []
    for row in some.to_dict("records"):
        factor, item = row["factor"], row["item"]
        right = _answers(gallery, row)
        found = [_shown(gallery, one, factor, right=one in right) for one in row["nearest"]]
        best = None if right & set(row["nearest"]) else f"the right image is number {row['rank']:g}"
        queries.append(
            {
                "source": _shown(gallery, item, factor, right=False),
                "plus": phrases[factor, row["target"]],
                "minus": phrases[factor, row["source"]],
                "found": found,
                "best": best,
                "answer": _shown(gallery, min(right), factor, right=True) if best else None,
            }
        )
    filled: Markup = environment().get_template("arithmetic.html.j2").module.queries(queries, len(rows))  # type: ignore[attr-defined]
    return filled


def _answers(gallery: Gallery, row: Mapping[Any, Any]) -> set[int]:
    labels = gallery.labels.astype(object).where(gallery.labels.notna(), None)
    wanted = labels.iloc[row["item"]].to_dict() | {row["factor"]: row["target"]}
    same = np.array([one == gallery.concepts[row["item"]] for one in gallery.concepts])
    for name, value in wanted.items():
        column = labels[name]
        same &= column.isna().to_numpy() if value is None else (column.astype(str) == str(value)).to_numpy()
    same[row["item"]] = False
    return set(np.flatnonzero(same).tolist())


def _shown(gallery: Gallery, row: int, factor: str, *, right: bool) -> dict[str, Any]:
    image = gallery.images[row]
    image.thumbnail((_SIDE, _SIDE))
    held = io.BytesIO()
    image.save(held, "PNG")
    concept, value = gallery.concepts[row], gallery.labels[factor].iloc[row]
    named = [concept] if isinstance(concept, str) else []
    return {
        "image": data_uri("image/png", held.getvalue()),
        "key": gallery.keys[row],
        "said": ", ".join([*named, f"no {words(factor)}" if pd.isna(value) else str(value)]),
        "right": right,
    }


def _factor(row: Mapping[Any, Any]) -> str:
    return words(row["factor"]).replace(" ", "\N{NO-BREAK SPACE}")


def _between(row: Mapping[Any, Any], name: str, *, sign: str = "-") -> str:
    ends = ("low", "high") if name == "gain" else (f"{name}_low", f"{name}_high")
    value, low, high = (f"{row[key]:{sign}.3f}".replace("-", "−") for key in (name, *ends))
    return value if "nan" in low else f"{value} [{low},\N{NO-BREAK SPACE}{high}]"
