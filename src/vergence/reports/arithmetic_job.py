"""From a model and images of known factors to what arithmetic on its embeddings finds, in one folder."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from rich.progress import MofNCompleteColumn, TimeRemainingColumn
from torch import Tensor

from vergence.errors import ConfigError, CorpusError
from vergence.files import whole
from vergence.folders import JobFolder, WhenPresent
from vergence.metrics.arithmetic import Arithmetic, Move, arithmetic
from vergence.metrics.scale import unit
from vergence.random import named
from vergence.reports import arithmetic as written
from vergence.reports.arithmetic_data import Gallery
from vergence.reports.awareness import records
from vergence.tensors import read_tensors, write_tensors
from vergence.terminal import bars
from vergence.training.captioner_files import holds_captioner
from vergence.training.captioner_pair import CaptionerPair
from vergence.training.models import Dtype, ImageTextModel, load_model, weights_digest
from vergence.training.run import versions_of


@dataclass(frozen=True)
class ArithmeticRun:
    """What came out.

    Args:
        found: Every query.
        table: Its table by factor.
        gains: Over the baselines, by factor.
        left_out: By key, why an image could not be read.
        notes: What a reader should know, a line each.
    """

    found: Arithmetic
    table: pd.DataFrame
    gains: pd.DataFrame
    left_out: dict[str, str]
    notes: tuple[str, ...]


def run_arithmetic(
    gallery: Gallery,
    model: str | Path,
    *,
    out: Path,
    factors: Sequence[str] = (),
    templates: Sequence[str] = (),
    step: float = 1.0,
    move: Move = "best",
    image_encoder: str | None = None,
    batch_size: int = 128,
    workers: int = 1,
    device: str = "cpu",
    dtype: Dtype = "float32",
    download: bool = False,
    seed: int = 0,
    command: str = "",
    present: WhenPresent = "refuse",
) -> ArithmeticRun:
    """Ask a model for every image with another value of a factor.

    The folder gets `arithmetic.json`, `queries.parquet`, `page.html`, and the embeddings, which are not made again.

    Args:
        gallery: The images that are asked, and asked for.
        model: A folder that `open_model` takes.
        out: The folder to write to.
        factors: Which are changed; all that can be if there are none.
        templates: As `Gallery.phrases` takes them.
        step: How long the difference of two values is.
        move: Which vector of an image is moved, if it has several.
        image_encoder: Where the image encoder of a captioner lies; where it was if `None`.
        batch_size: Images at once.
        workers: Threads that decode.
        device: "cpu", or "auto" for a GPU where there is one.
        dtype: What the model computes in.
        download: Whether the model may be fetched.
        seed: Of the intervals, and of which queries the page shows.
        command: What to say about how it was made.
        present: What to do if the folder is not empty.

    Raises:
        CorpusError: If the model cannot be read, or no image can.
        FactorError: If a factor is unknown, or no image has a counterpart.
        ConfigError: If a template or the step is of no use.
    """
    phrases = gallery.phrases(factors, templates)
    opened = open_model(model, image_encoder=image_encoder, device=device, dtype=dtype, download=download)
    rows = hashlib.sha256(repr(list(gallery.keys)).encode()).hexdigest()[:16]
    weights = weights_digest(opened)
    settings = {"phrases": [[*value, list(said)] for value, said in phrases.items()], "step": step, "move": move}
    folder = JobFolder.claim(
        out, {"job": "arithmetic", "model": weights, "rows": rows, "seed": seed, **settings}, present=present
    )
    z_image, left_out = _embedded(
        folder, f"images-{weights}.safetensors", opened, gallery, batch_size=batch_size, workers=workers
    )
    asked = gallery.take(np.array([row for row, key in enumerate(gallery.keys) if key not in left_out]))
    z_text = torch.stack([unit(unit(opened.embed_texts(list(said))).mean(0)[None])[0] for said in phrases.values()])
    found = arithmetic(z_image, z_text, list(phrases), asked.labels, asked.concepts, step=step, move=move)
    done = ArithmeticRun(found, found.table(), found.gains(generator=named(seed, "intervals")), left_out, asked.notes)
    about = {"command": command, "model": str(model), "seed": seed, "versions": versions_of(())}
    _write(folder, done, asked, settings=settings, about=about)
    return done


def open_model(
    path: str | Path, *, image_encoder: str | None, device: str, dtype: Dtype, download: bool
) -> ImageTextModel:
    """A model by which an image is one vector, or a captioner, by which it is several.

    Raises:
        CorpusError: If there is none, or a file is missing or damaged.
        ConfigError: If an option is of the other kind.
    """
    if holds_captioner(Path(path)):
        if dtype != "float32":
            raise ConfigError(f"dtype must be float32 for a captioner; got {dtype}")
        return CaptionerPair(path, image_encoder=image_encoder, device=device)
    if image_encoder is not None:
        raise ConfigError(f"an image encoder is named, which is of captioners, and {path} holds none; leave it out")
    return load_model(path, device=device, dtype=dtype, download=download)


def _embedded(
    folder: JobFolder,
    name: str,
    model: ImageTextModel,
    gallery: Gallery,
    *,
    batch_size: int,
    workers: int,
) -> tuple[Float[Tensor, "n *queries dim"], dict[str, str]]:
    """Embeddings of all images that can be decoded, and why others cannot, by their keys."""
    file = folder.path / name
    if not file.is_file():
        keys = list(gallery.keys)
        groups = [list(range(at, min(at + batch_size, len(keys)))) for at in range(0, len(keys), batch_size)]
        parts, wrong, at = [], {}, 0
        with bars(MofNCompleteColumn(), TimeRemainingColumn()) as shown:
            advance = partial(shown.advance, shown.add_task("images", total=len(keys)))
            for pixels, reasons in gallery.images.prepared(
                groups, prepare=model.prepared, side=model.side, workers=workers
            ):
                sound = [place for place in range(len(pixels)) if place not in reasons]
                wrong.update({keys[at + place]: reason for place, reason in reasons.items()})
                if sound:
                    parts.append(model.embed_pixels(pixels[sound]).float().cpu())
                at += len(pixels)
                advance(len(pixels))
        if not parts:
            raise CorpusError(f"none of {len(keys)} images can be read; {keys[0]}: {wrong[keys[0]]}")
        folder.write_json("unreadable.json", wrong)
        write_tensors(file, {"images": torch.cat(parts)}, of_job=True)
    return read_tensors(file)[0]["images"], folder.read_json("unreadable.json") or {}


def _write(
    folder: JobFolder,
    done: ArithmeticRun,
    gallery: Gallery,
    *,
    settings: Mapping[str, object],
    about: Mapping[str, object],
) -> None:
    pairs = done.found.table(("factor", "source", "target"))
    content = {
        "factors": records(done.table),
        "gains": records(done.gains),
        "pairs": records(pairs[pairs["method"].isin(["arithmetic", "chance"])]),
        "gallery": done.found.gallery,
        "images": gallery.name,
        "left_out": done.left_out,
        "notes": list(done.notes),
        **settings,
        **about,
    }
    folder.write_json("arithmetic.json", content)
    queries = done.found.queries.drop(columns=["query", "concept"])
    queries["item"] = [gallery.keys[row] for row in queries["item"]]
    queries["nearest"] = [[gallery.keys[row] for row in rows] for rows in queries["nearest"]]
    with whole(folder.path / "queries.parquet", of_job=True) as unfinished:
        queries.to_parquet(unfinished)
    folder.write_text(
        "page.html",
        written.page(
            done.found, done.table, pairs, gallery, gains=done.gains, settings=settings, about=about, notes=done.notes
        ),
    )
