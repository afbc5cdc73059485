"""Embeddings of a whole source by any model, as `align` and `probe` read them: one row each, with its key.

A source is embedded in parts, by the engine that audits have too: in threads, in processes, on a cluster, by shards on
several machines, and again after it was killed. What there is at the end is the same, byte for byte.
"""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Lock
from time import monotonic
from typing import Any

import torch

from vergence.checks import at_least
from vergence.data.rows import Columns
from vergence.data.source import Source, read_source
from vergence.engines import Engine, check_shard, done_by, share_of_parts
from vergence.errors import ConfigError, CorpusError, VergenceError
from vergence.files import read_json, whole
from vergence.folders import JobFolder, WhenPresent
from vergence.training.embed_files import Format, Layout, check_format, layout
from vergence.training.embed_images import UNREADABLE
from vergence.training.embed_parts import EmbedSettings, Parts, embed_part
from vergence.training.models import Dtype, ImageTextModel, load_model, weights_digest

_DONE, _BESIDE = "embedded.json", "left-out.json"
_NAMED = 20
_AT_ONCE = 2  # parts that threads embed: while one waits for images or to write, the other computes


@dataclass(frozen=True)
class EmbedProgress:
    """How far a job is: images done of `total` in this shard, and how many of them in so many seconds by this run."""

    done: int
    total: int
    fresh: int
    seconds: float


@dataclass(frozen=True)
class Embedded:
    """What was embedded.

    Args:
        images: How many images.
        texts: How many texts.
        left_out: By reason, of how many rows nothing was embedded.
        rows: The first of them, with the reason.
        notes: What of the source was passed over, a line each.
        files: What was written.
        missing: Parts that other shards have not done yet, of `parts`; the counts are then of the others.
        parts: How many parts there are.
        fresh: Images that this run embedded.
        seconds: How long that took.
    """

    images: int
    texts: int
    left_out: dict[str, int]
    rows: tuple[str, ...]
    notes: tuple[str, ...]
    files: tuple[Path, ...]
    missing: int
    parts: int
    fresh: int = 0
    seconds: float = 0.0


def embed_source(
    source: str | Path,
    model: str | Path,
    *,
    out: Path,
    columns: Columns = Columns(),  # noqa: B008 - frozen
    format: Format = "parquet",
    part_size: int | None = None,
    shard: tuple[int, int] = (0, 1),
    engine: Engine = Engine(),  # noqa: B008 - frozen
    batch_size: int = 128,
    workers: int = 1,
    device: str = "cpu",
    dtype: Dtype = "float32",
    download: bool = False,
    present: WhenPresent = "refuse",
    progress: Callable[[EmbedProgress], None] | None = None,
) -> Embedded:
    """Embed the images and texts of a source, a batch at a time.

    A pair of which image or caption cannot be used is left out of both. An image has the key that the source gives it,
    its path where there is none; so has its first text, further ones are called KEY#2, KEY#3, and a column `image` then
    says of which image each text is. Images come in the order of the source, the texts of each together.

    Of each row its caption, key and place are held, half a kilobyte to one beside the caption; of images a few
    batches, decoded, and a few parts in scratch files, encoded, where they come out of Parquet or Arrow files.

    Args:
        source: A file, folder or glob: see `vergence.data.LAYOUTS`.
        model: A folder that `load_model` takes: of a training run, of `transformers`, of open_clip.
        out: The folder to write to.
        columns: Which columns of the source say what, where their names do not.
        format: "parquet" for `images.parquet` and `texts.parquet`, with the columns `key` and `embedding`; "npy" for
            arrays beside metadata, in the folders `img_emb`, `text_emb` and `metadata`; "clip-retrieval" for the same
            with rows of unit length in float16, as clip-retrieval writes them.
        part_size: Images of a part, which is what a killed job does again, >= 1; see `Parts`.
        shard: (number, of how many): embed a share only. All shards write to one folder; who is last finishes it.
        engine: Where parts are embedded. Threads share the model; processes and Ray load it in each.
        batch_size: Items at once, >= 1.
        workers: Threads that decode images, >= 1.
        device: "cpu", or "auto" for a GPU where there is one.
        dtype: What the model computes in; embeddings are float32.
        download: Whether a model that is no folder may be fetched from the hub.
        present: What to do if the folder is not empty: see `JobFolder.claim`. What was written whole is not done again.
        progress: Is told how far it is, by several threads.

    Returns:
        How much was embedded, and what was left out.

    Raises:
        CorpusError: If the source, a column or the model is missing, there is no pair, or one key names two images.
        ConfigError: If a setting is out of range, or the folder cannot be used.
    """
    at_least("batch_size", batch_size, 1)
    at_least("workers", workers, 1)
    check_format(format)
    check_shard(shard)
    if shard[1] > 1 and present == "overwrite":
        raise ConfigError("a shard cannot overwrite what others write; remove the folder, and begin all shards again")
    encoder = load_model(model, device=device, dtype=dtype, download=download)
    read = read_source(source, columns, in_place=True)
    parts = Parts(read, columns, size=part_size)
    job = _job(source, encoder, read, dtype) | {"format": format, "part_size": parts.size, "parts": len(parts)}
    job |= {"several": parts.several}
    folder = JobFolder.claim(out, job, present=present) if shard[1] == 1 else JobFolder.join(out, job)
    files = layout(format, folder, len(parts), several=parts.several)
    folder.write_json(_BESIDE, _beside(read))
    settings = EmbedSettings(
        model=os.path.abspath(model) if os.path.exists(model) else str(model),  # which names one to fetch
        device=device,
        dtype=dtype,
        download=download,
        digest=job["model"],
        columns=columns,
        batch_size=batch_size,
        workers=workers,
        loaded=encoder,
    )
    clock = _Clock(parts, progress)
    if not _finished(folder, files):
        share = share_of_parts(range(len(parts)), shard)
        waiting = clock.began(share, [number for number in share if files.note(number) is None])
        _embed(parts, waiting, settings, engine=engine, files=files, clock=clock)
        _finish(folder, files)
    return _summary(folder, files, notes=read.notes, clock=clock)


def merge_embedded(folders: Sequence[Path], out: Path, *, present: WhenPresent = "refuse") -> Embedded:
    """Put the parts of one job that several machines did in folders of their own into one.

    Args:
        folders: Of the shards.
        out: The folder to write to.
        present: What to do if it is not empty.

    Raises:
        CorpusError: If a folder holds no such job, they hold different ones, or a part is in none of them.
        ConfigError: If the folder cannot be used.
    """
    jobs = [_job_of(path) for path in folders]
    for path, job in zip(folders, jobs, strict=True):
        differing = [name for name in job if name != "source" and job[name] != jobs[0].get(name)]
        if differing:
            raise CorpusError(f"{path} and {folders[0]} hold jobs with another {', '.join(differing)}; merge one job")
    job = jobs[0]
    sources = [layout(job["format"], JobFolder(path), job["parts"], several=job["several"]) for path in folders]
    holder = {n: held for held in reversed(sources) for n in range(job["parts"]) if held.note(n) is not None}
    if missing := job["parts"] - len(holder):
        raise CorpusError(f"{missing} of {job['parts']} parts are in none of the folders; finish or add other shards")
    folder = JobFolder.claim(out, job, present=present)
    files = layout(job["format"], folder, job["parts"], several=job["several"])
    for number, held in holder.items():
        for name in files.names(number):
            with whole(folder.path / name, of_job=True) as unfinished:
                shutil.copyfile(held.folder.path / name, unfinished)
    folder.write_json(_BESIDE, JobFolder(folders[0]).read_json(_BESIDE))
    _finish(folder, files)
    return _summary(folder, files, notes=(), clock=None)


class _Clock:
    """Counts images as they are done, and tells who asked."""

    def __init__(self, parts: Parts, told: Callable[[EmbedProgress], None] | None) -> None:
        self._parts, self._told, self._lock = parts, told, Lock()
        self._start, self._total, self._before = monotonic(), 0, 0
        self.fresh, self.seconds, self.ended = 0, 0.0, Event()

    def began(self, share: Sequence[int], waiting: list[int]) -> list[int]:
        """Note what is to be done of what there is; return it."""
        self._total = sum(map(self.images_of, share))
        self._before = self._total - sum(map(self.images_of, waiting))
        self._start = monotonic()
        return waiting

    def images_of(self, number: int) -> int:
        """How many images a part has."""
        return min(self._parts.size, self._parts.images - number * self._parts.size)

    def advance(self, images: int) -> None:
        """So many more are done.

        Raises:
            CancelledError: If nobody waits for them any more.
        """
        if self.ended.is_set():
            raise CancelledError
        with self._lock:
            self.fresh += images
            self.seconds = monotonic() - self._start
            if self._told:
                self._told(EmbedProgress(self._before + self.fresh, self._total, self.fresh, self.seconds))


def _embed(
    parts: Parts, waiting: Sequence[int], settings: EmbedSettings, *, engine: Engine, files: Layout, clock: _Clock
) -> None:
    """Embed parts, and write each as it is done."""
    if engine.kind != "threads":
        alone = replace(settings, workers=1, loaded=None)  # each process loads the model
        for part, found in done_by(engine, embed_part, parts.taken(waiting, leaves=True), alone):
            files.write(part, found)
            clock.advance(len(part.keys))
        return
    with _threads_shared(len(parts)) as at_once:
        workers = max(1, -(-settings.workers // at_once))
        together = replace(settings, workers=workers, advance=clock.advance)
        taken = parts.taken(waiting, leaves=False)
        steps = done_by(Engine(workers=at_once), embed_part, taken, together, stop=clock.ended.set)
        with closing(steps):  # where writing fails, or is interrupted, no part goes on
            for part, found in steps:
                files.write(part, found)


@contextmanager
def _threads_shared(parts: int) -> Iterator[int]:
    """How many parts are embedded at once, by so many of torch's threads each; whatever is left of them on resuming.

    Two encoders of one thread each do not wait for each other at every layer, as two threads of one encoder do.
    """
    threads = torch.get_num_threads()
    at_once = min(parts, threads, _AT_ONCE)
    torch.set_num_threads(threads // at_once)
    try:
        yield at_once
    finally:
        torch.set_num_threads(threads)


def _finished(folder: JobFolder, files: Layout) -> bool:
    return folder.read_json(_DONE) is not None and all(path.is_file() for path in files.results())


def _finish(folder: JobFolder, files: Layout) -> None:
    """Write what is written when all parts are there; several shards may find that they are."""
    notes = [files.note(number) for number in range(files.parts)]
    if None in notes:
        return
    try:
        wrong = {key: lacking for note in notes if note for key, lacking in note["wrong"].items()}
        images = sum(note["images"] for note in notes if note)
        beside = folder.read_json(_BESIDE)
        if not images:
            key, lacking = next(iter(wrong.items()))
            raise CorpusError(f"none of {len(wrong)} images can be read; {key}: {lacking['reason']}")
        files.finish()
        folder.write_json(UNREADABLE, {key: lacking["reason"] for key, lacking in wrong.items()})
        counts = Counter(beside["counts"])
        for lacking in wrong.values():
            counts[lacking["reason"].split(":")[0]] += len(lacking["rows"])
        rows = [f"{place}: {lacking['reason']}" for lacking in wrong.values() for place in lacking["rows"]]
        texts = sum(note["texts"] for note in notes if note)
        about = {"images": images, "texts": texts, "left_out": dict(counts)}
        folder.write_json(_DONE, {**about, "left_out_rows": [*beside["rows"], *rows][:_NAMED]})
    except VergenceError:
        if not _finished(folder, files):  # by another shard, which has cleared away what this one looked for
            raise
    files.clear()


def _summary(folder: JobFolder, files: Layout, *, notes: tuple[str, ...], clock: _Clock | None) -> Embedded:
    results, missing = tuple(files.results()), 0
    about = folder.read_json(_DONE)
    if about is None:
        held = [note for number in range(files.parts) if (note := files.note(number)) is not None]
        missing = files.parts - len(held)
        beside = folder.read_json(_BESIDE)
        about = {name: sum(note[name] for note in held) for name in ("images", "texts")}
        about |= {"left_out": beside["counts"], "left_out_rows": beside["rows"]}
    return Embedded(
        images=about["images"],
        texts=about["texts"],
        left_out=about["left_out"],
        rows=tuple(about["left_out_rows"]),
        notes=notes,
        files=results,
        missing=missing,
        parts=files.parts,
        fresh=0 if clock is None else clock.fresh,
        seconds=0.0 if clock is None else clock.seconds,
    )


def _beside(read: Source) -> dict[str, Any]:
    """Of the source, how many rows are no pairs, by reason, and the first of them."""
    lost = [(row.place, row.reason) for row in read.rows if row.reason is not None]
    counts = Counter(reason.split(":")[0] for _, reason in lost)
    return {"counts": dict(counts), "rows": [f"{place}: {reason}" for place, reason in lost[:_NAMED]]}


def _job_of(path: Path) -> dict[str, Any]:
    """What a folder of shards is for."""
    try:
        job = read_json(path / "job.json")
    except CorpusError as error:
        raise CorpusError(f"{path} holds no embeddings of shards: {error}") from error
    kinds = {"format": str, "parts": int, "part_size": int, "several": bool, "source": str}
    if not isinstance(job, dict) or any(not isinstance(job.get(name), kind) for name, kind in kinds.items()):
        raise CorpusError(f"{path} holds no embeddings of shards; name the --out folders of vergence embed --shard-id")
    check_format(job["format"])
    return job


def _job(source: str | Path, encoder: ImageTextModel, read: Source, dtype: Dtype) -> dict[str, Any]:
    rows = hashlib.sha256()
    for row in read.rows:
        rows.update(repr((row.key, row.text, row.reason)).encode())
    return {
        "job": "embed",
        "source": str(Path(source).resolve()),
        "rows": rows.hexdigest()[:16],
        "model": weights_digest(encoder),
        "dtype": dtype,
    }
