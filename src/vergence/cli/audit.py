"""`vergence audit`: what the captions of a corpus mention, and what they cannot teach."""

from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from vergence.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from vergence.corpus import BiasEstimate, Coverage, Lexicon, Progress, ReadOptions

DESCRIPTION = "Count which concepts captions mention; estimate what they omit and get wrong."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files, folders and globs that hold captions")
    parser.add_argument(
        "--caption-column", action="append", metavar="NAME",
        help="a caption column, JSON key, or field of tar samples such as txt; a.b is inside structs or objects; may be"
        " repeated (default: caption, in tar samples txt before it)",
    )  # fmt: skip
    parser.add_argument(
        "--delimiter", default="", metavar="CHAR",
        help="between fields of CSV, TSV and .txt files, which are tables then; '\\t' is a tab (default: by format)",
    )  # fmt: skip
    parser.add_argument(
        "--no-header", action="store_true", help="the first row of CSV and TSV is data; columns are called 1, 2, 3 ..."
    )
    parser.add_argument("--lexicon", default="concepts-146", metavar="FILE", help="YAML or CSV (default: concepts-146)")
    parser.add_argument("--match", default="word", choices=["word", "substring"], help="whole words, or anywhere")
    parser.add_argument(
        "--labels", metavar="FILE", help="Parquet: captions with one column per factor that images show"
    )
    parser.add_argument(
        "--key-column", default="", metavar="K",
        help="column of keys in PATH and --labels: captions are those of PATH, and labels are found by key",
    )  # fmt: skip
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
        "--bottleneck", type=float, metavar="BETA",
        help="with --labels, the weight of the mean squared distance of pairs in training (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--temperature", type=float, metavar="TAU",
        help="of the squared distances in training; a bottleneck acts relative to it: give both or neither",
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

    from vergence.corpus import concepts_146, forecast, load_lexicon, merge_audits
    from vergence.corpus.store import claim_results
    from vergence.reports.audit import audit_html
    from vergence.terminal import say

    if bool(options.paths) == bool(options.merge):
        raise ConfigError("name what to audit, or with --merge the folders to add up: vergence audit PATH...")
    for flag in ("key_column", "detector_errors", "encoding_size", "bottleneck", "temperature"):
        if getattr(options, flag) not in (None, "") and not options.labels:
            raise ConfigError(
                f"--{flag.replace('_', '-')} needs labels of what images show; pass --labels FILE as well"
            )
    _check_keys(options)
    at = _training(options)
    floors = dict(map(_floor, options.fail_under or ()))
    lexicon: Lexicon = concepts_146() if options.lexicon == "concepts-146" else load_lexicon(options.lexicon)
    chosen = options.lexicon != "concepts-146"
    if chosen or not options.merge:  # a merge brings its own lexicon
        _require_groups(floors, lexicon)
    if options.out:
        out = Path(options.out)
        if any(out.resolve() == Path(folder).resolve() for folder in options.merge or ()):
            raise ConfigError(f"--out {out} is one of the folders to add up; choose another one")
        claim_results(out)
    coverage = merge_audits(options.merge, lexicon if chosen else None) if options.merge else _audit(options, lexicon)
    estimate = _estimate(options, coverage) if options.labels else None
    results = coverage.to_dict()
    said = None if estimate is None else forecast(estimate, **at)
    if estimate is not None and said is not None:
        results |= {
            "misalignment": _records(estimate.factors),
            "misalignment_by_value": _records(estimate.values),
            "said_by_shown": _records(estimate.tables[estimate.tables["captions"] != 0]),
            "labels": {"rows": estimate.rows, "lost": dict(estimate.lost)},
            "spectrum": _records(estimate.spectrum),
            "forecast": {**at, "statements": said.to_dict("records")},
        }
    if options.out:  # before anything is printed, which may go to a pipe that ends early
        _write(out, coverage, results, audit_html(results, estimate=estimate, forecast=said))
    _show(results, estimate, said)
    if options.out:
        say(f"report: {out / 'report.html'}")
    return _verdict(coverage, floors)


def _check_keys(options: Namespace) -> None:
    """What does not go with labels by key is refused before anything is counted."""
    if not options.key_column:
        return
    if options.cluster_column:
        raise ConfigError("--cluster-column is of captions in --labels; by --key-column those of one key are together")
    if options.merge or options.num_shards > 1:
        raise ConfigError("--key-column reads the captions again, all of them; leave out --merge and --num-shards")
    if len(options.caption_column or ()) > 1:
        raise ConfigError("--key-column takes captions of one column; name one --caption-column")


def _training(options: Namespace) -> dict[str, Any]:
    """For what training the forecast is, checked before hours of counting."""
    from vergence.checks import at_least, non_negative, positive

    if (options.bottleneck is None) != (options.temperature is None):
        given, other = ("bottleneck", "temperature")[:: 1 if options.temperature is None else -1]
        raise ConfigError(f"--{given} acts together with the {other}; pass --{other} as well")
    if options.encoding_size is not None:
        at_least("encoding_size", options.encoding_size, 1)
    if options.bottleneck is None:
        return {"encoding_size": options.encoding_size, "bottleneck": 0.0, "temperature": 1.0}
    non_negative("bottleneck", options.bottleneck)
    positive("temperature", options.temperature)
    return {name: getattr(options, name) for name in ("encoding_size", "bottleneck", "temperature")}


def _show(results: dict[str, Any], estimate: "BiasEstimate | None", said: "pd.DataFrame | None") -> None:
    """Print what was found, then the tables behind it."""
    from vergence.reports.audit import audit_table, finding_table
    from vergence.reports.bias import estimate_lines, factor_tables, said_tables
    from vergence.reports.findings import findings
    from vergence.terminal import plain, show

    found = findings(results, estimate, results.get("forecast"))
    show(plain(found.headline, style="bold"), finding_table(found), "")
    if estimate is not None and said is not None:
        show(*factor_tables(estimate, said), "", *said_tables(estimate), "")
        show(*map(plain, estimate_lines(estimate)), "")
    show("Share of captions that mention a group, with Wilson's interval", audit_table(results), "")
    skipped = ", ".join(f"{count:,} {kind}" for kind, count in results["skipped"].items()) or "nothing"
    show(plain(f"{results['captions']:,} captions; skipped: {skipped}"))
    for title, counts in (("fields of samples", results["fields"]), ("not captions", results["passed_over"])):
        if counts:
            show(plain(f"{title}: {_listed(counts)}"))


def _listed(counts: dict[str, int]) -> str:
    """The ten most frequent names with their counts."""
    first = sorted(counts.items(), key=lambda entry: -entry[1])[:10]
    more = f" and {len(counts) - 10} more" if len(counts) > 10 else ""
    return ", ".join(f"{count:,} {name}" for name, count in first) + more


def _estimate(options: Namespace, coverage: "Coverage") -> "BiasEstimate":
    from vergence.corpus.detectors import read_detectors
    from vergence.corpus.labels import estimate_from_file

    lexicon, reading = coverage.lexicon, _reading(options)
    detectors = read_detectors(options.detector_errors, lexicon) if options.detector_errors else None
    if options.key_column:
        from vergence.curation import Columns, estimate_by_key

        columns = Columns(
            caption=reading.columns[0] if reading.columns else "caption",
            key=options.key_column,
            delimiter=reading.delimiter,
            header=reading.header,
            max_caption_bytes=reading.max_caption_bytes,
        )
        return estimate_by_key(
            options.paths, options.labels, lexicon, columns=columns, match=coverage.match, detectors=detectors
        )
    return estimate_from_file(
        options.labels,
        lexicon,
        options=reading,
        match=coverage.match,
        cluster_column=options.cluster_column,
        detectors=detectors,
    )


def _records(table: Any) -> list[dict[str, Any]]:
    """Rows as JSON can hold them, no digit lost: NaN is null."""
    return list(table.astype(object).where(table.notna(), None).to_dict("records"))


def _reading(options: Namespace) -> "ReadOptions":
    from vergence.corpus import ReadOptions

    return ReadOptions(
        columns=tuple(options.caption_column or ()),
        max_caption_bytes=options.max_caption_bytes,
        strict=options.strict,
        delimiter={"\\t": "\t"}.get(options.delimiter, options.delimiter),
        header=not options.no_header,
    )


def _audit(options: Namespace, lexicon: "Lexicon") -> "Coverage":
    from rich.progress import TaskProgressColumn, TimeRemainingColumn

    from vergence.corpus import Engine, audit
    from vergence.terminal import bars

    engine = Engine(kind=options.engine, workers=options.workers, address=options.ray_address)
    with bars(TaskProgressColumn(), TimeRemainingColumn()) as shown:
        bar = shown.add_task("reading", total=None)

        def show(step: "Progress") -> None:
            seconds = shown.tasks[0].elapsed or 0
            rate = f"{step.captions / seconds / 1e3:,.0f} k captions/s" if seconds else "reading"
            shown.update(bar, total=step.total_bytes, completed=step.done_bytes, description=rate)

        return audit(
            options.paths,
            lexicon,
            match=options.match,
            options=_reading(options),
            engine=engine,
            out=options.out,
            shard=(options.shard_id, options.num_shards),
            progress=show,
        )


def _write(folder: "Path", coverage: "Coverage", results: dict[str, Any], page: str) -> None:
    import json

    from vergence.files import whole, write_text

    text = json.dumps(results, ensure_ascii=False, indent=1, allow_nan=False)
    write_text(folder / "coverage.json", text + "\n")
    for name, table in (("coverage", coverage.table()), ("co_mentions", coverage.co_mentions())):
        with whole(folder / f"{name}.parquet") as partial:
            table.to_parquet(partial, index=False)
    write_text(folder / "report.html", page)


def _floor(text: str) -> tuple[str, float]:
    group, sign, share = text.rpartition("=")
    try:
        value = float(share)
    except ValueError:
        value = -1.0
    if not sign or not 0 <= value <= 1:
        raise ConfigError(f"--fail-under takes GROUP=SHARE with a share in [0, 1], such as animal=0.01; got {text!r}")
    return group, value


def _require_groups(floors: dict[str, float], lexicon: "Lexicon") -> None:
    """A floor for a group that there is not is a mistake to say before hours of counting."""
    from vergence.errors import unknown

    names = [group.name for group in lexicon.groups]
    for group in floors:
        if group not in names:
            raise ConfigError(unknown("group", group, names))


def _verdict(coverage: "Coverage", floors: dict[str, float]) -> int:
    from vergence.terminal import say

    _require_groups(floors, coverage.lexicon)
    shares = dict(zip(*coverage.group_table()[["group", "share"]].T.values.tolist(), strict=True))
    below = {group: floor for group, floor in floors.items() if shares[group] < floor}
    for group, floor in below.items():
        say(f"below the floor: {group} {shares[group]:.6f} < {floor}")
    return int(bool(below))
