"""A run of `vergence train`: data, training, metrics and export, in one folder, resumable."""

import platform
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

import vergence
from vergence.errors import ConfigError, CorpusError
from vergence.files import read_json
from vergence.folders import JobFolder, WhenPresent
from vergence.losses import Objective, process_rank
from vergence.metrics import retrieve
from vergence.random import named
from vergence.splits import SPLIT_FILE, write_split
from vergence.terminal import say
from vergence.training.export import EXPORT, model_card
from vergence.training.fitting import from_model, from_scratch, open_start
from vergence.training.loop import EpochEnd, TrainResult, train
from vergence.training.pairs import TrainingPairs, load_pairs
from vergence.training.processes import join_processes, wait_for_all
from vergence.training.spec import HELD_OUT, RunConfig
from vergence.training.towers import make_image_encoder
from vergence.views import LazyViews, random_shift

_AT_ONCE = 512  # held-out pairs encoded together


def run_training(
    config: RunConfig, *, out: Path, present: WhenPresent, pairs: TrainingPairs | None = None
) -> TrainResult:
    """Train what a configuration says and export the encoder.

    The folder holds `config.yaml`, as resolved; `job.json`, which says what it is for, with versions in
    `versions.json`; `split.parquet`, which rows were trained on, held out or left out; `history.jsonl`, a line of
    metrics for each epoch; `checkpoints`; and `encoder`, which `load_model` reads, and `load_encoder` unless training
    started from a pretrained model. Rows that are left out are counted on standard error. Where `torchrun` has started
    several processes, the first one writes it.

    Args:
        config: Data, encoders or a model to start from, objective and settings.
        out: The folder.
        present: What to do if it is not empty: see `JobFolder.claim`.
        pairs: What `load_pairs` gives for the configuration, if that has been done.

    Returns:
        What `train` returns.

    Raises:
        CorpusError: If data or weights cannot be read; nothing has been written then.
        ConfigError: If the folder cannot be used, or settings do not fit the data; it is as it was then.
    """
    config, model = open_start(config)
    image = None if model else make_image_encoder(config.encoder, side=config.data.side, seed=config.seed)
    if pairs is None:  # what can be wrong with a model is said before its data are looked at
        pairs = load_pairs(config.data, seed=config.seed, prepare=model.prepared if model else None)
    _refuse_earlier_form(out, present)
    _refuse_few(config, pairs)
    fitting = (
        from_model(config, config.start, model, pairs)
        if config.start
        else from_scratch(config, cast(nn.Module, image), pairs)
    )
    versions = versions_of(fitting.packages)
    job = {"job": "train", "settings": config.identity(), "data": pairs.digest(), **fitting.identity}
    fit, held_out = (
        LazyViews(pairs.pairs.take(rows), fitting.number, side=config.data.side, workers=config.data.threads)
        for rows in (pairs.fit, pairs.held_out)
    )
    objective = config.make_objective()
    with join_processes(config.device):
        if process_rank() == 0:
            folder = JobFolder.claim(out, job, present=present)
            folder.write_text("config.yaml", config.to_yaml())
            folder.write_json("versions.json", versions)
            write_split(folder.path / SPLIT_FILE, pairs.split)
            say(*(f"passed over: {note}" for note in pairs.notes), err=True)
            said = [*([skipped] if (skipped := pairs.skipped()) else []), *fitting.notes]
            say(*(f"{config.data.place or 'the embedded set'}: {line}" for line in said), err=True)
        wait_for_all()  # until the folder is what it is to be
        result = train(
            fitting.encoder,
            fit,
            objective,
            config.train,
            generator=named(config.seed, "training"),
            device=config.device,
            out=out,
            resume=True,
            augment=partial(_shifted, config.data.shift) if config.data.shift else None,
            evaluate=partial(_measure, held_out, objective, config.train.batch_size) if len(held_out) > 1 else None,
            about_data={**pairs.left_out(), **fitting.about},
        )
        reached = result.history.iloc[result.epoch - 1].drop(["epoch", "rate"])
        metrics = {str(name): float(value) for name, value in reached.items()}
        card = model_card(config, pairs, metrics, versions, encoders=fitting.described, reader=fitting.reader)
        fitting.export(out / EXPORT, objective, card)
    return result


def _refuse_few(config: RunConfig, pairs: TrainingPairs) -> None:
    """Require as many pairs as a batch, and as early stopping, need."""
    config.train.steps_per_epoch(len(pairs.fit))
    stop = config.train.early_stop
    if stop and stop.metric in HELD_OUT and len(pairs.held_out) < 2:
        raise ConfigError(
            f"train.early_stop watches {stop.metric}, which needs at least two held-out pairs; got "
            f"{len(pairs.held_out)} ({pairs.divided()}); raise data.validation"
        )


def _refuse_earlier_form(out: Path, present: WhenPresent) -> None:
    """Say how to go on where a run of an earlier form of its settings is to be resumed."""
    try:
        job = read_json(out / "job.json") if present == "resume" and (out / "job.json").is_file() else None
        known = set(job["settings"]["data"]) if job and job["job"] == "train" else {"source"}
    except (CorpusError, KeyError, TypeError):
        return  # claiming the folder says what is wrong with it
    if "source" not in known:
        raise ConfigError(
            f"{out} holds a run of an earlier form, which cannot be resumed; its encoder can still be used: vergence "
            f"embed SOURCE --model {out}. To train anew pass --overwrite, or choose another folder with --out"
        )


def _measure(held_out: LazyViews, objective: Objective, batch_size: int, end: EpochEnd) -> dict[str, float]:
    """Loss and retrieval on held-out pairs; the names are those of `HELD_OUT`."""
    device = next(end.encoder.parameters()).device
    at_once = min(_AT_ONCE, batch_size)  # what training has memory for, so has this
    spans = [range(at, min(at + at_once, len(held_out))) for at in range(0, len(held_out), at_once)]
    with torch.no_grad():
        encoded = [end.encoder(batch.image.to(device), batch.text.to(device)) for batch in held_out.batches(spans)]
        z_image, z_text = (torch.cat(parts) for parts in zip(*encoded, strict=True))
        size = min(batch_size, len(z_image))
        batches = [slice(at, at + size) for at in range(0, len(z_image) - size + 1, size)]
        totals = [objective(z_image[rows], z_text[rows], progress=1.0).total.item() for rows in batches]
    found = retrieve(z_image.cpu(), z_text.cpu())
    recall = (found.image_retrieval.recall(1) + found.text_retrieval.recall(1)) / 2
    return dict(zip(HELD_OUT, (sum(totals) / len(totals), recall), strict=True))


def _shifted(pixels: int, images: Tensor, generator: torch.Generator) -> Tensor:
    return random_shift(images, pixels=pixels, generator=generator)


def versions_of(packages: Sequence[str]) -> dict[str, str]:
    """Versions of what every training uses, and of further packages."""
    installed = {name: version(name) for name in ("torch", "accelerate", "safetensors", "numpy", *packages)}
    return {"vergence": vergence.__version__, "python": platform.python_version(), **installed}
