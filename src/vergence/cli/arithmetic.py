"""`vergence arithmetic`: image + text − text, and whether the nearest image is the right one."""

from jsonargparse import ArgumentParser, Namespace

from vergence.cli.options import add_model_use, add_source_columns, model_use, require, source_columns

DESCRIPTION = "Add the difference of two texts to images, and count how often the nearest image is the right one."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "data",
        nargs="?",
        metavar="DATA",
        help="images with concepts and factors: a table, or any source beside --labels (default: the drawings)",
    )
    parser.add_argument(
        "--model", metavar="RUN", help="folder of a training run, of a captioner, of transformers or of open_clip"
    )
    parser.add_argument("--image-encoder", metavar="DIR", help="of a captioner, where its image encoder lies now")
    parser.add_argument("--out", metavar="DIR", help="folder for arithmetic.json, queries.parquet and page.html")
    parser.add_argument("--labels", metavar="FILE", help="CSV or Parquet: key, concept, factors (default: DATA)")
    parser.add_argument(
        "--concept-column", default="concept", metavar="NAME", help="column of what stays (default: concept)"
    )
    parser.add_argument(
        "--factor",
        action="append",
        default=[],
        metavar="NAME",
        help="what is changed; may be repeated (default: every discrete column; of the drawings skin_tone and gender)",
    )
    parser.add_argument(
        "--may-differ", action="append", default=[], metavar="NAME", help="column that need not be equal; repeatable"
    )
    parser.add_argument(
        "--template",
        action="append",
        default=[],
        metavar="TEXT",
        help="a sentence with {} for a value, of one factor as FACTOR=TEXT; repeated ones are averaged (default: {})",
    )
    parser.add_argument(
        "--step", type=float, default=1.0, metavar="NUMBER", help="of the difference of unit vectors (default: 1)"
    )
    parser.add_argument(
        "--move",
        default="best",
        choices=["best", "each"],
        help="which vector of an image that has several (default: best)",
    )
    parser.add_argument("--seen", action="store_true", help="ask images too that the model was trained on")
    add_source_columns(parser)
    parser.add_argument("--caption-column", metavar="NAME", help="column of texts, where DATA must have one")
    add_model_use(parser, batch_size=128)
    parser.add_argument("--seed", type=int, default=0, help="seed of the intervals and the examples (default: 0)")


def run(options: Namespace) -> None:
    """Embed, add, rank; print the scores beside their baselines."""
    from pathlib import Path

    from vergence.errors import ConfigError
    from vergence.reports.arithmetic_data import drawings, read_gallery
    from vergence.reports.arithmetic_job import run_arithmetic
    from vergence.terminal import grid, say, show

    require(options, model="RUN, the folder of a model", out="DIR, the folder for scores")
    if options.data is None and options.labels is not None:
        raise ConfigError("--labels is of DATA, which is not given; name the images too")
    gallery = (
        drawings()
        if options.data is None
        else read_gallery(
            options.data,
            labels=options.labels,
            concept=options.concept_column,
            columns=source_columns(options, caption=options.caption_column),
        )
    ).without(options.may_differ)
    out = Path(options.out)
    done = run_arithmetic(
        gallery if options.seen else gallery.unseen(options.model),
        options.model,
        out=out,
        factors=options.factor,
        templates=options.template,
        step=options.step,
        move=options.move,
        image_encoder=options.image_encoder,
        seed=options.seed,
        command=options.typed,
        **model_use(options),
    )
    say(*done.notes, *(f"left out: {key}: {reason}" for key, reason in done.left_out.items()), err=True)
    headings = ("factor", "by", "queries", "recall@1", "95 % interval", "recall@5", "median")
    rows = []
    for row in done.table.to_dict("records"):
        interval = "" if row["method"] == "chance" else f"[{row['recall@1_low']:.3f}, {row['recall@1_high']:.3f}]"
        numbers = f"{row['recall@1']:.3f}", interval, f"{row['recall@5']:.3f}", f"{row['median_rank']:g}"
        rows.append((row["factor"], row["method"].replace("_", " "), row["queries"], *numbers))
    title = f"image + text(target) - text(source), among {done.found.gallery} images; median rank"
    show(grid(headings, rows, title=title, left=("factor", "by")))
    over = done.gains[(done.gains["over"] == "image_only") & (done.gains["score"] == "recall@1")]
    say(*(f"{r.factor}: {r.gain:+.3f} [{r.low:+.3f}, {r.high:+.3f}] above the image alone" for r in over.itertuples()))
    say(f"Page: {out / 'page.html'}")
