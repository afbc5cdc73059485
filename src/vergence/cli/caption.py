"""`vergence caption`: say what images show, by a captioner."""

from jsonargparse import ArgumentParser, Namespace

from vergence.cli.options import add_source_columns, made_by, require, source_columns

DESCRIPTION = "Caption the images of a folder or of any source, by a captioner, as lines of JSON."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "source", metavar="IMAGES",
        help="a folder of images, an image, or a source: a CSV of paths, COCO annotations, tar shards, Parquet",
    )  # fmt: skip
    parser.add_argument("--model", metavar="RUN", help="folder of a run of vergence captioner")
    parser.add_argument("--out", metavar="FILE.jsonl", help="file for captions, a line of JSON an image; resumable")
    parser.add_argument(
        "--decoder", default="greedy", choices=["greedy", "beam", "nucleus"],
        help="the most probable next word, the best of several beginnings, or words drawn (default: greedy)",
    )  # fmt: skip
    parser.add_argument("--width", type=int, default=5, metavar="N", help="of beam, beginnings kept (default: 5)")
    parser.add_argument(
        "--length-penalty", type=float, default=1.0, metavar="A",
        help="of beam, the power of the length that log-probabilities are divided by (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--p", type=float, default=0.9, metavar="P", help="of nucleus, the share of the probability drawn from (0.9)"
    )
    parser.add_argument(
        "--temperature", type=float, default=1.0, metavar="T", help="of nucleus, what logits are divided by (1)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of nucleus, of its draws (default: 0)")
    parser.add_argument("--max-length", type=int, metavar="N", help="words of a caption at most (default: the model's)")
    parser.add_argument("--image-encoder", metavar="DIR", help="where the image encoder lies (default: where it was)")
    parser.add_argument("--caption-column", metavar="NAME", help="column of captions, which are not looked at")
    add_source_columns(parser)
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="images at once (default: 64)")
    parser.add_argument("--workers", type=int, metavar="N", help="threads that decode (default: one for each core)")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu, or auto for a GPU if there is one")
    parser.add_argument("--resume", action="store_true", help="keep what is whole and do the rest")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE.jsonl")


def run(options: Namespace) -> None:
    """Caption; say how many images, and what was left out."""
    import os
    import shlex
    from pathlib import Path

    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    from vergence.folders import when_present
    from vergence.terminal import bars, say
    from vergence.training.captioning import DecoderConfig, caption_source

    require(options, model="RUN, the folder of a captioner", out="FILE.jsonl, the file for captions")
    decoder = DecoderConfig(
        kind=options.decoder,
        width=options.width,
        length_penalty=options.length_penalty,
        p=options.p,
        temperature=options.temperature,
        seed=options.seed,
        max_length=options.max_length,
    )
    with bars(MofNCompleteColumn(), TimeRemainingColumn()) as shown:
        bar = shown.add_task("images", total=None)
        done = caption_source(
            options.source,
            options.model,
            out=Path(options.out),
            decoder=decoder,
            columns=source_columns(options, caption=options.caption_column),
            image_encoder=options.image_encoder,
            batch_size=options.batch_size,
            workers=(os.cpu_count() or 1) if options.workers is None else options.workers,
            device=options.device,
            present=when_present(resume=options.resume, overwrite=options.overwrite),
            about=made_by(shlex.split(options.typed), ("vergence", "torch", "numpy", "pillow")),
            progress=lambda images, of: shown.update(bar, completed=images, total=of),
        )
    say(*(f"passed over: {note}" for note in done.notes), err=True)
    if done.left_out:
        counts = ", ".join(f"{reason} ({count})" for reason, count in done.counts().items())
        say(f"left out: {len(done.left_out):,} images: {counts}", *(f"  {row}" for row in done.named()), err=True)
    say(f"{done.images:,} images: {options.out}")
