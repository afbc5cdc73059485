"""`vergence embed`: embeddings of images and texts by a trained encoder, with keys."""

from jsonargparse import ArgumentParser, Namespace

DESCRIPTION = "Write embeddings of the images and texts of a source by any model, as align and probe read them."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "source", metavar="SOURCE", help="a CSV of paths and captions, a folder, COCO annotations, tar shards, Parquet"
    )
    parser.add_argument("--model", metavar="DIR", help="folder of a training run, of transformers, or of open_clip")
    parser.add_argument("--out", metavar="DIR", help="folder for images.parquet and texts.parquet")
    parser.add_argument("--image-column", metavar="NAME", help="column of images or their paths (default: by its name)")
    parser.add_argument("--caption-column", metavar="NAME", help="column of captions (default: by its name)")
    parser.add_argument(
        "--key-column", metavar="NAME", help="what images are called (default: key, id or ids; else their paths)"
    )
    parser.add_argument("--images", metavar="DIR", help="folder that paths are relative to (default: the file's own)")
    parser.add_argument("--batch-size", type=int, default=128, metavar="N", help="items at once (default: 128)")
    parser.add_argument("--workers", type=int, metavar="N", help="threads that decode (default: one for each core)")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu, or auto for a GPU if there is one")
    parser.add_argument(
        "--dtype", default="float32", choices=["float32", "bfloat16", "float16"], help="what the model computes in"
    )
    parser.add_argument("--download", action="store_true", help="fetch a model that is no folder from the hub")
    parser.add_argument("--resume", action="store_true", help="keep what is whole in DIR and do the rest")
    parser.add_argument("--overwrite", action="store_true", help="replace the embeddings in DIR")


def run(options: Namespace) -> None:
    """Embed, and say how much, and what was left out."""
    import os
    from pathlib import Path

    from vergence.data.rows import Columns
    from vergence.errors import ConfigError
    from vergence.folders import when_present
    from vergence.terminal import say
    from vergence.training.embed import IMAGES, TEXTS, embed_source

    for name, what in (
        ("model", "DIR, the folder of a training run, of transformers or of open_clip"),
        ("out", "DIR, the folder for embeddings"),
    ):
        if not options[name]:
            raise ConfigError(f"--{name} is missing; pass --{name} {what}")
    out = Path(options.out)
    done = embed_source(
        options.source,
        options.model,
        out=out,
        columns=Columns(
            image=options.image_column,
            caption=options.caption_column,
            key=options.key_column,
            root=None if options.images is None else Path(options.images),
        ),
        batch_size=options.batch_size,
        workers=(os.cpu_count() or 1) if options.workers is None else options.workers,
        device=options.device,
        dtype=options.dtype,
        download=options.download,
        present=when_present(resume=options.resume, overwrite=options.overwrite),
    )
    say(*(f"passed over: {note}" for note in done.notes), err=True)
    if done.left_out:
        counts = ", ".join(f"{reason} ({count})" for reason, count in done.left_out.items())
        say(f"left out: {sum(done.left_out.values()):,} rows: {counts}", *(f"  {row}" for row in done.rows), err=True)
    say(f"{done.images:,} images: {out / IMAGES}", f"{done.texts:,} texts: {out / TEXTS}")
