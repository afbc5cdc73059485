"""`vergence awareness`: which concepts a model sees in images, beside how often captions mention them."""

from jsonargparse import ArgumentParser, Namespace

from vergence.cli.options import add_model_use, add_source_columns, model_use, require, source_columns

DESCRIPTION = "Measure which concepts a model sees in images, without training, beside how often captions mention them."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "images", metavar="IMAGES", help="a folder with one of images for each concept, or a source with a column"
    )
    parser.add_argument(
        "--model",
        action="append",
        metavar="DIR",
        help="folder of a training run, of transformers or of open_clip; may be repeated, the page is about the first",
    )
    parser.add_argument(
        "--lexicon", default="concepts-146", metavar="FILE", help="groups and concepts (default: concepts-146)"
    )
    parser.add_argument(
        "--templates", metavar="FILE", help="a sentence with {} a line, or default: scores beside bare names"
    )
    parser.add_argument("--coverage", metavar="AUDIT", help="--out folder of an audit of captions by the same lexicon")
    parser.add_argument("--out", metavar="DIR", help="folder for awareness.json, awareness.parquet and page.html")
    parser.add_argument(
        "--concept-column", default="concept", metavar="NAME", help="column of concepts (default: concept)"
    )
    parser.add_argument("--cluster-column", metavar="NAME", help="column, equal for images that belong together")
    add_source_columns(parser)
    add_model_use(parser, batch_size=64)
    parser.add_argument("--seed", type=int, default=0, help="seed of the intervals")


def run(options: Namespace) -> None:
    """Embed, score, write; say what is seen and what was left out."""
    from pathlib import Path

    from vergence.corpus import load_lexicon
    from vergence.files import read_text
    from vergence.probes.awareness import TEMPLATES
    from vergence.reports.awareness_job import run_awareness
    from vergence.terminal import grid, say, show

    require(options, model="DIR, the folder of a model", out="DIR, the folder for scores")
    given = options.templates
    templates = () if given is None else TEMPLATES if given == "default" else read_text(Path(given)).splitlines()
    out = Path(options.out)
    done = run_awareness(
        options.images,
        options.model,
        lexicon=load_lexicon(options.lexicon),
        out=out,
        templates=[line.strip() for line in templates if line.strip()],
        audit=None if options.coverage is None else Path(options.coverage),
        columns=source_columns(options, caption=options.concept_column, cluster=options.cluster_column),
        seed=options.seed,
        command=options.typed,
        **model_use(options),
    )
    say(*(f"left out: {count:,} rows: {reason}" for reason, count in done.left_out.items()), err=True)
    headings = ("group", "model", "images", "macro-F1", "95 % interval", "guessing", *(["templates"] if given else []))
    rows = []
    for name, table in done.bare.items():
        other = done.templated[name].groups["macro_f1"] if given else [None] * len(table.groups)
        for row, with_templates in zip(table.groups.itertuples(), other, strict=True):
            cells = (
                row.group,
                name,
                row.images,
                f"{row.macro_f1:.3f}",
                f"[{row.macro_f1_low:.3f}, {row.macro_f1_high:.3f}]",
                f"{row.chance_macro_f1:.3f}",
            )
            rows.append((*cells, *([f"{with_templates:.3f}"] if given else [])))
    show(grid(headings, rows, title="zero-shot, within each group", left=("group", "model")))
    say(*(f"coverage and awareness, {name}: Spearman {one}" for name, one in done.trends.items()))
    say(f"Page: {out / 'page.html'}")
