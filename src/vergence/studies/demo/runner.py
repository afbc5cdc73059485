"""The main job: predict, train, probe, retrieve; resumable run by run and epoch by epoch."""

import platform
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import vergence
from vergence.data import POLICIES, STYLE
from vergence.encoders import DualEncoder
from vergence.folders import JobFolder, WhenPresent
from vergence.probes import encode, oracle_scores
from vergence.reports import build_report
from vergence.studies.demo.corpus import Captioned, Corpus, caption, load_corpus, queries
from vergence.studies.demo.spec import DemoSpec
from vergence.studies.demo.training import halves, train_and_probe
from vergence.studies.pool import Teller, finish_runs
from vergence.studies.progress import StudyProgress
from vergence.theory import predict
from vergence.training.checkpoint import write_tensors
from vergence.views import ViewPair

Results = dict[str, Any]
_EXAMPLES = 4  # captions shown for each policy
_HITS = 6  # images shown for each query


def run_demo(
    spec: DemoSpec,
    *,
    seed: int,
    out: Path,
    present: WhenPresent,
    command: str,
    progress: StudyProgress,
    data: Path | None = None,
) -> Results:
    """Run the main job and write its results, figures and report.

    Args:
        spec: What to train.
        seed: Seed of everything random, >= 0.
        out: Folder for the results; runs that it holds already are not repeated.
        present: What to do if it is not empty.
        command: What to type to get the same again.
        progress: Told what happens.
        data: Another file of the embedded set's form; the embedded set if `None`.

    Returns:
        What `results.json` holds.

    Raises:
        CorpusError: If the data file is missing or damaged; nothing has been written then.
        ConfigError: If the folder cannot be used; it is as it was then.
    """
    started = time.perf_counter()
    corpus = load_corpus(spec, seed=seed, data=data)
    job = {"job": "demo", "seed": seed, "settings": asdict(spec), "data": corpus.digest()}
    folder = JobFolder.claim(out, job, present=present)
    progress.say(
        f"{len(spec.runs())} trainings, seed {seed}; what theory predicts goes to {out / 'predictions.json'} first"
    )
    predictions = _predictions(spec, corpus)
    folder.write_json(
        "predictions.json", [{"policy": p, "encoding_size": n, "predicted": v} for (p, n), v in predictions.items()]
    )
    runs = _measured(spec, folder, seed=seed, data=data, progress=progress)
    for run, predicted in predictions.items():
        for factor, record in runs[run]["factors"].items():
            record["predicted"] = predicted[factor]
    results = _results(spec, corpus, runs, seed=seed, command=command)
    results["timings"] |= {
        "date": datetime.now(UTC).date().isoformat(),
        "total_seconds": round(time.perf_counter() - started, 1),
    }
    _write(results, corpus, folder)
    return results


def _predictions(spec: DemoSpec, corpus: Corpus) -> dict[tuple[str, int], dict[str, float | str]]:
    """What theory says of every run; nothing has been trained yet."""
    space = corpus.emoji.space
    nothing = torch.zeros(len(corpus.emoji), 0)
    fit, test = halves(corpus, nothing)
    predictions = {}
    for policy in spec.policies:
        bias = POLICIES[policy].misalignment
        oracle = oracle_scores(fit, test, space, bias)
        for size in spec.sizes(policy):
            found = predict(space, bias, encoding_size=size, oracle=oracle)
            predictions[policy, size] = {
                name: one.low if one.low == one.high else "size-dependent" for name, one in found.items()
            }
    return predictions


def _measured(
    spec: DemoSpec, folder: JobFolder, *, seed: int, data: Path | None, progress: StudyProgress
) -> dict[tuple[str, int], Results]:
    """Every run, from the folder if it has been done."""
    names = {f"{policy}-{size}": (policy, size) for policy, size in spec.runs()}
    runs = {
        name: _Run(spec, policy, size, seed=seed, data=data, folder=folder.path / "runs" / name)
        for name, (policy, size) in names.items()
    }
    done = finish_runs(_run, runs, folder, progress=progress, outcome=_one_line)
    return {names[name]: result for name, result in done.items()}


@dataclass(frozen=True)
class _Run:
    """One training: everything that a worker process has to know."""

    spec: DemoSpec
    policy: str
    size: int
    seed: int
    data: Path | None
    folder: Path


def _run(run: _Run, tell: Teller) -> Results:
    """Train one dual encoder and measure it."""
    started = time.perf_counter()
    spec, policy, size, seed, folder = run.spec, run.policy, run.size, run.seed, run.folder
    tell(0, spec.training.epochs)
    corpus = load_corpus(spec, seed=seed, data=run.data)
    captioned = caption(corpus, policy, seed=seed)
    trained = train_and_probe(spec, corpus, captioned, name=policy, size=size, seed=seed, folder=folder, tell=tell)
    encoder = trained.encoder
    write_tensors(folder / "encoder.safetensors", encoder.state_dict(), {"vocabulary": captioned.vocabulary.to_json()})
    return {
        "policy": policy,
        "encoding_size": size,
        "factors": trained.factors,
        "retrieval": _retrieve(encoder, captioned, corpus, trained.z_image),
        "captions": _examples(captioned, corpus),
        "losses": trained.losses,
        "seconds": round(time.perf_counter() - started, 1),
    }


def _examples(captioned: Captioned, corpus: Corpus) -> list[dict[str, str]]:
    """Captions of the same few images under every policy: the first ones of training that state tone and gender."""
    labels = corpus.emoji.labels.iloc[corpus.train]
    people = corpus.train[labels[["skin_tone", "gender"]].notna().all(axis=1).to_numpy()]
    things = corpus.train[labels["skin_tone"].isna().to_numpy()]
    shown = [*people[:: max(1, len(people) // (_EXAMPLES - 1))][: _EXAMPLES - 1], *things[len(things) // 2 :][:1]]
    emoji = corpus.emoji
    return [
        {"hexcode": emoji.keys[row], "label": emoji.texts[row], "caption": captioned.captions[row]} for row in shown
    ]


def _retrieve(encoder: DualEncoder, captioned: Captioned, corpus: Corpus, z_image: Tensor) -> list[Results]:
    """The images of unseen concepts nearest to each query, by cosine."""
    labels = corpus.emoji.labels.iloc[corpus.test].reset_index(drop=True)
    gallery = z_image[corpus.test]
    found = []
    for wanted in queries(labels):
        query = ", ".join(STYLE.word(factor, value) for factor, value in wanted.items())
        text = ViewPair(image=captioned.views.image[:1], text=captioned.vocabulary.encode([query]))
        z_text = encode(encoder, text).normalized().z_text[0]
        best = (gallery @ z_text).topk(min(_HITS, len(gallery))).indices.tolist()
        hits = [
            {
                "hexcode": corpus.emoji.keys[corpus.test[row]],
                "label": corpus.emoji.texts[corpus.test[row]],
                "factors": labels.iloc[row].dropna().to_dict(),
            }
            for row in best
        ]
        found.append({"query": query, "wanted": wanted, "hits": hits})
    return found


def _results(
    spec: DemoSpec, corpus: Corpus, runs: dict[tuple[str, int], Results], *, seed: int, command: str
) -> Results:
    """Everything that was found, by policy at the main size and by output size."""
    emoji = corpus.emoji
    main = {policy: runs[policy, spec.main_size] for policy in spec.policies}
    several = [policy for policy in spec.policies if len(spec.sizes(policy)) > 1]
    return {
        "command": command,
        "seed": seed,
        "versions": {
            "vergence": vergence.__version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numpy", "scikit-learn", "accelerate")},
        },
        "settings": asdict(spec),
        "data": {
            "name": "Fluent 3D emoji, labelled by emojibase",
            "digest": corpus.digest(),
            "images": len(emoji),
            "concepts": len(set(emoji.clusters)),
            "train": len(corpus.train),
            "test": len(corpus.test),
            "test_concepts": len(set(emoji.clusters[corpus.test])),
        },
        "factors": {factor.name: list(factor.values or ()) for factor in emoji.space.factors},
        "main_size": spec.main_size,
        "policies": {policy: _policy(policy, run, corpus) for policy, run in main.items()},
        "sizes": {
            policy: [
                {
                    "encoding_size": size,
                    "factors": runs[policy, size]["factors"],
                    "losses": runs[policy, size]["losses"],
                }
                for size in spec.sizes(policy)
            ]
            for policy in several
        },
        "retrieval": [
            {
                "query": shown["query"],
                "wanted": shown["wanted"],
                "policies": {policy: run["retrieval"][i]["hits"] for policy, run in main.items()},
            }
            for i, shown in enumerate(main[spec.policies[0]]["retrieval"])
        ],
        "timings": {"runs": {f"{policy}-{size}": run["seconds"] for (policy, size), run in runs.items()}},
    }


def _policy(name: str, run: Results, corpus: Corpus) -> Results:
    policy, space = POLICIES[name], corpus.emoji.space
    bias = policy.misalignment
    in_order = {
        "selected": bias.selected,
        "perturbed": bias.perturbed,
        "omitted": bias.omitted(space),
        "unbiased": bias.unbiased,
    }
    return {
        "description": policy.description,
        "misalignment": {part: [factor for factor in space if factor in names] for part, names in in_order.items()},
        "perturbation_probability": next(
            (getattr(channel, "probability", None) for channel in bias.channels.values()), None
        ),
        "captions": run["captions"],
        "encoding_size": run["encoding_size"],
        "factors": run["factors"],
        "losses": run["losses"],
    }


def _one_line(run: Results) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {record['value']:.2f}" for name, record in run["factors"].items())


def _write(results: Results, corpus: Corpus, folder: JobFolder) -> None:
    """Write results, figures and the report, the report last: where it is, everything is."""
    folder.write_json("results.json", results)
    shown = {hit["hexcode"] for query in results["retrieval"] for hits in query["policies"].values() for hit in hits}
    shown |= {example["hexcode"] for policy in results["policies"].values() for example in policy["captions"]}
    emoji = corpus.emoji
    images = {code: emoji.images.file(row) for row, code in enumerate(emoji.keys) if code in shown}
    report = build_report(results, images=images)
    for name, svg in report.figures.items():
        folder.write_text(f"figures/{name}.svg", svg)
    folder.write_text("report.html", report.html())
