"""`vergence compare`: what changed from one model, corpus or run to another, and whether it is worse."""

from jsonargparse import ArgumentParser, Namespace

from vergence.cli.options import add_model_use, add_source_columns, model_use, source_columns

DESCRIPTION = "Compare results before and after: every score that both have, with an interval for its difference."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "before", metavar="BEFORE",
        help="a folder of awareness, embed, audit, probe, align, spectrum, train or a study; or one with such a folder"
        " for each seed",
    )  # fmt: skip
    parser.add_argument(
        "after", nargs="+", metavar="AFTER", help="others of the same kind; each is compared with BEFORE"
    )
    parser.add_argument("--out", metavar="DIR", help="folder for compare.json, compare.parquet and page.html")
    parser.add_argument(
        "--fail-if-worse", type=float, metavar="X",
        help="exit code 1 if a score is worse by more than X, beyond chance",
    )  # fmt: skip
    parser.add_argument("--labels", metavar="FILE", help="of embedded images: a key, a column for each factor to probe")
    parser.add_argument("--factors", metavar="NAMES", help="columns to probe, with commas between (default: all)")
    parser.add_argument("--cluster-column", metavar="NAME", help="column, equal for images that belong together")
    parser.add_argument("--test-fraction", type=float, default=0.3, metavar="SHARE", help="of clusters (default: 0.3)")
    parser.add_argument("--floor", metavar="DIR", help="embeddings of the same images by an untrained encoder")
    parser.add_argument("--ceiling", metavar="DIR", help="embeddings of the same images by one trained on the labels")
    parser.add_argument("--data", metavar="SOURCE", help="images and captions that models are compared on")
    parser.add_argument("--caption-column", metavar="NAME", help="column of captions (default: by its name)")
    add_source_columns(parser)
    add_model_use(parser, batch_size=128)
    parser.add_argument("--seed", type=int, default=0, help="seed of splits and intervals (default: 0)")


def run(options: Namespace) -> int:
    """Compare, write, print; 1 if a score has fallen by more than is allowed."""
    from pathlib import Path

    from vergence.reports.comparison.embedded import Labelling
    from vergence.reports.comparison.job import Settings, run_compare
    from vergence.reports.comparison.page import label, shared_said, terminal
    from vergence.terminal import plain, say, show

    def folder(name: str | None) -> Path | None:
        return None if name is None else Path(name)

    labelling = Labelling(
        labels=folder(options.labels),
        factors=None if options.factors is None else tuple(options.factors.split(",")),
        cluster=options.cluster_column,
        test_fraction=options.test_fraction,
        floor=folder(options.floor),
        ceiling=folder(options.ceiling),
    )
    settings = Settings(
        labelling=labelling,
        data=options.data,
        columns=source_columns(options, caption=options.caption_column),
        fail_if_worse=options.fail_if_worse,
        seed=options.seed,
        **model_use(options),
    )
    out = folder(options.out)
    done = run_compare(options.before, options.after, settings=settings, out=out, command=options.typed)
    failed = False
    for one in done:
        show(plain(one.finding, style="bold"))
        show(terminal(one))
        say(*shared_said(one.shared), *(f"note: {note}" for note in one.notes))
        for row in one.fallen.to_dict("records"):
            failed = True
            say(
                f"worse by more than {options.fail_if_worse:g}: {label(row)}, {row['before']:.3f} -> {row['after']:.3f}"
            )
    if out is not None:
        say(f"Page: {out / 'page.html'}")
    return int(failed)
