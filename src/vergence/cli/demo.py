"""`vergence demo`: the main job on the embedded set."""

from jsonargparse import ArgumentParser, Namespace

from vergence.errors import ConfigError

DESCRIPTION = "Train on four kinds of captions; show what theory predicted beside what was learned."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", metavar="DIR", help="folder for report.html, results.json, figures, weights")
    parser.add_argument(
        "--policies", metavar="NAMES", help="caption policies to compare, with commas between (default: all)"
    )
    parser.add_argument(
        "--data", metavar="FILE", help="another file of the embedded set's form (default: the embedded set)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default: 0)")
    parser.add_argument(
        "--quick", action="store_true", help="a subset and two epochs: shows that it works, not what is learned"
    )
    parser.add_argument("--resume", action="store_true", help="continue the same job in DIR if it was stopped")
    parser.add_argument("--overwrite", action="store_true", help="replace the job in DIR")


def run(options: Namespace) -> None:
    """Run the main job, print its table and where the report is."""
    if options.out is None:
        raise ConfigError(
            "--out is missing; pass --out DIR, the folder for report.html, results.json, figures and weights"
        )
    from pathlib import Path

    from vergence.folders import when_present
    from vergence.random import generator
    from vergence.reports import table
    from vergence.studies.demo import POLICIES, DemoSpec, run_demo
    from vergence.studies.progress import StudyProgress
    from vergence.terminal import say, show

    present = when_present(resume=options.resume, overwrite=options.overwrite)
    generator(options.seed)  # refuses a seed that is none
    policies = tuple(options.policies.split(",")) if options.policies else tuple(POLICIES)
    spec = DemoSpec.quick(policies=policies) if options.quick else DemoSpec(policies=policies)
    flags = (["--policies", options.policies] if options.policies else []) + (["--quick"] if options.quick else [])
    command = " ".join(["vergence demo --out DIR", *flags, f"--seed {options.seed}"])
    out = Path(options.out)
    with StudyProgress("all runs") as progress:
        results = run_demo(
            spec,
            seed=options.seed,
            out=out,
            present=present,
            command=command,
            progress=progress,
            data=Path(options.data) if options.data else None,
        )
    show(table(results))
    say(f"Report: {(out / 'report.html').resolve()}")
