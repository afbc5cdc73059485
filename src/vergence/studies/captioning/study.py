"""What the studies of captioning have in common: runs are captioners on one set of images, shared by what they are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from vergence.data import load_emoji
from vergence.errors import ConfigError
from vergence.reports.page import Section
from vergence.studies.captioning.expected import DECODERS, expected, rates, through_reader
from vergence.studies.captioning.measure import measure_run
from vergence.studies.captioning.sets import require_encoder, with_tokens
from vergence.studies.captioning.spec import CONV, CPU, DRAWINGS, FACTORS, CaptionRun, Images, Scale
from vergence.studies.study import Claim, Drawing, Finished, Result, Row, Study, Tell

FAITHFUL = "faithful"
PREDICTED_METRICS = ("mentioned", "precision")
TREATED = ("skin_tone", "gender", "group")
"""Factors that captions of the studies may omit or redraw."""
_MARGIN = 0.1  # of a share: what a training of a minute leaves

Table = pd.DataFrame
Runs = Sequence[Finished[CaptionRun]]


@dataclass(frozen=True, kw_only=True)
class CaptioningStudy(Study[CaptionRun]):
    """Captioners over what their captions say and what they minimise.

    Args:
        name: What the command line calls it.
        description: What it shows, in one line.
        sized: Its scales.
        runs_of: Makes the runs at a scale, for a number of seeds, on some images.
        claimed: Reads the claims off the table.
        drawn: Makes the figures.
        opened: What its page shows first, of the table and the runs.
        encoder: Folder of the pretrained image encoder.
        cache: Folder of cached tokens.
        coco: COCO's folder, at the scale that reads it.
    """

    name: str
    description: str
    sized: tuple[Scale, ...]
    runs_of: Callable[[Scale, int, Images], list[CaptionRun]]
    claimed: Callable[[Table], list[Claim]]
    drawn: Callable[[Table], dict[str, Drawing]]
    opened: Callable[[Table, Runs], list[Section]]
    encoder: str | None = None
    cache: str | None = None
    coco: str | None = None

    family = "captioning"
    details = ("decoder", "n", "chance")
    foretold = ("sure",)
    margin = _MARGIN

    @property
    def scales(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of its scales."""
        return tuple(sized.name for sized in self.sized)

    def at(self, scale: str) -> Scale:
        """One of its scales."""
        return self.sized[self.scales.index(scale)]

    def on(self, *, encoder: Path | None, coco: Path | None, cache: Path) -> "CaptioningStudy":
        """The same study through a pretrained encoder, whose tokens are kept in a folder; on COCO's images if named.

        Raises:
            ConfigError: If COCO is named for a study that needs what only the drawings' labels tell.
        """
        if coco is not None and any(run.mention != _mention_of_first(self) for run in self._plain_runs()):
            raise ConfigError(f"{self.name} needs to know what images show, which COCO's captions alone do not tell")
        return replace(
            self,
            encoder=None if encoder is None else str(encoder),
            coco=None if coco is None else str(coco),
            cache=str(cache),
        )

    def _plain_runs(self) -> list[CaptionRun]:
        return self.runs_of(self.sized[0], 1, Images())

    def seeds(self, scale: str) -> int:
        """Trials of the settings that are compared most closely; see `Scale`."""
        return self.at(scale).paired

    def job(self, scale: str) -> Mapping[str, Any]:
        """Study, scale, how it trains and on what."""
        settings = {key: value for key, value in asdict(self.at(scale)).items() if key not in {"seeds", "paired"}}
        images = self._images(scale).key()
        return {"job": "study", "study": self.name, "scale": scale, "settings": settings, "images": images}

    def _images(self, scale: str) -> Images:
        sized = self.at(scale)
        if not sized.pretrained:
            if self.coco is not None or self.encoder is not None:
                raise ConfigError(
                    f"scale {scale} reads the drawings by random weights; leave out --images and --encoder, or choose "
                    "another scale"
                )
            return Images(concepts=sized.concepts)
        if self.encoder is None:
            require_encoder()
        images = Images(name=self.coco or DRAWINGS, encoder=self.encoder or CONV, cache=self.cache)
        return with_tokens(images)

    def runs(self, scale: str, seeds: int) -> list[CaptionRun]:
        """Every run; tokens of the images are computed before, if they are not there."""
        return self.runs_of(self.at(scale), seeds, self._images(scale))

    def key(self, spec: CaptionRun) -> Mapping[str, Any]:
        """The run, with the digest of its tokens."""
        return spec.key()

    def label(self, spec: CaptionRun) -> str:
        """What tells it from the others."""
        return spec.label

    def settings(self, spec: CaptionRun) -> Row:
        """Captions in words, rates of each factor, weights and size."""
        mention, redraw = dict(spec.mention), dict(spec.redraw)
        return {
            "seed": spec.seed,
            "captions": spec.captions,
            "bottleneck": spec.bottleneck,
            "matching": spec.matching,
            "contrast": spec.contrast,
            "encoding_size": spec.encoding_size,
            "epochs": spec.budget.train.epochs,
            **{f"mention_{name}": mention.get(name, 0.0) for name in FACTORS},
            **{f"redraw_{name}": redraw.get(name, 0.0) for name in FACTORS},
        }

    def predict(self, spec: CaptionRun) -> list[Row]:
        """What every decoder says of every factor if the captioner is sure of what it sees, in closed form."""
        if spec.images.name != DRAWINGS:
            return []
        mention, redraw = dict(spec.mention), dict(spec.redraw)
        rows = []
        for factor in load_emoji().space.factors:
            for decoder in DECODERS:
                said = expected(factor, *rates(mention, redraw, factor.name), decoder)
                for metric in PREDICTED_METRICS:
                    value = getattr(said, metric)
                    base = {"factor": factor.name, "decoder": decoder, "metric": metric}
                    rows.append({**base, **_said(value), "sure": value})
        return rows

    def measure(self, group: Sequence[CaptionRun], *, folders: Sequence[Path], tell: Tell) -> list[Result]:
        """Train and measure, one after another."""
        return [measure_run(spec, folder=folder, tell=tell) for spec, folder in zip(group, folders, strict=True)]

    def finish(self, table: pd.DataFrame, runs: Runs) -> pd.DataFrame:
        """Predict once more, through the eyes of the captioner of faithful captions of the same seed."""
        return through_eyes(table)

    def claims(self, table: pd.DataFrame) -> list[Claim]:
        """What the table says of what the study was made for; a quick run shows that it works, and claims nothing."""
        found = self.claimed(table)
        whole = "epochs" not in table or bool((table["epochs"] >= CPU.budget.train.epochs).all())
        return found if whole else [replace(claim, at_least=None, at_most=None) for claim in found]

    def figures(self, table: pd.DataFrame) -> dict[str, Drawing]:
        """Figures by the names of their files."""
        return self.drawn(table)

    def opening(self, table: pd.DataFrame, runs: Runs) -> list[Section]:
        """What was found, and what captioners say of pictures."""
        return self.opened(table, runs)

    def sections(self, table: pd.DataFrame, runs: Runs, pictures: Mapping[str, Markup]) -> list[Section]:
        """The figures; every number is in the table."""
        return [Section("Figures", Markup("").join(pictures.values()))] if pictures else []


def through_eyes(table: pd.DataFrame) -> pd.DataFrame:
    """Predictions for captioners that see no more than one that was trained on faithful captions does.

    Args:
        table: As `assemble` makes it.

    Returns:
        The same with predicted_low, predicted_high and expected of "mentioned" and "precision" replaced, where another
        run of the same seed, size and weights has faithful captions; ceiling is what that run has.
    """
    if table.empty or "decoder" not in table:
        return table
    found = table.copy()
    asked = found["metric"].isin(PREDICTED_METRICS) & found["decoder"].isin(DECODERS)
    keys = ["seed", "factor", "decoder", "metric"]
    plain = (found["bottleneck"] == 0) & (found["matching"] == 0) & (found["contrast"] > 0)
    size = found.loc[plain & found["captions"].eq(FAITHFUL), "encoding_size"].mode()
    same = plain & found["encoding_size"].eq(size.iloc[0] if len(size) else -1)
    reader = found[asked & same & found["captions"].eq(FAITHFUL)].set_index(keys)["value"].to_dict()
    space = load_emoji().space
    for row in found.index[asked & same & found["captions"].ne(FAITHFUL)]:
        one = found.loc[row]
        seen = reader.get(tuple(one[name] for name in keys))
        if seen is None or not np.isfinite(one["sure"]):
            continue
        if one["metric"] == "mentioned":
            value = float(one["sure"]) * seen
        else:
            redraw = float(one[f"redraw_{one['factor']}"])
            value = through_reader(space[one["factor"]], redraw, one["decoder"], faithful=seen)
        found.loc[row, ["predicted_low", "predicted_high", "expected", "ceiling"]] = [value, value, value, seen]
        found.loc[row, "reason"] = "what the channel makes of what the captioner of faithful captions sees"
    return found


def told(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of factors that a run's captions treat, with what was predicted of them, decoder by decoder.

    Returns:
        The table's rows of `PREDICTED_METRICS` and decoders that have a prediction, with columns mention and redraw of
        their own factor.
    """
    if table.empty:
        columns = ["factor", "decoder", "metric", "captions", "value", "expected", "ceiling", "mention", "redraw"]
        return pd.DataFrame(columns=columns)
    rows = table[table["metric"].isin(PREDICTED_METRICS) & table["decoder"].isin(DECODERS)]
    rows = rows[rows["factor"].isin(TREATED) & rows["captions"].ne(FAITHFUL)]
    own = {
        what: np.array([row[f"{what}_{row['factor']}"] for row in rows.to_dict("records")], dtype=float)
        for what in ("mention", "redraw")
    }
    rows = rows.assign(**own)
    return rows.loc[(rows["mention"] < 1) | (rows["redraw"] > 0)]


def _said(value: float) -> Row:
    """A prediction of a number, open where two things are equally probable."""
    known = bool(np.isfinite(value))
    return {
        "predicted_low": value if known else None,
        "predicted_high": value if known else None,
        "expected": value if known else None,
        "reason": "the channel and the decoder, of a captioner that is sure of what it sees"
        if known
        else "two things are equally probable, or nothing is said",
    }


def _mention_of_first(study: CaptioningStudy) -> tuple[tuple[str, float], ...]:
    return study.runs_of(study.sized[0], 1, Images())[0].mention
