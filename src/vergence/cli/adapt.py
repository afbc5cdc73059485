"""`vergence adapt`: go on from a model on pairs of one's own; what it gains, beside what it forgets."""

from typing import Any

from jsonargparse import ArgumentParser, Namespace

from vergence.cli.options import add_source_columns, require

DESCRIPTION = "Go on training a model, or a part of it, on your pairs; say what it gains and what it forgets."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model", metavar="MODEL", help="folder of a training run, of transformers, or of open_clip")
    parser.add_argument("data", metavar="DATA", help="the pairs to adapt it to: any source that vergence train reads")
    parser.add_argument("--out", metavar="DIR", help="folder for the run, the adapted model and adapt.json")
    parser.add_argument(
        "--train",
        default="both",
        metavar="PART",
        help="what is fitted: both towers, image, text, heads or lora (default: both)",
    )
    parser.add_argument("--rank", type=int, default=8, metavar="N", help="of lora, the rank (default: 8)")
    parser.add_argument("--alpha", type=float, default=16.0, metavar="X", help="of lora, scaled by X / N (default: 16)")
    parser.add_argument(
        "--layers", default=[], nargs="+", metavar="NAME", help="of lora, how names of layers end (default: all linear)"
    )
    parser.add_argument(
        "--new-words", action="store_true", help="of an export of ours: learn words that it does not know"
    )
    parser.add_argument("--epochs", type=int, default=10, metavar="N", help="most passes over the pairs (default: 10)")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="pairs in a batch (default: 64)")
    parser.add_argument(
        "--learning-rate",
        type=float,
        metavar="X",
        help="highest rate (default: of towers 1e-5, of heads 1e-3, of lora 2e-4, for large models)",
    )
    parser.add_argument("--validation", type=float, default=0.1, metavar="X", help="share held out (default: 0.1)")
    parser.add_argument(
        "--stop", default="loss", metavar="NAME", help="what of held-out pairs ends it: loss or recall (default: loss)"
    )
    parser.add_argument(
        "--patience", type=int, default=3, metavar="N", help="epochs without improvement that end it (default: 3)"
    )
    parser.add_argument("--caption-column", metavar="NAME", help="column of captions (default: by its name)")
    parser.add_argument("--cluster-column", metavar="NAME", help="column, equal for rows that are held out together")
    add_source_columns(parser)
    parser.add_argument(
        "--remember", metavar="SOURCE", help="pairs of what was known before, measured before and after"
    )
    parser.add_argument("--remember-caption-column", metavar="NAME", help="column of their captions")
    parser.add_argument(
        "--remember-concepts", metavar="IMAGES", help="a folder of images for each concept: zero-shot, likewise"
    )
    parser.add_argument(
        "--lexicon", default="concepts-146", metavar="FILE", help="groups of these concepts (default: concepts-146)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of everything random (default: 0)")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu, or auto for a GPU if there is one")
    parser.add_argument("--workers", type=int, metavar="N", help="threads that decode (default: one for each core)")
    parser.add_argument("--resume", action="store_true", help="continue the same run in DIR if it was stopped")
    parser.add_argument("--overwrite", action="store_true", help="replace the run in DIR")


def run(options: Namespace) -> None:
    """Adapt, and say what was gained and forgotten."""
    import os
    from pathlib import Path

    from vergence.corpus import load_lexicon
    from vergence.folders import when_present
    from vergence.reports.adapting import zero_shot_measure
    from vergence.terminal import grid, say, show
    from vergence.training.adapt import REPORT, adapt, adaptation
    from vergence.training.spec import DataConfig

    require(options, out="DIR, the folder for the run and the adapted model")
    out = Path(options.out)
    data = DataConfig(
        source=options.data,
        image_column=options.image_column,
        caption_column=options.caption_column,
        key_column=options.key_column,
        cluster_column=options.cluster_column,
        images=options.root,
        validation=options.validation,
        workers=options.workers,
    )
    config = adaptation(
        options.model,
        data,
        part=options.train,
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        stop=options.stop,
        patience=options.patience,
        seed=options.seed,
        device=options.device,
        start={
            "rank": options.rank,
            "alpha": options.alpha,
            "layers": tuple(options.layers),
            "new_words": options.new_words,
        },
    )
    known = options.remember_concepts
    done = adapt(
        config,
        out=out,
        remember=_remembered(options),
        measures={"concepts": zero_shot_measure(known, load_lexicon(options.lexicon), workers=data.threads)}
        if known
        else {},
        present=when_present(resume=options.resume, overwrite=options.overwrite),
        command=options.typed,
    )
    if int(os.environ.get("RANK", "0")):  # one of the processes that torchrun started says it for all
        return
    rows = [_cells(row) for row in done.scores.itertuples()]
    headings = ("pairs", "score", "before", "after", "difference", "95 % interval")
    show(grid(headings, rows, title="before and after", left=("pairs", "score")))
    epochs = len(done.training.history)
    say(
        f"Weights of epoch {done.training.epoch} of {epochs}, the best on held-out pairs",
        f"Report: {out / REPORT}",
        f"Model: {(out / 'encoder').resolve()}",
    )


def _remembered(options: Namespace) -> Any:
    from vergence.errors import ConfigError
    from vergence.training.spec import DataConfig

    if options.remember is None:
        if options.remember_caption_column:
            raise ConfigError("--remember-caption-column is of --remember, which is not given; pass both or neither")
        return None
    return DataConfig(source=options.remember, caption_column=options.remember_caption_column, workers=options.workers)


def _cells(row: Any) -> tuple[str, ...]:
    interval = "" if row.low != row.low else f"[{row.low:+.3f}, {row.high:+.3f}]"
    score = row.score.replace("_retrieval_", " ")
    return row.where, score, f"{row.before:.3f}", f"{row.after:.3f}", f"{row.difference:+.3f}", interval
