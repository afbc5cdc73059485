"""`vergence embed`: embeddings of images and texts by a trained encoder, with keys."""

from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from vergence.cli.options import add_model_use, add_source_columns, model_use, require, source_columns
from vergence.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vergence.training.embed import Embedded, EmbedProgress

DESCRIPTION = "Write embeddings of the images and texts of a source by any model, as align and probe read them."
_EVERY = 30.0  # seconds between lines where there is no terminal


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "source", nargs="?", metavar="SOURCE",
        help="a CSV of paths and captions, a folder, COCO annotations, tar shards, Parquet",
    )  # fmt: skip
    parser.add_argument("--model", metavar="DIR", help="folder of a training run, of transformers, or of open_clip")
    parser.add_argument("--out", metavar="DIR", help="folder for the embeddings; resumable")
    parser.add_argument(
        "--format", default="parquet", choices=["parquet", "npy", "clip-retrieval"],
        help="images.parquet and texts.parquet; or img_emb, text_emb and metadata, as float32, or as clip-retrieval"
        " writes them, of unit length and float16 (default: parquet)",
    )  # fmt: skip
    parser.add_argument("--caption-column", metavar="NAME", help="column of captions (default: by its name)")
    add_source_columns(parser)
    add_model_use(parser, batch_size=128)
    parser.add_argument(
        "--part-size", type=int, metavar="N",
        help="images that are written at a time (default: 1024, or a 256th of them where that is more)",
    )  # fmt: skip
    parser.add_argument(
        "--engine", default="threads", choices=["threads", "processes", "ray"], help="where parts are embedded"
    )
    parser.add_argument(
        "--ray-address", default="", metavar="ADDRESS", help="a running Ray cluster (default: a local one)"
    )
    parser.add_argument("--shard-id", type=int, default=0, help="which share of the source to embed, from 0")
    parser.add_argument("--num-shards", type=int, default=1, help="how many shares there are, all with one DIR")
    parser.add_argument(
        "--merge", nargs="+", metavar="DIR", help="put folders of shards that were not one folder together instead"
    )


def run(options: Namespace) -> None:
    """Embed, and say how much, how fast, and what was left out."""
    from vergence.terminal import say

    if bool(options.source) == bool(options.merge):
        raise ConfigError("name what to embed, or with --merge the folders to put together: vergence embed SOURCE")
    done = _merged(options) if options.merge else _embedded(options)
    say(*(f"passed over: {note}" for note in done.notes), err=True)
    if done.left_out:
        counts = ", ".join(f"{reason} ({count})" for reason, count in done.left_out.items())
        say(f"left out: {sum(done.left_out.values()):,} rows: {counts}", *(f"  {row}" for row in done.rows), err=True)
    if done.fresh:
        say(
            f"embedded {done.fresh:,} images with their texts in {_time(done.seconds)}, "
            f"{_rate(done.fresh, done.seconds)}"
        )
    if done.missing:
        say(
            f"{done.missing:,} of {done.parts:,} parts are left to other shards; "
            f"the last of them finishes {options.out}"
        )
        return
    images, texts = (_place(done, place) for place in (0, 1))
    say(f"{done.images:,} images: {images}", f"{done.texts:,} texts: {texts}")


def _embedded(options: Namespace) -> "Embedded":
    from pathlib import Path

    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    from vergence.engines import Engine
    from vergence.terminal import bars
    from vergence.training.embed import embed_source

    require(
        options,
        model="DIR, the folder of a training run, of transformers or of open_clip",
        out="DIR, the folder for embeddings",
    )
    settings = model_use(options)
    with bars(MofNCompleteColumn(), TimeRemainingColumn()) as shown:
        bar = shown.add_task("images", total=None)

        def show(step: "EmbedProgress") -> None:
            rate = _rate(step.fresh, step.seconds)
            shown.update(bar, total=step.total, completed=step.done, description=rate)

        return embed_source(
            options.source,
            options.model,
            out=Path(options.out),
            columns=source_columns(options, caption=options.caption_column),
            format=options.format,
            part_size=options.part_size,
            shard=(options.shard_id, options.num_shards),
            engine=Engine(kind=options.engine, workers=options.workers or 0, address=options.ray_address),
            progress=_lines() if shown.disable else show,
            **settings,
        )


def _merged(options: Namespace) -> "Embedded":
    from pathlib import Path

    from vergence.folders import when_present
    from vergence.training.embed import merge_embedded

    require(options, out="DIR, the folder for embeddings")
    out = Path(options.out)
    if any(out.resolve() == Path(folder).resolve() for folder in options.merge):
        raise ConfigError(f"--out {out} is one of the folders to put together; choose another one")
    present = when_present(resume=options.resume, overwrite=options.overwrite)
    return merge_embedded([Path(folder) for folder in options.merge], out, present=present)


def _lines() -> "Callable[[EmbedProgress], None]":
    """Say how far it is now and then, where a bar would not be seen."""
    from vergence.terminal import say

    said: dict[str, Any] = {"at": 0.0}

    def show(step: "EmbedProgress") -> None:
        if step.seconds - said["at"] >= _EVERY:
            said["at"] = step.seconds
            left = (step.total - step.done) * step.seconds / step.fresh
            rate = _rate(step.fresh, step.seconds)
            say(f"{step.done:,} of {step.total:,} images, {rate}, {_time(left)} left", err=True)

    return show


def _rate(images: int, seconds: float) -> str:
    return f"{images / max(seconds, 1e-9):,.0f} images/s"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _place(done: "Embedded", place: int) -> object:
    """Where embeddings are: the one file of all, or the folder of those of parts."""
    return done.files[place] if len(done.files) == 2 else done.files[place].parent
