"""What the image studies have in common: runs are trainings on a set of images, each between floor and ceiling."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vergence.errors import ConfigError
from vergence.studies.images.measure import measure_run
from vergence.studies.images.oracle import told
from vergence.studies.images.sets import digest_of_images, load_set
from vergence.studies.images.spec import LABELS, NOTHING, USUAL, Budget, ImageRun, ends
from vergence.studies.images.train import train_run
from vergence.studies.study import Claim, Drawing, Finished, Result, Row, Study, Tell
from vergence.studies.table import as_row
from vergence.theory import predict

SCORES = ("matthews", "r2")
_MARGIN = 0.1  # of a score: what a training of a minute leaves


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large an image study is.

    Args:
        name: What the command line calls it.
        n_images: Of each set.
        side: Pixels of a side.
        budget: How runs are trained.
        temperature: What cosines are divided by, where the study does not compare several.
        image_encoder: Where the study does not compare several.
        seeds: Trials of each setting.
        stride: Every so many-th of a sweep's settings is run.
    """

    name: str
    n_images: int
    side: int
    budget: Budget
    temperature: float = 1.0
    image_encoder: str = "conv"
    seeds: int = 3
    stride: int = 1


SMOKE = Scale(
    name="smoke",
    n_images=360,
    side=16,
    budget=Budget(epochs=1, batch_size=32),
    image_encoder="grid",
    seeds=1,
    stride=6,
)
CPU = Scale(name="cpu", n_images=12_288, side=32, budget=Budget(epochs=8), image_encoder="grid")
"""Of the studies of the bottleneck and of the levers."""

Table = pd.DataFrame


def _nothing_more(run: ImageRun) -> list[Row]:
    """A function of the module, since studies travel to worker processes."""
    return []


@dataclass(frozen=True, kw_only=True)
class ImageStudy(Study[ImageRun]):
    """Runs over sweeps of what texts say and of how encoders are trained.

    Args:
        name: What the command line calls it.
        description: What it shows, in one line.
        sized: Its scales.
        runs_of_seed: Makes the runs of one seed at a scale, without floors and ceilings.
        claimed: Reads the claims off the table.
        drawn: Makes the figures.
        expects: What else is expected of a run of texts, as rows of `predict`.
        file: The official file or folder that images are taken from; they are made anew if `None`.
        digest: Of what it holds.
    """

    name: str
    description: str
    sized: tuple[Scale, ...]
    runs_of_seed: Callable[[int, Scale], list[ImageRun]]
    claimed: Callable[[Table], list[Claim]]
    drawn: Callable[[Table], dict[str, Drawing]]
    expects: Callable[[ImageRun], list[Row]] = _nothing_more
    file: str | None = None
    digest: str = ""

    family = "images"
    details = ("role", "probe")
    foretold = ("told",)
    margin = _MARGIN

    @property
    def scales(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of its scales."""
        return tuple(sized.name for sized in self.sized)

    def at(self, scale: str) -> Scale:
        """One of its scales."""
        return self.sized[self.scales.index(scale)]

    def seeds(self, scale: str) -> int:
        """Trials of each setting."""
        return self.at(scale).seeds

    def job(self, scale: str) -> Mapping[str, Any]:
        """Study, scale and how it trains."""
        settings = {key: value for key, value in asdict(self.at(scale)).items() if key not in {"seeds", "stride"}}
        return {"job": "study", "study": self.name, "scale": scale, "settings": settings, "images": self.digest}

    def on(self, path: Path) -> "ImageStudy":
        """The same study on the images of an official file or folder.

        Raises:
            CorpusError: If there is nothing of that name.
            ConfigError: If the study is of several image sets.
        """
        sets = sorted({run.data.name for run in self.runs(self.scales[0], 1)})
        if len(sets) > 1:
            raise ConfigError(f"{self.name} is a study of {' and '.join(sets)}, which no single file holds")
        return replace(self, file=str(path), digest=digest_of_images(path))

    def runs(self, scale: str, seeds: int) -> list[ImageRun]:
        """Every run, and for each the untrained encoder and the one that labels train; sets stay together."""
        made = [run for seed in range(seeds) for run in self.runs_of_seed(seed, self.at(scale))]
        wanted = [replace(run, data=replace(run.data, file=self.file, digest=self.digest)) for run in made]
        both = [end for run in wanted for end in ends(run).values()]
        return sorted(dict.fromkeys([*wanted, *both]), key=lambda run: run.data.name)

    def key(self, spec: ImageRun) -> Mapping[str, Any]:
        """The run; readings only where they are not the usual ones; of images that are made anew there is no digest."""
        said = asdict(spec)
        if spec.data.file is None:
            del said["data"]["digest"]
        if spec.readings == USUAL:
            del said["readings"]
        return said

    def label(self, spec: ImageRun) -> str:
        """What tells it from the others."""
        return label(spec)

    def settings(self, spec: ImageRun) -> Row:
        """Those of the run, with what texts do in words."""
        bias = spec.misalignment
        return {
            "seed": spec.seed,
            "images": spec.data.name,
            "taught_by": spec.taught_by,
            "texts": words_of(spec),
            "selected": len(bias.selected),
            "perturbed": len(bias.perturbed),
            "n_unbiased": len(bias.unbiased - bias.graded),
            **{name: getattr(spec, name) for name in _SETTINGS},
            "epochs": spec.budget.epochs,
        }

    def predict(self, spec: ImageRun) -> list[Row]:
        """What theory says of every factor where the floor is 0 and the ceiling 1: neither has been measured yet."""
        return [*predictions(spec), *self.expects(spec)] if spec.contrastive else []

    def measure(self, group: Sequence[ImageRun], *, folders: Sequence[Path], tell: Tell) -> list[Result]:
        """Train and probe, one after another; nothing is left but numbers."""
        results = []
        for run, folder in zip(group, folders, strict=True):
            images = load_set(run.data)
            trained = train_run(run, images, folder=folder, tell=tell)
            results.append(Result(measure_run(run, trained, images), {"curve": list(trained.curve)}))
        return results

    def finish(self, table: pd.DataFrame, runs: Sequence[Finished[ImageRun]]) -> pd.DataFrame:
        """Put floor and ceiling beside every score, and state the predictions between them."""
        return between_ends(table, {label(run.spec): run.spec for run in runs})

    def claims(self, table: pd.DataFrame) -> list[Claim]:
        """What the table says of what the study was made for."""
        return self.claimed(table)

    def figures(self, table: pd.DataFrame) -> dict[str, Drawing]:
        """Figures by the names of their files."""
        return self.drawn(table)


_SETTINGS = ("encoding_size", "objective", "temperature", "learned", "bottleneck", "image_encoder")


def label(run: ImageRun) -> str:
    """A name that no other run of the studies of one scale has."""
    parts = [run.data.name, run.taught_by]
    if run.contrastive:
        parts += [words_of(run), run.objective, f"tau-{run.temperature:g}{'-learned' if run.learned else ''}"]
        parts += [f"beta-{run.bottleneck:g}"] if run.bottleneck else []
    parts += [run.image_encoder, f"epochs-{run.budget.epochs}", f"n-{run.encoding_size}", f"seed-{run.seed}"]
    return "_".join(parts).replace(" ", "-")


def words_of(run: ImageRun) -> str:
    """What texts mention, and how often they are silent or wrong, in a few words."""
    redraw = dict(run.redraw)
    said = []
    for name, q in run.mention:
        doubts = [f"{q:.0%} named"] * (q < 1) + [f"{redraw.get(name, 0):.0%} redrawn"] * (redraw.get(name, 0) > 0)
        said.append(f"{name} ({', '.join(doubts)})" if doubts else name)
    return ", ".join(said)


def predictions(
    run: ImageRun,
    *,
    floor: Mapping[str, Any] | None = None,
    ceiling: Mapping[str, Any] | None = None,
    sides: Iterable[str] = ("image", "text"),
) -> Iterable[Row]:
    """What theory says of the score of every factor.

    Args:
        run: Of texts.
        floor: By factor, of the untrained encoder; 0 if `None`.
        ceiling: By factor, of the encoder that labels train; 1 if `None`.
        sides: Of which.

    Yields:
        A row for each side and factor, as a study's table has it.
    """
    space = run.data.scenes.space
    block = told(run.data.name, run.mention, run.redraw)
    for side in sides:
        # What captions record coarsely bounds what any side can hold of it.
        top = {name: _at_most(ceiling[name] if ceiling else 1.0, block[name], run, name) for name in space}
        said = predict(
            space,
            run.misalignment,
            encoding_size=run.encoding_size,
            oracle=block,
            floor=floor,
            ceiling=top,
            bottleneck=run.bottleneck,
            temperature=2 * run.temperature,  # of squared distances of unit vectors
        )
        for name, one in said.items():
            metric = "r2" if space[name].is_continuous else "matthews"
            yield {"side": side, "factor": name, "metric": metric, **as_row(one), "told": block[name]}


def _at_most(ceiling: Any, limit: float, run: ImageRun, name: str) -> Any:
    if name not in run.misalignment.unbiased - run.misalignment.graded:
        return ceiling
    if isinstance(ceiling, Mapping):
        return {end: min(value, limit) for end, value in ceiling.items()}
    return min(ceiling, limit)


def between_ends(table: pd.DataFrame, specs: Mapping[str, ImageRun]) -> pd.DataFrame:
    """Fill in floor and ceiling of every score of an image's side, and predict between them.

    Args:
        table: Of a study, with the rows of floors and ceilings.
        specs: Runs by their labels.
    """
    found = table.copy()
    by_run = {name: rows.set_index(["side", "factor", "probe", "metric"]) for name, rows in table.groupby("run")}
    for name, run in specs.items():
        if not run.contrastive or name not in by_run:
            continue
        own = found.index[(found["run"] == name) & (found["side"] == "image")]
        keys = pd.MultiIndex.from_frame(found.loc[own, ["side", "factor", "probe", "metric"]])
        pair = {taught_by: by_run[label(end)] for taught_by, end in ends(run).items()}
        for column, taught_by in (("floor", NOTHING), ("ceiling", LABELS)):
            found.loc[own, column] = pair[taught_by]["value"].reindex(keys).to_numpy()
        said = {}
        for probe in found.loc[own[found.loc[own, "metric"].isin(SCORES)], "probe"].unique():
            low, high = (_scores(pair[taught_by], probe) for taught_by in (NOTHING, LABELS))
            for row in predictions(run, floor=low, ceiling=high, sides=["image"]):
                said["image", row["factor"], probe, row["metric"]] = row
        told_of = [said.get(key) for key in keys]
        at = [place for place, row in zip(own, told_of, strict=True) if row is not None]
        for column in ("predicted_low", "predicted_high", "expected", "reason"):
            values = [row[column] for row in told_of if row is not None]
            found.loc[at, column] = [np.nan if value is None else value for value in values]
    return found


def _scores(rows: pd.DataFrame, probe: str) -> dict[str, dict[str, float]]:
    scores = rows.reset_index()
    scores = scores[(scores["probe"] == probe) & scores["metric"].isin(SCORES)].set_index("factor")
    return {str(name): dict(row) for name, row in scores[["value", "low", "high"]].T.items()}


def with_encoder(run: ImageRun, sized: Scale) -> ImageRun:
    """A run with the encoder and the budget of its scale."""
    return replace(run, image_encoder=sized.image_encoder, budget=sized.budget)
