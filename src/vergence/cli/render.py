"""`vergence render`: images of a controlled set with captions and factors, made here: no download, no GPU."""

from collections.abc import Iterable

from jsonargparse import ArgumentParser, Namespace

from vergence.cli.options import made_by
from vergence.errors import ConfigError

DESCRIPTION = "Render a controlled image set with captions and known factors, for train, embed, probe and audit."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "set", metavar="SET", help="dsprites, shapes3d-like, mpi3d-like, mpi3d-real-like or causal3dident"
    )
    parser.add_argument("--n", type=int, default=1000, metavar="N", help="images (default: 1000)")
    parser.add_argument("--size", type=int, default=64, metavar="PIXELS", help="of a side (default: 64)")
    parser.add_argument("--seed", type=int, default=0, help="seed of factors and captions (default: 0)")
    parser.add_argument("--out", metavar="DIR", help="folder for shards, labels.parquet, contact.png and card.json")
    parser.add_argument(
        "--format", default="parquet", metavar="NAME", help="of the shards: parquet or webdataset (default: parquet)"
    )
    parser.add_argument(
        "--omit", action="append", metavar="FACTORS", help="factors that captions leave out, with commas between"
    )
    parser.add_argument(
        "--mention", action="append", metavar="FACTOR=RATE", help="probability that a caption names a factor"
    )
    parser.add_argument(
        "--redraw", action="append", metavar="FACTOR=RATE", help="probability that its caption names another value"
    )
    parser.add_argument(
        "--meshes", metavar="DIR", help="own meshes for causal3dident, such as cow.off (default: fetched once)"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one for each core)")
    parser.add_argument("--shard-size", type=int, default=1000, metavar="N", help="images of a shard (default: 1000)")
    parser.add_argument("--resume", action="store_true", help="keep the shards in DIR that are whole, do the rest")
    parser.add_argument("--overwrite", action="store_true", help="replace what was rendered in DIR")


def run(options: Namespace) -> None:
    """Render, and say where, with a first caption and what can be done next."""
    import os
    from pathlib import Path

    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    from vergence.data.rendered import CONTACT, Rendering, write_rendered
    from vergence.folders import when_present
    from vergence.terminal import bars, say

    if not options.out:
        raise ConfigError("--out is missing; pass --out DIR, the folder for images, captions and labels")
    omitted = [name for given in options.omit or () for name in given.split(",") if name]
    mention = _rates("mention", options.mention or ())
    if both := sorted(set(omitted) & set(mention)):
        raise ConfigError(f"factor {both[0]!r} has both --omit and --mention; give one of them")
    rendering = Rendering(
        name=options.set,
        n=options.n,
        side=options.size,
        seed=options.seed,
        mention=mention | dict.fromkeys(omitted, 0.0),
        redraw=_rates("redraw", options.redraw or ()),
        kind=options.format,
        shard_size=options.shard_size,
        meshes=None if options.meshes is None else str(Path(options.meshes).absolute()),
    )
    out = Path(options.out)
    with bars(MofNCompleteColumn(), TimeRemainingColumn()) as shown:
        bar = shown.add_task(rendering.name, total=rendering.n)
        write_rendered(
            rendering,
            out=out,
            workers=(os.cpu_count() or 1) if options.workers is None else options.workers,
            present=when_present(resume=options.resume, overwrite=options.overwrite),
            about=_made_by(options),
            progress=lambda images: shown.advance(bar, images),
        )
    say(
        f"{rendering.n:,} images of {rendering.side} x {rendering.side} pixels: {out / 'shards'}",
        f"a row of images for each factor: {out / CONTACT}",
        f"train on them with: vergence train --data.source {out}",
    )


def _rates(flag: str, given: Iterable[str]) -> dict[str, float]:
    """By factor, the probability that `FACTOR=RATE` gives it."""
    rates: dict[str, float] = {}
    for text in (part for texts in given for part in texts.split(",")):
        name, _, value = text.partition("=")
        try:
            rates[name.strip()] = float(value)
        except ValueError:
            raise ConfigError(
                f"--{flag} takes FACTOR=RATE with a rate in [0, 1], such as color=0.9; got {text!r}"
            ) from None
    return rates


def _made_by(options: Namespace) -> dict[str, object]:
    """The command, versions and date, for the card."""
    words = ["vergence", "render", options.set, "--n", options.n, "--size", options.size, "--seed", options.seed]
    words += ["--format", options.format, "--shard-size", options.shard_size]
    for flag in ("omit", "mention", "redraw"):
        words += [word for given in options[flag] or () for word in (f"--{flag}", given)]
    words += ["--meshes", options.meshes] if options.meshes else []
    return made_by([*words, "--out", options.out], ("numpy", "numba", "pandas", "pillow", "pyarrow", "torch"))
