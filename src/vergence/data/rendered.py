"""Rendered image sets on disk: images with captions and factors in shards, beside tables of labels and a contact sheet.

Labels depend on the seed and the row alone, captions on the seed and whole blocks of rows, images on their labels: so
neither the number of images, of workers or of shards nor an interruption changes any of them.
"""

import signal
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from vergence import __version__
from vergence.checks import at_least, at_most, known_factors, one_of
from vergence.data.rendered_shards import SUFFIXES, Shard, digest, factor_columns, renderer, write_shard
from vergence.data.scene_lexicon import scene_lexicon
from vergence.errors import ConfigError, CorpusError, FactorError, VergenceError
from vergence.files import whole, yaml_text
from vergence.folders import JobFolder, WhenPresent
from vergence.lifetime import end_with_parent
from vergence.misalignment import Misalignment
from vergence.random import check_seed, named
from vergence.render import GENERATORS
from vergence.render.contact import contact_sheet
from vergence.render.places import check_side
from vergence.scenes import Scenes, scenes
from vergence.views.scene_captions import write_scene_captions

JOB, SHARDS, CARD = "render", "shards", "card.json"
LABELS, SAID, LEXICON, CONTACT = "labels.parquet", "said.parquet", "lexicon.yaml", "contact.png"
_WRITTEN = "written.json"  # digests of the shards that are whole
_BLOCK = 1024  # rows that are captioned together
_MOST_WORKERS = 1024


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """What to render.

    Args:
        name: An image set, one of `vergence.render.GENERATORS`.
        n: Images, at least 1; of a grid at most its size, as no combination comes twice.
        side: Pixels of a side, in [8, 2048].
        seed: Of labels and captions; the first rows of a larger n are those of a smaller one.
        mention: By factor, the probability that a caption names it, in [0, 1]; 1 for those not in it.
        redraw: By factor, the probability that a caption draws its value anew, in [0, 1].
        kind: "parquet" or "webdataset".
        shard_size: Images of a shard, at least 1.
        meshes: Folder of own meshes for the shapes of `causal3dident`; those that are fetched if `None`.

    Raises:
        ConfigError: If a setting is out of range, or no factor is left that captions name.
        FactorError: If captions of the set never name a factor.
    """

    name: str
    n: int
    side: int = 64
    seed: int = 0
    mention: Mapping[str, float] = field(default_factory=dict)
    redraw: Mapping[str, float] = field(default_factory=dict)
    kind: str = "parquet"
    shard_size: int = 1000
    meshes: str | None = None

    def __post_init__(self) -> None:
        one_of("image set", self.name, GENERATORS)
        at_least("n", self.n, 1)
        if self.scene.size is not None:
            at_most("n", self.n, self.scene.size, why=f"the images of {self.name}")
        check_side(self.side)
        check_seed(self.seed)
        one_of("format", self.kind, SUFFIXES)
        at_least("shard_size", self.shard_size, 1)
        if self.meshes is not None and self.name != "causal3dident":
            raise ConfigError(f"meshes are for causal3dident; {self.name} has none")
        for name in (*self.mention, *self.redraw):
            known_factors([name], self.scene.space)
            if name not in self.scene.captioned:
                raise FactorError(
                    f"captions of {self.name} never name {name!r}; they name: {', '.join(self.scene.captioned)}"
                )
        if both := [name for name in self.redraw if self.mention.get(name) == 0]:
            raise FactorError(f"factor {both[0]!r} is omitted and redrawn; captions cannot do both")
        if not self.misalignment.selected:
            raise ConfigError(f"captions would name nothing: all of {', '.join(self.scene.captioned)} are omitted")

    @property
    def scene(self) -> Scenes:
        """The image set."""
        return scenes(self.name)

    @property
    def misalignment(self) -> Misalignment:
        """What captions mention, and what they get wrong."""
        rates = {name: float(self.mention.get(name, 1.0)) for name in self.scene.captioned}
        return Misalignment.of_rates(rates, redraw=self.redraw)

    def rows(self) -> tuple[pd.DataFrame, list[str], pd.DataFrame]:
        """Labels of all images, their captions, and what the captions record."""
        n_whole = -(-self.n // _BLOCK) * _BLOCK
        n_drawn = n_whole if self.scene.size is None else min(n_whole, self.scene.size)
        labels = self.scene.draw(n_drawn, generator=named(self.seed, "labels"))
        texts, said = [], []
        for start in range(0, n_drawn, _BLOCK):
            generator = named(self.seed, "captions", start)
            block = labels.iloc[start : start + _BLOCK]
            written = write_scene_captions(self.name, block, self.misalignment, generator=generator)
            texts += written.texts
            said.append(written.said)
        return labels[: self.n], texts[: self.n], pd.concat(said)[: self.n]

    def job(self) -> dict[str, Any]:
        """What identifies the job."""
        about = {name: getattr(self, name) for name in ("n", "side", "seed", "shard_size", "meshes")}
        rates = {"mention": dict(self.mention), "redraw": dict(self.redraw)}
        return {"job": JOB, "set": self.name, **about, **rates, "format": self.kind, "vergence": __version__}


def write_rendered(
    rendering: Rendering,
    *,
    out: Path,
    workers: int = 1,
    present: WhenPresent = "refuse",
    about: Mapping[str, Any] | None = None,
    progress: Callable[[int], None] = lambda images: None,
) -> Path:
    """Render an image set into a folder.

    It gets `shards/`, with `key`, `image` (a PNG file), `caption` and a column for each factor; `labels.parquet`, the
    same without images; `said.parquet`, what each caption records of the factors that it names; `lexicon.yaml`, how
    captions mention them; `contact.png`, a row of images for each factor; and last `card.json`, how it was made.

    Args:
        rendering: What to render.
        out: The folder.
        workers: Processes of one thread each, in [1, 1024]; what is written does not depend on their number.
        present: What to do if the folder is not empty: see `JobFolder.claim`. Shards that are whole are not done again.
        about: What else the card is to say.
        progress: Is told how many more images are done.

    Returns:
        The folder of the shards.

    Raises:
        ConfigError: If a setting is out of range, or the folder cannot be used.
        CorpusError: If a shard that was written whole has been changed since, or meshes are not to be had.
        VergenceError: If a worker process was killed.
    """
    at_least("workers", workers, 1)
    at_most("workers", workers, _MOST_WORKERS)
    render = renderer(rendering.name, rendering.meshes)
    render(
        rendering.scene.draw(1, generator=named(0)), side=8
    )  # meshes fetched and loops compiled once, for all workers
    folder = JobFolder.claim(out, rendering.job(), present=present)
    labels, texts, said = rendering.rows()
    keys = [f"{rendering.name}-{row:07d}" for row in range(rendering.n)]
    written = _written(folder)
    todo = []
    for shard in _shards(rendering, folder.path / SHARDS, keys, texts, labels):
        if shard.path.name in written:
            progress(len(shard.keys))
        else:
            todo.append(shard)
    for shard, found in _done(todo, workers):
        written[shard.path.name] = found
        folder.write_result(_WRITTEN, {"shards": dict(sorted(written.items()))})
        progress(len(shard.keys))
    _write_table(folder.path / LABELS, {"key": keys, "caption": texts, **factor_columns(labels)})
    _write_table(folder.path / SAID, {"key": keys, **factor_columns(said)})
    folder.write_text(LEXICON, yaml_text(scene_lexicon(rendering.name)))
    with whole(folder.path / CONTACT, of_job=True) as partial:
        contact_sheet(rendering.name, side=rendering.side, render=render).save(partial, "PNG")
    folder.write_json(CARD, {**rendering.job(), **_described(rendering), **(about or {})})
    return folder.path / SHARDS


def _described(rendering: Rendering) -> dict[str, Any]:
    """What a reader of the card wants to know of the factors."""
    bias = rendering.misalignment
    factors = {factor.name: factor.values or "a number in [0, 1]" for factor in rendering.scene.space.factors}
    return {"factors": factors, "named": sorted(bias.selected), "may be wrong": sorted(bias.perturbed)}


def _shards(
    rendering: Rendering, folder: Path, keys: list[str], texts: list[str], labels: pd.DataFrame
) -> Iterator[Shard]:
    meshes = rendering.meshes
    for number, start in enumerate(range(0, rendering.n, rendering.shard_size)):
        rows = slice(start, start + rendering.shard_size)
        path = folder / f"{number:05d}{SUFFIXES[rendering.kind]}"
        yield Shard(path, rendering.name, rendering.side, keys[rows], texts[rows], labels.iloc[rows], meshes)


def _written(folder: JobFolder) -> dict[str, str]:
    """Digests of the shards that are there and whole.

    Raises:
        CorpusError: If one is not what was written.
    """
    said: dict[str, str] = (folder.read_result(_WRITTEN) or {}).get("shards", {})
    found = {name: told for name, told in said.items() if (folder.path / SHARDS / name).is_file()}
    for name, told in found.items():
        path = folder.path / SHARDS / name
        if digest(path) != told:
            raise CorpusError(
                f"{path} is damaged: it is not what was written. Remove that file and resume: what it holds is then "
                "done again"
            )
    return found


def _done(shards: list[Shard], workers: int) -> Iterator[tuple[Shard, str]]:
    """Write shards, here or in worker processes; give the digest of each as it is whole."""
    if min(workers, len(shards)) <= 1:
        yield from ((shard, write_shard(shard)) for shard in shards)
        return
    context = get_context("spawn")  # a forked torch may hang
    with ProcessPoolExecutor(min(workers, len(shards)), mp_context=context, initializer=_prepare) as pool:
        futures = {pool.submit(write_shard, shard): shard for shard in shards}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise VergenceError(
                "a worker process was killed, perhaps for lack of memory; --resume continues where it stopped"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _prepare() -> None:
    """One thread; an interrupt is the parent's business; and a worker does not outlive a parent that was killed."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def _write_table(path: Path, columns: Mapping[str, Any]) -> None:
    with whole(path, of_job=True) as partial:
        pq.write_table(pa.table(dict(columns)), partial)
