"""`vergence label`: what images show, without anybody who labels them all, for `vergence audit --labels`."""

from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

from vergence.cli.options import add_model_use, add_source_columns, made_by, model_use, require, source_columns
from vergence.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from vergence.data.labelling import Labelled
    from vergence.data.rows import Columns

DESCRIPTION = "Label images by their pixels or by a model, and measure how often labels are wrong, for audit and probe."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "source", metavar="SOURCE", help="a CSV of paths and captions, a folder, COCO annotations, tar shards, Parquet"
    )
    parser.add_argument(
        "--pixels", metavar="FACTORS",
        help="any of color,lightness,chroma,aspect,transparency, with commas between (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--model", metavar="DIR", help="label by its zero-shot scores: a training run, or of transformers or open_clip"
    )
    parser.add_argument("--lexicon", metavar="FILE", help="with --model, whose groups and concepts to ask for")
    parser.add_argument(
        "--templates", metavar="FILE", help="with --model, a sentence with {} a line, or default (default: bare names)"
    )
    parser.add_argument(
        "--several", metavar="GROUPS",
        help="with --model, groups of which an image may show several concepts or none, with commas between",
    )  # fmt: skip
    parser.add_argument(
        "--margin",
        type=float,
        metavar="P",
        help="with --model, no label where probabilities differ less (default: 0.1)",
    )
    parser.add_argument(
        "--threshold", type=float, metavar="P", help="with --several, from which probability on it is there (0.5)"
    )
    parser.add_argument("--out", metavar="DIR", help="folder for labels.parquet, lexicon.yaml and errors.json")
    parser.add_argument(
        "--ask", type=int, metavar="N", help="write a sheet that asks a person about N images for each factor"
    )
    parser.add_argument(
        "--width", type=float, metavar="W", help="ask about so many that the share of wrong labels is known this well"
    )
    parser.add_argument("--answers", metavar="CSV", help="what the sheet gave: estimate the error rates of the labels")
    parser.add_argument("--seed", type=int, default=0, help="seed of the images that are asked about (default: 0)")
    parser.add_argument("--caption-column", metavar="NAME", help="column of captions (default: by its name)")
    add_source_columns(parser)
    add_model_use(parser, batch_size=64)


def run(options: Namespace) -> None:
    """Label; say how many images have which label and what was left out; ask, or read answers; say what comes next."""
    from pathlib import Path

    require(options, out="DIR, the folder for labels")
    _check(options)
    out, columns = Path(options.out), source_columns(options, caption=options.caption_column)
    use = model_use(options)
    if options.answers and use["present"] == "refuse":
        use["present"] = "resume"
    done = _by_model(options, out, columns, use) if options.model else _by_pixels(options, out, columns, use)
    _say_labels(done, out)
    if options.answers:
        _read(options, out)
    else:
        _ask(options, out, columns)
    _say_next(out)


def _check(options: Namespace) -> None:
    """Refuse what does not go together, before anything is read."""
    from vergence.checks import at_least, inside

    if options.model and options.pixels:
        raise ConfigError("--pixels and --model are two ways to label; pass one of them")
    for flag in ("lexicon", "templates", "several", "margin", "threshold"):
        if options[flag] is not None and not options.model:
            raise ConfigError(f"--{flag} is about labels by a model; pass --model DIR as well")
    if options.model:
        require(options, lexicon="FILE, the groups and concepts that are asked for")
    if sum(options[flag] is not None for flag in ("ask", "width", "answers")) > 1:
        raise ConfigError("--ask and --width say how many questions there are, --answers reads them; pass one of them")
    if options.ask is not None:
        at_least("ask", options.ask, 1)
    if options.width is not None:
        inside("width", options.width, 0, 1)


def _by_pixels(options: Namespace, out: "Path", columns: "Columns", use: dict[str, Any]) -> "Labelled":
    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    from vergence.data.labelling import label_source
    from vergence.data.pixels import PIXEL_FACTORS
    from vergence.terminal import bars

    chosen = list(PIXEL_FACTORS) if options.pixels is None else [name.strip() for name in options.pixels.split(",")]
    words = ["vergence", "label", options.source, "--pixels", ",".join(chosen), *_given(options)]
    with bars(MofNCompleteColumn(), TimeRemainingColumn()) as shown:
        bar = shown.add_task("images", total=None)
        return label_source(
            options.source,
            chosen,
            out=out,
            columns=columns,
            workers=use["workers"],
            present=use["present"],
            about=made_by(words, ("vergence", "numpy", "pillow", "scikit-image")),
            progress=lambda images, of: shown.update(bar, completed=images, total=of),
        )


def _by_model(options: Namespace, out: "Path", columns: "Columns", use: dict[str, Any]) -> "Labelled":
    from pathlib import Path

    from vergence.corpus import load_lexicon
    from vergence.files import read_text
    from vergence.probes.assigned import MARGIN, THRESHOLD
    from vergence.probes.awareness import BARE, TEMPLATES
    from vergence.reports.label_job import Rule, label_by_model

    templates: tuple[str, ...] = BARE
    if options.templates is not None:
        lines = TEMPLATES if options.templates == "default" else read_text(Path(options.templates)).splitlines()
        templates = tuple(line.strip() for line in lines if line.strip())
    several = [] if options.several is None else [name.strip() for name in options.several.split(",")]
    rule = Rule(
        margin=MARGIN if options.margin is None else options.margin,
        threshold=THRESHOLD if options.threshold is None else options.threshold,
        several=several,
        templates=templates,
    )
    words = ["vergence", "label", options.source, "--model", options.model, *_given(options)]
    return label_by_model(
        options.source,
        options.model,
        lexicon=load_lexicon(options.lexicon),
        out=out,
        rule=rule,
        columns=columns,
        about=made_by(words, ("vergence", "numpy", "pillow", "torch", "transformers", "open_clip_torch")),
        **use,
    )


def _given(options: Namespace) -> list[object]:
    """What else was asked for, as the command line has it."""
    words: list[object] = []
    for name in ("lexicon", "templates", "several", "margin", "threshold", "image_column", "caption_column"):
        words += [f"--{name.replace('_', '-')}", options[name]] if options[name] is not None else []
    words += ["--key-column", options.key_column] if options.key_column is not None else []
    words += ["--images", options.root] if options.root is not None else []
    return [*words, "--out", options.out]


def _say_labels(done: "Labelled", out: "Path") -> None:
    from vergence.data.labelling import LABELS
    from vergence.terminal import say

    say(*(f"passed over: {note}" for note in done.notes), err=True)
    if done.left_out:
        counts = ", ".join(f"{reason} ({count})" for reason, count in done.left_out.items())
        say(f"left out: {sum(done.left_out.values()):,} rows: {counts}", *(f"  {row}" for row in done.rows), err=True)
    for name, values in done.values.items():
        counts = ", ".join(f"{value} {count:,}" for value, count in values.items() if count)
        none = ", ".join(f"{count:,} ({reason})" for reason, count in done.unlabelled[name].items())
        say(f"{name}: {counts or 'no label'}" + (f"; without a label {none}" if none else ""))
    say(f"{done.images:,} images, {done.captions:,} captions: {out / LABELS}")


def _ask(options: Namespace, out: "Path", columns: "Columns") -> None:
    """Say how many answers are needed, and write the sheet if it was asked for."""
    if options.model is None and options.ask is None and options.width is None:
        return
    from vergence.folders import JobFolder
    from vergence.reports.label_sample import SHEET, WIDTHS, ask, askable
    from vergence.terminal import grid, say, show

    asked = askable(out)
    widths = sorted({*WIDTHS, *([options.width] if options.width is not None else [])}, reverse=True)
    rows = [
        (factor, f"{sum(of.images):,}", *(f"{of.needed(width):,}" for width in widths)) for factor, of in asked.items()
    ]
    headings = ("factor", "labelled", *(f"width {width:g}" for width in widths))
    show(
        grid(headings, rows, title="answers needed for the share of wrong labels to be known so well", left=("factor",))
    )
    if options.ask is None and options.width is None:
        say("how often labels are wrong is not known: pass --resume and --width W or --ask N for a sheet of questions")
        return
    n = {factor: options.ask or of.needed(options.width) for factor, of in asked.items()}
    for factor, many in n.items():
        of = asked[factor]
        say(f"{factor}: {min(many, sum(of.images)):,} questions, an interval of at most {of.width(many):.3f}")
    count = ask(JobFolder(out), options.source, columns, n, seed=options.seed)
    say(f"{count:,} questions: open {out / SHEET}, then pass what it gives: --answers answers.csv")


def _read(options: Namespace, out: "Path") -> None:
    from pathlib import Path

    from vergence.folders import JobFolder
    from vergence.reports.label_sample import errors_from_answers
    from vergence.terminal import grid, say, show

    found = errors_from_answers(JobFolder(out), Path(options.answers))
    rows = [
        (
            factor,
            f"{one.told + one.cannot_tell:,} of {one.asked:,}",
            f"{one.cannot_tell:,}",
            f"{one.none:.1%}",
            f"{one.wrong:.3f}",
            f"[{one.low:.3f}, {one.high:.3f}]",
        )
        for factor, one in found.items()
    ]
    headings = ("factor", "answered", "cannot tell", "shows none", "wrong labels", "95 % interval")
    show(grid(headings, rows, title="how often labels are wrong", left=("factor",)))
    say(*(f"{factor}: no rates: {one.note}" for factor, one in found.items() if one.note), err=True)


def _say_next(out: "Path") -> None:
    """The command that reads the labels."""
    import shlex

    from vergence.data.labelling import ERRORS, LABELS, LEXICON
    from vergence.terminal import say

    words = ["vergence", "audit", out / LABELS, "--labels", out / LABELS, "--lexicon", out / LEXICON]
    words += ["--detector-errors", out / ERRORS] if (out / ERRORS).is_file() else []
    say(f"what captions say of it: {shlex.join(map(str, words))}")
