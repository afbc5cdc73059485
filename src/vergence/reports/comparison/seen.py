"""Two results of `vergence awareness`: what models see of concepts, on the images that both were shown."""

from collections.abc import Sequence
from functools import partial
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vergence.arrow import read_table
from vergence.errors import ConfigError, CorpusError
from vergence.files import read_json
from vergence.metrics.differences import Score, paired_scores
from vergence.probes.comparison import (
    HIGHER,
    Compared,
    f1_of_sums,
    mean_f1_of_sums,
    paired_rows,
    share_told,
    told_terms,
    unpaired_rows,
)
from vergence.random import named
from vergence.reports.awareness_job import ANSWERS

_AT_ONCE = 32  # concepts
_SCORES: dict[str, Score] = {
    "f1": f1_of_sums,
    "precision": partial(share_told, of=1),
    "recall": partial(share_told, of=2),
}


def compare_awareness(before: Path, after: Path, *, seed: int) -> Compared:
    """Compare what two models, the first of each folder, see by names alone.

    Scores are computed again on the images that both were shown, where the folders say what each image was told to
    show (`answers.parquet`), and pair over these. Where one does not, scores come as `awareness.json` has them.

    Raises:
        CorpusError: If a folder holds no awareness, or no image of it is in the other.
        ConfigError: If the lexicons differ, or an image shows one concept here and another there.
    """
    one, other = (_read(path) for path in (before, after))
    groups = [_concepts(side) for side in (one, other)]
    alike = all(groups[1].get(group, names) == names for group, names in groups[0].items())
    if one.get("lexicon") != other.get("lexicon") or not alike:
        said = [str(side.get("lexicon")) for side in (one, other)]
        raise ConfigError(
            f"{before} and {after} are of different lexicons ({said[0]}, {said[1]}), whose concepts do not compete "
            "alike; run vergence awareness with the same --lexicon"
        )
    notes = [
        f"{path} holds several models ({', '.join(side['models'])}); the first is compared"
        for path, side in ((before, one), (after, other))
        if len(side["models"]) > 1
    ]
    if not all((path / ANSWERS).is_file() for path in (before, after)):
        notes.append(
            f"without {ANSWERS} in both, images do not pair: the two are taken to be independent; run vergence "
            "awareness again for narrower intervals"
        )
        return Compared(_unpaired(one, other), notes=tuple(notes))
    answers = [_answers(path, next(iter(side["models"]))) for path, side in ((before, one), (after, other))]
    keys = [set(side["key"]) for side in answers]
    both = keys[0] & keys[1]
    if not both:
        raise CorpusError(f"{before} and {after} have no image in common; show both models the same images")
    paired = _paired_answers(answers, both, before, after)
    concepts = _concepts(one)
    rows = [_group(part, str(group), concepts[str(group)], seed) for group, part in paired.groupby("group", sort=False)]
    shared = {"images": (len(both), len(keys[0] - both), len(keys[1] - both))}
    return Compared(pd.concat(rows, ignore_index=True), shared=shared, notes=tuple(notes))


def _group(part: pd.DataFrame, group: str, concepts: Sequence[str], seed: int) -> pd.DataFrame:
    """Macro-F1, and F1, precision and recall of each concept that an image shows."""
    place = {name: number for number, name in enumerate(concepts)}
    shown, *told = (_indicators(part[name], place) for name in ("shown", "told_before", "told_after"))
    known = np.flatnonzero(shown.any(0)).tolist()
    names = [concepts[number] for number in known]
    terms = [told_terms(shown[:, known], side[:, known]) for side in told]
    clusters = torch.from_numpy(pd.factorize(part["cluster"])[0])
    over = "images" if int(clusters.max()) + 1 == len(part) else "clusters"
    guessed = shown.sum(1).mean() / len(concepts)
    prevalence = shown[:, known].mean(0)
    floor = 2 * prevalence * guessed / (prevalence + guessed)
    macro_jump = float((2 / (terms[0].sum(0)[:, 1:].sum(1))).mean()) / len(names)
    one, other = terms
    found = paired_scores(
        one.reshape(len(part), 1, -1),
        other.reshape(len(part), 1, -1),
        mean_f1_of_sums,
        clusters,
        jump=macro_jump,
        generator=named(seed, f"macro {group}"),
    )
    made = partial(paired_rows, floor_is="guessing", over=over)
    rows = [made(found, [group], section="groups", metric="macro-F1", floor=float(floor.mean()))]
    for metric, score in _SCORES.items():
        for start in range(0, len(names), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            support = terms[0][:, some].sum(0)
            found = paired_scores(
                one[:, some],
                other[:, some],
                score,
                clusters,
                jump=_jump(metric, support),
                generator=named(seed, f"{metric} {group} {start}"),
            )
            chance = floor[some].tolist() if metric == "f1" else nan
            rows.append(
                made(
                    found,
                    names[some],
                    section="concepts",
                    metric=metric,
                    group=group,
                    floor=chance,
                    judged=metric == "f1",
                )
            )
    return pd.concat(rows, ignore_index=True)


def _jump(metric: str, sums: Tensor) -> Tensor:
    """What one image that is answered otherwise changes, from sums of right, told and shown."""
    divided = {"f1": (sums[:, 1] + sums[:, 2]) / 2, "precision": sums[:, 1], "recall": sums[:, 2]}[metric]
    return 1 / divided.clamp(min=1)


def _unpaired(one: dict[str, Any], other: dict[str, Any]) -> pd.DataFrame:
    groups = [pd.DataFrame(side["groups"]).rename(columns={"macro_f1": "value"}) for side in (one, other)]
    concepts = [
        pd.DataFrame(side["concepts"]).rename(columns={"f1": "value", "f1_low": "low", "f1_high": "high"})
        for side in (one, other)
    ]
    made = []
    for tables, section, by, chance, metric in (
        (groups, "groups", ["group"], "chance_macro_f1", "macro-F1"),
        (concepts, "concepts", ["group", "concept"], "chance_f1", "f1"),
    ):
        ends = {"value": "", "low": "_low", "high": "_high"}
        sides = [
            table.dropna(subset=["value"])[[*by, *ends, *([chance] if side == "before" else [])]].rename(
                columns={column: f"{side}{end}" for column, end in ends.items()}
            )
            for side, table in zip(("before", "after"), tables, strict=True)
        ]
        joined = sides[0].merge(sides[1], on=by)
        names = {"name": joined[by[-1]], "group": joined["group"] if section == "concepts" else ""}
        joined = joined.assign(**names, section=section, metric=metric, better=HIGHER, floor_is="guessing")
        made.append(unpaired_rows(joined.rename(columns={chance: "floor"})))
    return pd.concat(made, ignore_index=True)


def _read(folder: Path) -> dict[str, Any]:
    content = read_json(folder / "awareness.json")
    if not isinstance(content, dict) or not {"groups", "concepts", "models"} <= content.keys():
        raise CorpusError(f"{folder / 'awareness.json'} is no result of vergence awareness; run it again")
    return content


def _concepts(content: dict[str, Any]) -> dict[str, list[str]]:
    """By group, what competes."""
    found: dict[str, list[str]] = {}
    for row in content["concepts"]:
        found.setdefault(row["group"], []).append(row["concept"])
    return found


def _answers(folder: Path, model: str) -> pd.DataFrame:
    table = read_table(folder / ANSWERS).to_pandas()
    if missing := [
        name for name in ("model", "prompts", "group", "key", "cluster", "shown", "told") if name not in table
    ]:
        raise CorpusError(f"{folder / ANSWERS} lacks {', '.join(missing)}; run vergence awareness again")
    mine: pd.DataFrame = table[(table["model"] == model) & (table["prompts"] == "bare")]
    return mine


def _paired_answers(answers: Sequence[pd.DataFrame], both: set[str], before: Path, after: Path) -> pd.DataFrame:
    """The rows of images that both have; their clusters are those of the first."""
    sides = [side[side["key"].isin(both)].drop(columns=["model", "prompts"]) for side in answers]
    joined = sides[0].merge(sides[1], on=["group", "key"], how="outer", suffixes=("_before", "_after"), indicator=True)
    listed = joined["_merge"] == "both"
    same = np.array(
        [
            paired and set(one) == set(other)
            for paired, one, other in zip(listed, joined["shown_before"], joined["shown_after"], strict=True)
        ]
    )
    if not same.all():
        key = joined["key"][int(same.argmin())]
        raise ConfigError(
            f"{before} and {after} have other labels of {int((~same).sum()):,} images, such as {key!r}; label both "
            "alike"
        )
    return joined.rename(columns={"shown_before": "shown", "cluster_before": "cluster"})


def _indicators(lists: pd.Series, place: dict[str, int]) -> np.ndarray:
    found = np.zeros((len(lists), len(place)), dtype=bool)
    for row, names in enumerate(lists):
        found[row, [place[name] for name in names]] = True
    return found
