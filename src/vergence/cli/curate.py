"""`vergence curate`: change captions on purpose, with provenance, and turn them back."""

from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from vergence.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from vergence.curation import Curation, Order, Planned
    from vergence.engines import Engine

DESCRIPTION = "Change what captions say, as a target asks: planned first, every edit written down, reversible."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "paths", nargs="*", metavar="SOURCE", help="files, folders and globs that hold captions; with --undo the DIR"
    )
    parser.add_argument(
        "--caption-column", default="caption", metavar="C",
        help="the caption column, JSON key, or field of tar samples (default: caption, in tar samples txt)",
    )  # fmt: skip
    parser.add_argument(
        "--key-column",
        default="",
        metavar="K",
        help="what rows are called; labels are found by it (default: row numbers)",
    )
    parser.add_argument(
        "--labels", metavar="FILE", help="Parquet: keys in column K, and one column per factor that images show"
    )
    parser.add_argument("--lexicon", metavar="L", help="YAML or CSV; its groups are the factors")
    parser.add_argument(
        "--target", metavar="T.yaml",
        help="what is wanted: {omit: [color]}, {faithful: [color]}, {perturb: {color: 0.9}}, {balance: [color]}, ...",
    )  # fmt: skip
    parser.add_argument(
        "--tagger", metavar="FOLDER",
        help="a transformers token classifier of parts of speech: puts what is added before its noun",
    )  # fmt: skip
    parser.add_argument(
        "--rewriter", metavar="FOLDER",
        help="a transformers model that writes text, for what no rule can edit; audited, and refused if it does more",
    )  # fmt: skip
    parser.add_argument(
        "--prompt", metavar="TEXT", help="what --rewriter is asked, with {wish} and {caption} (default: in English)"
    )
    parser.add_argument("--out", metavar="DIR", help="folder for captions/, edits.parquet, page.html; resumable")
    parser.add_argument("--plan", action="store_true", help="say what would be done and what it buys; write nothing")
    parser.add_argument(
        "--undo", action="store_true", help="write the files of the curation SOURCE as they were to DIR"
    )
    parser.add_argument(
        "--delimiter", default="", metavar="CHAR", help="between fields of CSV and TSV (default: by format)"
    )
    parser.add_argument("--no-header", action="store_true", help="columns of CSV and TSV are called 1, 2, 3 ...")
    parser.add_argument("--max-caption-bytes", type=int, default=1 << 16, help="longer captions are left and counted")
    parser.add_argument("--seed", type=int, default=0, help="of all draws (default: 0)")
    parser.add_argument("--encoding-size", type=int, metavar="N", help="expect scores for a model of N outputs")
    parser.add_argument("--bottleneck", type=float, metavar="BETA", help="weight of squared distances in its training")
    parser.add_argument("--temperature", type=float, metavar="TAU", help="of these distances; give both or neither")
    parser.add_argument(
        "--engine", default="threads", choices=["threads", "processes", "ray"], help="where files are edited"
    )
    parser.add_argument(
        "--ray-address", default="", metavar="ADDRESS", help="a running Ray cluster (default: a local one)"
    )
    parser.add_argument(
        "--workers", type=int, default=0, metavar="N", help="files at a time (default: one for each core)"
    )
    parser.add_argument("--shard-id", type=int, default=0, help="which shard of the files to do, from 0")
    parser.add_argument("--num-shards", type=int, default=1, help="how many shards there are")


def run(options: Namespace) -> None:
    """Plan; unless only that was asked for, edit, write the results and say what was done."""
    from pathlib import Path

    from vergence.cli.options import require
    from vergence.curation import make_plan

    if options.plan and options.undo:
        raise ConfigError("--plan and --undo exclude one another; give one of them")
    if not options.paths:
        raise ConfigError("name the captions to change: vergence curate SOURCE --lexicon L --target T.yaml --out DIR")
    if options.undo:
        require(options, out="DIR, a new folder for the files as they were")
        _undo(options, Path(options.out))
        return
    require(options, lexicon="FILE", target="T.yaml, such as {omit: [color]}")
    if not options.plan:
        require(options, out="DIR, the folder for the changed captions")
    order = _order(options)
    with _progress("looking through") as show:
        planned = make_plan(order, engine=_engine(options), progress=show)
    _show_plan(planned)
    if not options.plan:
        _curate(options, order, planned, Path(options.out))


def _order(options: Namespace) -> "Order":
    from vergence.corpus import load_lexicon
    from vergence.curation import Columns, Order, read_target
    from vergence.curation.writing import PROMPT
    from vergence.random import check_seed

    check_seed(options.seed)
    if (options.bottleneck is None) != (options.temperature is None):
        raise ConfigError("--bottleneck acts relative to --temperature; give both or neither")
    if options.encoding_size is not None and not options.labels:
        raise ConfigError("--encoding-size needs labels of what images show; pass --labels FILE as well")
    lexicon = load_lexicon(options.lexicon)
    return Order(
        paths=tuple(options.paths),
        lexicon=lexicon,
        target=read_target(options.target, lexicon),
        columns=Columns(
            caption=options.caption_column,
            key=options.key_column,
            delimiter={"\\t": "\t"}.get(options.delimiter, options.delimiter),
            header=not options.no_header,
            max_caption_bytes=options.max_caption_bytes,
        ),
        labels=options.labels,
        seed=options.seed,
        encoding_size=options.encoding_size,
        bottleneck=options.bottleneck or 0.0,
        temperature=options.temperature,
        tagger=options.tagger,
        writer=options.rewriter,
        prompt=options.prompt or PROMPT,
    )


def _curate(options: Namespace, order: "Order", planned: "Planned", out: "Path") -> None:
    from vergence.curation import curate
    from vergence.reports.curation import curation_html, done_lines
    from vergence.terminal import say

    with _progress("editing") as show:
        curation = curate(
            order, planned, out, engine=_engine(options), shard=(options.shard_id, options.num_shards), progress=show
        )
    if curation.done < curation.files:
        say(f"{curation.done} of {curation.files} files are done; edits.parquet and page.html come with the last shard")
        return
    page = curation_html(planned, curation, about=_about(options, planned), when="vergence curate")
    _write(out, curation, page)
    say(*done_lines(curation), f"captions: {out / 'captions'}", f"page: {out / 'page.html'}")


def _write(out: "Path", curation: "Curation", page: str) -> None:
    from vergence.curation.job import RESULT
    from vergence.files import write_json, write_text

    write_json(out / RESULT, curation.tally.to_dict(), of_job=True)
    write_text(out / "page.html", page, of_job=True)


def _about(options: Namespace, planned: "Planned") -> dict[str, object]:
    from vergence import __version__

    return {
        "captions": ", ".join(map(str, options.paths)),
        "files": len(planned.files),
        "lexicon": options.lexicon,
        "target": options.target,
        "labels": options.labels or "none",
        "seed": options.seed,
        **{name: options[name] for name in ("tagger", "rewriter", "prompt") if options[name]},
        "version": __version__,
        "way back": f"vergence curate {options.out} --undo --out NEW",
    }


def _show_plan(planned: "Planned") -> None:
    from vergence.reports.curation import cost_lines, order_table, strength_table
    from vergence.terminal import say, show

    show(order_table(planned))
    if planned.before is not None:
        say("")
        show(strength_table(planned))
    say("", *cost_lines(planned), "")


def _undo(options: Namespace, out: "Path") -> None:
    from pathlib import Path

    from vergence.curation import undo
    from vergence.terminal import say

    if len(options.paths) != 1:
        raise ConfigError(f"--undo takes the folder of one curation; got {len(options.paths)} names")
    with _progress("turning back") as show:
        count = undo(Path(options.paths[0]), out, engine=_engine(options), progress=show)
    say(f"{count} files as they were, byte for byte: {out / 'captions'}")


def _progress(what: str) -> Any:
    from contextlib import contextmanager

    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    from vergence.terminal import bars

    @contextmanager
    def shown() -> Any:
        with bars(MofNCompleteColumn(), TimeRemainingColumn()) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    return shown()


def _engine(options: Namespace) -> "Engine":
    from vergence.engines import Engine

    return Engine(kind=options.engine, workers=options.workers, address=options.ray_address)
