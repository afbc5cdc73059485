"""`vergence concepts`: images sorted by the concepts that their texts mention, for `vergence awareness`."""

from jsonargparse import ArgumentParser, Namespace

from vergence.cli.options import add_source_columns, require, source_columns

DESCRIPTION = "Sort images by the concepts that their texts mention, as a table or a folder for each, for awareness."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("source", metavar="SOURCE", help="images with texts: what embed and train take")
    parser.add_argument(
        "--lexicon", default="concepts-146", metavar="FILE", help="groups and concepts (default: concepts-146)"
    )
    parser.add_argument(
        "--caption-column", action="append", metavar="NAME", help="texts, or lists of them; may be repeated"
    )
    parser.add_argument("--cluster-column", metavar="NAME", help="column, equal for images that belong together")
    add_source_columns(parser)
    parser.add_argument("--folders", action="store_true", help="write images/GROUP/CONCEPT as well, of PNG files")
    parser.add_argument("--out", metavar="DIR", help="folder for concepts.parquet")
    parser.add_argument("--overwrite", action="store_true", help="replace what is in DIR")


def run(options: Namespace) -> None:
    """Sort; say how many images have a concept, and what can be done next."""
    import shlex
    from pathlib import Path

    from vergence.corpus import load_lexicon
    from vergence.corpus.mentioned import FOLDERS, TABLE, sort_by_mention
    from vergence.folders import when_present
    from vergence.terminal import say

    require(options, out=f"DIR, the folder for {TABLE}")
    lexicon, out = load_lexicon(options.lexicon), Path(options.out)
    done = sort_by_mention(
        options.source,
        lexicon,
        options.caption_column or [None],
        out=out,
        columns=source_columns(options, caption=None, cluster=options.cluster_column),
        folders=options.folders,
        present=when_present(resume=False, overwrite=options.overwrite),
    )
    used = shlex.join(["vergence", "awareness", str(out / TABLE), "--cluster-column", "cluster"])
    lexicon_used = "" if options.lexicon == "concepts-146" else f" --lexicon {shlex.quote(options.lexicon)}"
    say(
        f"{done.kept:,} of {done.images:,} images mention {len(done.counts)} of {len(lexicon.concepts)} concepts: "
        f"{out / TABLE}",
        *([f"a folder for each: {out / FOLDERS}"] if options.folders else []),
        f"see what a model is aware of with: {used}{lexicon_used} --model DIR --out DIR",
    )
