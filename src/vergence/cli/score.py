"""`vergence score`: captions beside references, by every score, and by what they say rightly."""

from collections.abc import Mapping
from typing import Any

from jsonargparse import ArgumentParser, Namespace

DESCRIPTION = "Score captions against references: BLEU, CIDEr, ROUGE-L, and what they say rightly of labelled factors."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "candidates", metavar="CANDIDATES", help="one caption for each key: what vergence caption writes, or a table"
    )
    parser.add_argument(
        "references", metavar="REFERENCES", help="one or more for each key: a table, JSON lines, COCO annotations"
    )
    parser.add_argument("--out", metavar="DIR", help="folder for scores.json and items.parquet")
    parser.add_argument("--key-column", metavar="NAME", help="of REFERENCES, what items are called (default: key, id)")
    parser.add_argument("--caption-column", metavar="NAME", help="of REFERENCES, texts or lists of them")
    parser.add_argument("--lexicon", metavar="FILE", help="groups are factors, concepts their values; with --labels")
    parser.add_argument("--labels", metavar="FILE", help="CSV or Parquet: key, and a column for each factor shown")
    parser.add_argument("--cluster-column", metavar="NAME", help="of the labels, equal for items that belong together")
    parser.add_argument("--seed", type=int, default=0, help="seed of the intervals (default: 0)")
    parser.add_argument("--overwrite", action="store_true", help="replace what is in DIR")


def run(options: Namespace) -> None:
    """Read, score, print, write."""
    from pathlib import Path

    from vergence.cli.options import require
    from vergence.corpus import load_lexicon
    from vergence.data.rows import Columns
    from vergence.data.texts import read_texts
    from vergence.errors import ConfigError
    from vergence.folders import when_present
    from vergence.reports.score_job import score_captions
    from vergence.terminal import grid, say, show

    require(options, out="DIR, the folder for scores.json")
    if options.cluster_column and not options.labels:
        raise ConfigError("--cluster-column is of --labels, which is not given; pass both or neither")
    done = score_captions(
        read_texts(options.candidates),
        read_texts(options.references, Columns(key=options.key_column, caption=options.caption_column)),
        out=Path(options.out),
        lexicon=load_lexicon(options.lexicon) if options.lexicon else None,
        labels=Path(options.labels) if options.labels else None,
        cluster=options.cluster_column,
        seed=options.seed,
        command=options.typed,
        present=when_present(resume=False, overwrite=options.overwrite),
    )
    say(*(f"left out: {count:,} {why}" for why, count in done.left_out.items()), err=True)
    rows = [(row.score, f"{row.value:.4f}", f"[{row.low:.4f}, {row.high:.4f}]") for row in done.scores.itertuples()]
    show(grid(("score", "value", "95 % interval"), rows, title=f"{done.items:,} captions", left=("score",)))
    if done.concepts is not None:
        cells = [
            (
                row["factor"],
                *(_share(row, name) for name in ("precision", "recall", "wrong")),
                f"{row['chance_recall']:.2f}",
            )
            for row in done.concepts.factors.to_dict("records")
        ]
        headings = ("factor", "precision", "recall", "wrong", "by chance")
        show(grid(headings, cells, title="what captions say rightly", left=("factor",)))
    say(f"Written: {Path(options.out) / 'scores.json'}")


def _share(row: Mapping[Any, Any], name: str) -> str:
    known = row[name] == row[name]  # not NaN, which it is of nothing
    return f"{row[name]:.2f} [{row[f'{name}_low']:.2f}, {row[f'{name}_high']:.2f}]" if known else "–"
