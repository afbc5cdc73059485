"""`vergence embed`: embeddings of images and texts by a trained encoder, with keys."""

from jsonargparse import ArgumentParser, Namespace

from vergence.cli.options import add_model_use, add_source_columns, model_use, require, source_columns

DESCRIPTION = "Write embeddings of the images and texts of a source by any model, as align and probe read them."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "source", metavar="SOURCE", help="a CSV of paths and captions, a folder, COCO annotations, tar shards, Parquet"
    )
    parser.add_argument("--model", metavar="DIR", help="folder of a training run, of transformers, or of open_clip")
    parser.add_argument("--out", metavar="DIR", help="folder for images.parquet and texts.parquet")
    parser.add_argument("--caption-column", metavar="NAME", help="column of captions (default: by its name)")
    add_source_columns(parser)
    add_model_use(parser, batch_size=128)


def run(options: Namespace) -> None:
    """Embed, and say how much, and what was left out."""
    from pathlib import Path

    from vergence.terminal import say
    from vergence.training.embed import IMAGES, TEXTS, embed_source

    require(
        options,
        model="DIR, the folder of a training run, of transformers or of open_clip",
        out="DIR, the folder for embeddings",
    )
    out = Path(options.out)
    columns = source_columns(options, caption=options.caption_column)
    done = embed_source(options.source, options.model, out=out, columns=columns, **model_use(options))
    say(*(f"passed over: {note}" for note in done.notes), err=True)
    if done.left_out:
        counts = ", ".join(f"{reason} ({count})" for reason, count in done.left_out.items())
        say(f"left out: {sum(done.left_out.values()):,} rows: {counts}", *(f"  {row}" for row in done.rows), err=True)
    say(f"{done.images:,} images: {out / IMAGES}", f"{done.texts:,} texts: {out / TEXTS}")
