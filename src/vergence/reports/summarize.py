"""From the numbers of a run to what may be said about them: every sentence and every verdict is computed here.

Where theory is silent a measurement is reported without a verdict; a number that is missing is said to be missing.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypedDict

from vergence.errors import ConfigError
from vergence.reports.compare import (
    Status,
    capitalised,
    compare,
    listed,
    number,
    relate,
    show,
    touching,
    words,
)
from vergence.reports.tables import Record, Results, baseline_policy, block, main_size, standing

STEADY = 0.10  # a score that moves by no more than this is said to stay
FEW_CONCEPTS = 20  # with fewer test concepts, intervals are said to be wide


class Verdict(TypedDict):
    """One sentence about one factor under one policy, and whether theory agrees with it."""

    policy: str
    factor: str
    status: Status
    text: str


class Summary(TypedDict):
    """What a report says beyond the numbers themselves."""

    headline: str
    tally: str
    baseline: str | None
    counts: dict[str, int]
    predictions: list[Verdict]
    contrasts: list[Verdict]
    sizes: list[Verdict]
    retrieval: list[dict[str, Any]]
    notes: list[str]


def summarize(results: Results) -> Summary:
    """Say in sentences what a run found and where theory and measurement part.

    Args:
        results: What `vergence demo` writes into `results.json`, scores in [-1, 1]. Sizes and retrieval may be
            missing, factors may differ between policies, and a score may be `None` or NaN.

    Returns:
        A plain dictionary: a headline, a tally of predictions, verdicts on single predictions (`predictions`), on
        differences between policies (`contrasts`) and on output sizes (`sizes`), retrieval hits, and notes of caution.

    Raises:
        ConfigError: If the results hold no policy.

    Example:
        >>> def tone(value, low, high, predicted):
        ...     record = {"metric": "matthews_corrcoef", "value": value, "low": low, "high": high}
        ...     return {"skin_tone": record | {"predicted": predicted}}
        >>> summary = summarize({"main_size": 16, "policies": {
        ...     "faithful": {"misalignment": {"unbiased": ["skin_tone"]}, "factors": tone(0.80, 0.72, 0.86, 1.0)},
        ...     "omit": {"misalignment": {"unbiased": ["group"]}, "factors": tone(0.21, 0.1, 0.3, "size-dependent")}}})
        >>> for verdict in (*summary["predictions"], *summary["contrasts"]):
        ...     print(verdict["status"], "|", verdict["text"])
        disagrees | skin tone: predicted 1.00, measured 0.80 [0.72, 0.86]: below the prediction
        silent | skin tone: measured 0.21 [0.10, 0.30]; theory is silent at 16 outputs
        silent | Under omit, skin tone falls from 0.80 to 0.21; the intervals do not touch
    """
    if not results.get("policies"):
        raise ConfigError("results must hold at least one policy; got none. Run: vergence demo --out DIR")
    baseline = baseline_policy(results)
    predictions = [
        Verdict(policy=name, factor=factor, status=status, text=f"{words(factor)}: {phrase}")
        for name, policy in results["policies"].items()
        for factor, record in policy["factors"].items()
        for status, phrase in [compare(record, size=main_size(results, name))]
    ]
    counts = Counter(verdict["status"] for verdict in predictions)
    return Summary(
        headline=_headline(results, baseline),
        tally=_tally(counts),
        baseline=baseline,
        counts={status: counts[status] for status in ("agrees", "disagrees", "silent", "unmeasured")},
        predictions=predictions,
        contrasts=[] if baseline is None else list(_contrasts(results, baseline)),
        sizes=_sizes(results),
        retrieval=[_hits(example) for example in results.get("retrieval", ())],
        notes=list(_notes(results)),
    )


# ------------------------------------------------------------------------------------------------ between policies
def _contrasts(results: Results, baseline: str) -> Iterator[Verdict]:
    reference = results["policies"][baseline]["factors"]
    for name, policy in results["policies"].items():
        for factor, record in policy["factors"].items():
            if name != baseline and factor in reference:
                status, text = _contrast(words(factor), baseline, reference[factor], name, record)
                yield Verdict(policy=name, factor=factor, status=status, text=text)


def _contrast(factor: str, baseline: str, reference: Record, policy: str, record: Record) -> tuple[Status, str]:
    before, after = number(reference.get("value")), number(record.get("value"))
    if before is None or after is None:
        missing = baseline if before is None else policy
        return "unmeasured", f"Under {policy}, {factor} cannot be compared: not measured under {missing}"
    touch = touching(reference, record)
    if _steady(before, after):
        text = f"stays within {STEADY:.2f} of its {baseline} value ({show(after)} against {show(before)})"
    else:
        text = f"{'falls' if after < before else 'rises'} from {show(before)} to {show(after)}"
        text += "" if touch is None else f"; the intervals {'overlap' if touch else 'do not touch'}"
    return _direction(reference, record), f"Under {policy}, {factor} {text}"


def _direction(reference: Record, record: Record) -> Status:
    """Whether a difference is the one that theory predicts; silence about either side is silence about both."""
    before, after, predicted_before, predicted_after = (
        number(side.get(key)) for key in ("value", "predicted") for side in (reference, record)
    )
    touch = touching(reference, record)
    if predicted_before is None or predicted_after is None:
        return "silent"
    if before is None or after is None or touch is None:
        return "unmeasured"
    if predicted_before == predicted_after:
        return "agrees" if touch or _steady(before, after) else "disagrees"
    return "agrees" if not touch and (after < before) == (predicted_after < predicted_before) else "disagrees"


def _steady(before: float, after: float) -> bool:
    return round(abs(after - before), 9) <= STEADY


# ----------------------------------------------------------------------------------------------------- output sizes
def _sizes(results: Results) -> list[Verdict]:
    """Verdicts on sweeps; first those on what captions omit or get wrong, for there theory falls silent."""
    verdicts = []
    for name, runs in results.get("sizes", {}).items():
        for factor in dict.fromkeys(factor for run in runs for factor in run["factors"]):
            sweep = [(int(run["encoding_size"]), run["factors"].get(factor, {})) for run in runs]
            status, text = _sweep(sweep)
            subject = f"Under {name}, {words(factor)} ({standing(results, name, factor)})"
            verdicts.append(Verdict(policy=name, factor=factor, status=status, text=f"{subject} {text}"))
    return sorted(verdicts, key=lambda verdict: standing(results, verdict["policy"], verdict["factor"]) == "named")


def _sweep(sweep: list[tuple[int, Record]]) -> tuple[Status, str]:
    measured = [(size, record) for size, record in sweep if number(record.get("value")) is not None]
    if not measured:
        return "unmeasured", "was not measured at any size"
    first, *later = [f"{show(number(record['value']))} at {size}" for size, record in measured]
    text = f"measures {', '.join([f'{first} outputs', *later])}" + (f": {_trend(measured)}" if later else "")
    verdicts: dict[tuple[Status, str], list[str]] = {}
    for size, record in measured:
        status, relation = relate(record)
        predicted = number(record.get("predicted"))
        relation = relation.replace("the prediction", "it")
        said = relation if predicted is None else f"predicted {show(predicted)}, measured {relation}"
        verdicts.setdefault((status, said), []).append(str(size))
    for (_, said), sizes in verdicts.items():
        text += f". At {listed(sizes)}: {said}"
    found = {status for status, _ in verdicts}
    loudest: tuple[Status, ...] = ("disagrees", "agrees", "unmeasured", "silent")
    return next(status for status in loudest if status in found), text


def _trend(measured: list[tuple[int, Record]]) -> str:
    (_, first), (_, last) = measured[0], measured[-1]
    before, after = number(first["value"]), number(last["value"])
    assert before is not None
    assert after is not None
    if touching(first, last) is not False:
        return "it stays" if _steady(before, after) else "it moves, but the first and the last interval overlap"
    return "it rises with the output size" if after > before else "it falls with the output size"


# ------------------------------------------------------------------------------------------------ the whole at once
def _headline(results: Results, baseline: str | None) -> str:
    candidates = [] if baseline is None else _biased(results, baseline)
    if baseline is None or not candidates:
        return _plain_headline(results)
    # Of what most policies get wrong or leave out, the factor that this moves most.
    count = Counter(factor for factor, _ in candidates)
    factor = max(count, key=lambda name: (count[name], _largest_move(results, baseline, name, candidates)))
    policies = [policy for name, policy in candidates if name == factor]
    records = {name: results["policies"][name]["factors"][factor] for name in (baseline, *policies)}
    when = {"named": "captions name it", "omitted": "they leave it out", "perturbed": "they get it wrong"}
    scored = [
        f"{show(number(record['value']))} when {when[standing(results, name, factor)]}"
        for name, record in records.items()
    ]
    subject = f"{capitalised(words(factor))}, read from images of concepts the model has never seen,"
    return f"{subject} scores {listed(scored)}: {_fall(records, baseline, policies)}."


def _fall(records: Mapping[str, Record], baseline: str, policies: list[str]) -> str:
    lower = [
        name
        for name in policies
        if touching(records[baseline], records[name]) is False and records[name]["value"] < records[baseline]["value"]
    ]
    if not lower:
        return "no clear fall"
    if lower != policies:
        return f"clearly lower under {listed(lower)} only"
    few = {1: "the intervals do not touch", 2: "neither interval touches the first"}
    return few.get(len(policies), "none of these intervals touches the first")


def _biased(results: Results, baseline: str) -> list[tuple[str, str]]:
    """Factors that the baseline's captions get right and another policy's do not, measured under both."""
    policies = results["policies"]
    return [
        (factor, name)
        for name in policies
        for factor in policies[name]["factors"]
        if factor in block(results, baseline)
        and factor not in block(results, name)
        and all(number(policies[side]["factors"].get(factor, {}).get("value")) is not None for side in (baseline, name))
    ]


def _largest_move(results: Results, baseline: str, factor: str, candidates: list[tuple[str, str]]) -> float:
    policies = [policy for name, policy in candidates if name == factor]
    before, *after = (results["policies"][name]["factors"][factor]["value"] for name in (baseline, *policies))
    return float(max(abs(value - before) for value in after))


def _plain_headline(results: Results) -> str:
    name, policy = next(iter(results["policies"].items()))
    measured = {factor: number(record.get("value")) for factor, record in policy["factors"].items()}
    parts = [f"{words(factor)} {show(value)}" for factor, value in measured.items() if value is not None]
    if not parts:
        return f"This run holds no measurement under {name}."
    return f"Read from images of concepts the model has never seen, under {name} captions: {listed(parts)}."


def _tally(counts: Mapping[Status, int]) -> str:
    agrees, spoken = counts["agrees"], counts["agrees"] + counts["disagrees"]
    parts = []
    if spoken:
        held = "every one" if agrees == spoken else "none" if not agrees else str(agrees)
        parts.append(
            f"Theory gives a number for {spoken} of the {sum(counts.values())} scores; "
            f"the measured interval holds it for {held} of them."
        )
    if counts["silent"]:
        parts.append(f"On {counts['silent']} it is silent: there the answer depends on the output size.")
    if counts["unmeasured"]:
        parts.append(f"{counts['unmeasured']} could not be judged, for want of a measurement or an interval.")
    return " ".join(parts)


def _hits(example: Mapping[str, Any]) -> dict[str, Any]:
    wanted = example.get("wanted", {}).items()
    found = {
        name: {
            "shown": len(items),
            "matching": sum(all(item["factors"].get(factor) == value for factor, value in wanted) for item in items),
        }
        for name, items in example["policies"].items()
    }
    return {"query": example["query"], "policies": found}


def _notes(results: Results) -> Iterator[str]:
    if results.get("quick") or results.get("settings", {}).get("concepts") is not None:
        yield "This was a quick run on a subset: it shows that everything works, not how well."
    few: dict[str, int] = {}
    for factor, record in _records(results):
        concepts = number(record.get("n_concepts"))
        if concepts is not None and concepts < FEW_CONCEPTS:
            few[factor] = min(int(concepts), few.get(factor, FEW_CONCEPTS))
    if few:
        counted = listed([f"{words(factor)} ({concepts})" for factor, concepts in few.items()])
        yield f"Fewer than {FEW_CONCEPTS} test concepts stand behind {counted}: read these intervals with care."


def _records(results: Results) -> Iterable[tuple[str, Record]]:
    return [item for policy in results["policies"].values() for item in policy["factors"].items()]
