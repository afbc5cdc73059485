"""`vergence audit`: what the captions of a corpus mention, and what they cannot teach."""

from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from vergence.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from vergence.corpus import BiasEstimate, Coverage, Lexicon, Progress

DESCRIPTION = "Count which concepts captions mention; estimate what they omit and get wrong."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files, folders and globs that hold captions")
    parser.add_argument(
        "--caption-column", action="append", metavar="NAME",
        help='a caption column or JSON key; may be repeated; "txt": the .txt members of tar shards (default: caption)',
    )  # fmt: skip
    parser.add_argument("--lexicon", default="concepts-146", metavar="FILE", help="YAML or CSV (default: concepts-146)")
    parser.add_argument("--match", default="word", choices=["word", "substring"], help="whole words, or anywhere")
    parser.add_argument(
        "--labels", metavar="FILE", help="Parquet: captions with one column per factor that images show"
    )
    parser.add_argument(
        "--cluster-column", metavar="NAME", help="column of --labels, equal for captions that belong together"
    )
    parser.add_argument(
        "--detector-errors", metavar="FILE",
        help="JSON {factor: {value: {label: rate}}}, or CSV factor,value,label,rate: errors of --labels to take out",
    )  # fmt: skip
    parser.add_argument(
        "--encoding-size", type=int, metavar="N",
        help="with --labels, forecast for a model of N outputs (default: only what the captions cannot teach)",
    )  # fmt: skip
    parser.add_argument(
        "--out", metavar="DIR", help="folder for coverage.json, coverage.parquet, report.html; resumable"
    )
    parser.add_argument(
        "--fail-under", action="append", metavar="GROUP=SHARE", help="exit code 1 if fewer captions mention it"
    )
    parser.add_argument(
        "--max-caption-bytes", type=int, default=1 << 16, help="longer captions are skipped and counted"
    )
    parser.add_argument("--strict", action="store_true", help="stop at the first thing that cannot be read")
    parser.add_argument(
        "--engine", default="threads", choices=["threads", "processes", "ray"], help="where parts are counted"
    )
    parser.add_argument(
        "--ray-address", default="", metavar="ADDRESS", help="a running Ray cluster (default: a local one)"
    )
    parser.add_argument("--workers", type=int, default=0, help="parts at a time (default: the number of cores)")
    parser.add_argument("--shard-id", type=int, default=0, help="which shard of the corpus to count, from 0")
    parser.add_argument("--num-shards", type=int, default=1, help="how many shards there are")
    parser.add_argument(
        "--merge", nargs="+", metavar="DIR", help="add up the --out folders of shards instead of counting"
    )


def run(options: Namespace) -> int:
    """Audit, write the results, print the table; 1 if a group is below its share."""
    from pathlib import Path

    from rich.console import Console

    from vergence.corpus import concepts_146, forecast, load_lexicon, merge_audits
    from vergence.reports.audit import audit_table

    if bool(options.paths) == bool(options.merge):
        raise ConfigError("name what to audit, or with --merge the folders to add up: vergence audit PATH...")
    for flag in ("detector_errors", "encoding_size"):
        if getattr(options, flag) and not options.labels:
            raise ConfigError(
                f"--{flag.replace('_', '-')} needs labels of what images show; pass --labels FILE as well"
            )
    floors = dict(map(_floor, options.fail_under or ()))
    lexicon: Lexicon = concepts_146() if options.lexicon == "concepts-146" else load_lexicon(options.lexicon)
    chosen = options.lexicon != "concepts-146"
    coverage = merge_audits(options.merge, lexicon if chosen else None) if options.merge else _audit(options, lexicon)
    estimate = _estimate(options, coverage.lexicon) if options.labels else None
    console = Console(highlight=False)
    results = coverage.to_dict()
    console.print(audit_table(results))
    skipped = ", ".join(f"{count:,} {kind}" for kind, count in results["skipped"].items()) or "nothing"
    console.print(f"{coverage.captions:,} captions; skipped: {skipped}", markup=False)
    if estimate is not None:
        said = forecast(estimate, encoding_size=options.encoding_size)
        shown = estimate.factors[["factor", "images", "selection", "wrong_value", "rho"]].assign(
            forecast=said["statement"]
        )
        console.print(shown.to_string(index=False, na_rep="", float_format=lambda x: f"{x:.3f}"), markup=False)
        results |= {
            "misalignment": _records(estimate.factors),
            "misalignment_by_value": _records(estimate.values),
            "forecast": {"encoding_size": options.encoding_size, "statements": said.to_dict("records")},
        }
    if options.out:
        _write(Path(options.out), coverage, results, estimate)
        console.print(f"report: {Path(options.out) / 'report.html'}", markup=False, soft_wrap=True)
    return _verdict(coverage, floors, console)


def _estimate(options: Namespace, lexicon: "Lexicon") -> "BiasEstimate":
    from vergence.corpus.labels import estimate_from_file, read_detectors

    return estimate_from_file(
        options.labels,
        lexicon,
        caption_column=(options.caption_column or ["caption"])[0],
        cluster_column=options.cluster_column,
        detectors=read_detectors(options.detector_errors, lexicon) if options.detector_errors else None,
    )


def _records(table: Any) -> list[dict[str, Any]]:
    import json

    return list(json.loads(table.to_json(orient="records")))


def _audit(options: Namespace, lexicon: "Lexicon") -> "Coverage":
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    from vergence.corpus import Engine, ReadOptions, audit

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, disable=not console.is_terminal) as bars:
        bar = bars.add_task("reading", total=None)

        def show(step: "Progress") -> None:
            seconds = bars.tasks[0].elapsed or 0
            rate = f"{step.captions / seconds / 1e3:,.0f} k captions/s" if seconds else "reading"
            bars.update(bar, total=step.total_bytes, completed=step.done_bytes, description=rate)

        return audit(
            options.paths,
            lexicon,
            match=options.match,
            options=ReadOptions(
                columns=tuple(options.caption_column or ()),
                max_caption_bytes=options.max_caption_bytes,
                strict=options.strict,
            ),
            engine=Engine(kind=options.engine, workers=options.workers, address=options.ray_address),
            out=options.out,
            shard=(options.shard_id, options.num_shards),
            progress=show,
        )


def _write(folder: "Path", coverage: "Coverage", results: dict[str, Any], estimate: "BiasEstimate | None") -> None:
    import json

    from vergence.reports.audit import audit_html

    folder.mkdir(parents=True, exist_ok=True)
    factors = estimate.factors if estimate is not None else None
    text = json.dumps(results, ensure_ascii=False, indent=1, allow_nan=False)
    (folder / "coverage.json").write_text(text + "\n", encoding="utf-8")
    coverage.table().to_parquet(folder / "coverage.parquet", index=False)
    coverage.co_mentions().to_parquet(folder / "co_mentions.parquet", index=False)
    (folder / "report.html").write_text(audit_html(results, estimate=factors), encoding="utf-8")


def _floor(text: str) -> tuple[str, float]:
    group, sign, share = text.rpartition("=")
    try:
        value = float(share)
    except ValueError:
        value = -1.0
    if not sign or not 0 <= value <= 1:
        raise ConfigError(f"--fail-under takes GROUP=SHARE with a share in [0, 1], such as animal=0.01; got {text!r}")
    return group, value


def _verdict(coverage: "Coverage", floors: dict[str, float], console: Any) -> int:
    from vergence.errors import unknown

    shares = dict(zip(*coverage.group_table()[["group", "share"]].T.values.tolist(), strict=True))
    code = 0
    for group, floor in floors.items():
        if group not in shares:
            raise ConfigError(unknown("group", group, shares))
        if shares[group] < floor:
            console.print(f"below the floor: {group} {shares[group]:.6f} < {floor}", markup=False)
            code = 1
    return code
