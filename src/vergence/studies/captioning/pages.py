"""What the pages of the captioning studies show of pictures: captions, what captions find, sums right and wrong."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import pandas as pd
from markupsafe import Markup

from vergence.data import load_emoji
from vergence.pairs import Pairs
from vergence.reports import drawings
from vergence.reports.page import Section, data_uri, grid, prose
from vergence.reports.words import show, words
from vergence.studies.captioning.expected import BEAM, DECODERS, GREEDY, SAMPLE
from vergence.studies.captioning.measure import NEAREST
from vergence.studies.captioning.spec import DRAWINGS, CaptionRun
from vergence.studies.captioning.study import told
from vergence.studies.study import Finished

Runs = Sequence[Finished[CaptionRun]]


def beta(table: pd.DataFrame, runs: Runs) -> list[Section]:
    """What captioners say of unseen pictures, and what true captions find, at β = 0 and .1."""
    shown = _first(runs)
    if not shown:
        return []
    usual = next((run for run in shown if run.spec.bottleneck == 0 and run.spec.matching == 0), shown[0])
    written = {
        said: [_captioned(one, one[name]) for one in usual.result.extras["captions"]]
        for said, name in (
            ("true", "reference"),
            ("greedy", GREEDY),
            ("beam", BEAM),
            ("drawn", SAMPLE),
            ("nearest training image", NEAREST),
        )
    }
    found = {
        f"β = {run.spec.bottleneck:g}": _queries(run) for run in shown if run.spec.matching == 0 and run.spec.contrast
    }
    images = _images(_keys(shown))
    return [
        Section("What a captioner says of pictures of unseen concepts", drawings.written(written, images)),
        Section("What a true caption finds", drawings.retrieval(found, images)),
    ]


def channel(table: pd.DataFrame, runs: Runs) -> list[Section]:
    """What each kind of training captions makes a captioner say, and every prediction beside its measurement."""
    shown = _first(runs)
    sections = [Section("Predicted and measured, mean over seeds", _side_by_side(table))] if len(table) else []
    if not shown:
        return sections
    written = {"true": [_captioned(one, one["reference"]) for one in shown[0].result.extras["captions"][::2]]}
    for run in shown:
        for decoder in (GREEDY, SAMPLE):
            name = f"{run.spec.captions}; {decoder}"
            written[name] = [_captioned(one, one[decoder]) for one in run.result.extras["captions"][::2]]
    cards = drawings.written(written, _images(_keys(shown)))
    return [*sections, Section("What captioners say, by their training captions and decoder", cards)]


def arithmetic(table: pd.DataFrame, runs: Runs) -> list[Section]:
    """Sums that found the right picture, and sums that did not."""
    shown = _first(runs)
    if not shown:
        return []
    usual = next((run for run in shown if not run.spec.bottleneck), shown[0])
    answers = usual.result.extras["arithmetic"]
    images = _images({one[name] for one in answers for name in ("key", "found")})
    labels = dict(zip(_pairs().keys, _pairs().texts, strict=True))
    rows = [
        (
            _picture(one["key"], images, labels),
            f"− {one['source']} + {one['target']}",
            _picture(one["found"], images, labels),
            "hit" if one["right"] else "miss",
        )
        for one in answers
    ]
    said = prose(
        "Image plus text of the target value less text of the source value; the picture of unseen concepts that lies "
        f"nearest, the source itself left out. {usual.spec.captions.capitalize()} captions, seed {usual.spec.seed}; "
        "some hits and some misses, more of the one or the other than there are."
    )
    table_of = grid(("picture", "sum", "nearest", ""), rows, label="Sums and what they found")
    return [Section("Sums, hits and misses", said + table_of)]


def _side_by_side(table: pd.DataFrame) -> Markup:
    """By what captions do with a factor, what each decoder was predicted to say and what it said."""
    rows = told(table)
    if rows.empty:
        return prose("No captions of these runs omit or redraw anything.")
    keys = ["factor", "mention", "redraw", "metric", "decoder"]
    means = rows.groupby(keys)[["expected", "value"]].mean()
    lines = []
    for factor, mention, redraw, metric in dict.fromkeys(row[:4] for row in means.index):
        cells: list[str] = []
        for decoder in DECODERS:
            found = means.reindex([(factor, mention, redraw, metric, decoder)]).iloc[0]
            cells += [show(found["expected"]), show(found["value"])]
        said = [f"in {mention:.0%}" if mention else "never", *([f"redrawn {redraw:.0%}"] if redraw else [])]
        what = "stated" if metric == "mentioned" else "right, of what is stated"
        lines.append((f"{words(factor)} {', '.join(said)}: {what}", *cells))
    headings = ["", *(f"{decoder}, {what}" for decoder in DECODERS for what in ("predicted", "measured"))]
    return grid(headings, lines, label="Predicted and measured shares of captions", numbers=headings[1:])


def _first(runs: Runs) -> list[Finished[CaptionRun]]:
    """The runs of the first seed on drawings, whose pictures are the same."""
    own = [run for run in runs if run.spec.images.name == DRAWINGS]
    seed = min((run.spec.seed for run in own), default=0)
    return [run for run in own if run.spec.seed == seed]


@lru_cache(maxsize=1)
def _pairs() -> Pairs:
    return load_emoji()


def _captioned(one: Mapping[str, Any], caption: str) -> dict[str, str]:
    return {"hexcode": one["key"], "label": _label(one["key"]), "caption": caption}


def _queries(run: Finished[CaptionRun]) -> list[dict[str, Any]]:
    pairs = _pairs()
    rows = {key: row for row, key in enumerate(pairs.keys)}
    factors = {key: pairs.labels.iloc[row].dropna().to_dict() for key, row in rows.items()}
    return [
        {
            "query": one["query"],
            "wanted": factors[one["own"]],
            "hits": [{"hexcode": key, "label": _label(key), "factors": factors[key]} for key in one["hits"]],
        }
        for one in run.result.extras["retrieval"][::2]
    ]


def _keys(runs: Runs) -> set[str]:
    found = {one["key"] for run in runs for one in run.result.extras["captions"]}
    return found | {key for run in runs for one in run.result.extras["retrieval"][::2] for key in one["hits"]}


def _images(keys: Iterable[str]) -> dict[str, bytes]:
    wanted, pairs = set(keys), _pairs()
    return {key: pairs.images.file(row) for row, key in enumerate(pairs.keys) if key in wanted}


def _label(key: str) -> str:
    pairs = _pairs()
    return pairs.texts[pairs.keys.index(key)]


def _picture(key: str, images: Mapping[str, bytes], labels: Mapping[str, str]) -> Markup:
    return Markup('<img src="{}" alt="" width="48" height="48"> {}').format(
        data_uri("image/webp", images[key]), labels[key]
    )
