"""One page that stands alone: summary, tables, figures and pictures as HTML, JSON or Markdown.

The page carries everything it shows and asks the network for nothing; a content security policy holds it to that. Every
text that came from data passes an escaping template.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType
from typing import Any

from jinja2 import Environment

from vergence.plots import measured_against_predicted, score_by_size, svg
from vergence.plots.style import INK, MUTED, PALETTE, PAPER, RULE, SHADE
from vergence.reports.compare import capitalised, listed, metric_name, number, relate, show, words
from vergence.reports.page import environment
from vergence.reports.summarize import STEADY, Summary, summarize
from vergence.reports.tables import Results, main_size, scores, size_scores, standing

MARKS = MappingProxyType({"agrees": "✓", "disagrees": "≠", "silent": "○", "unmeasured": "?"})
VERDICTS = MappingProxyType(
    {
        "agrees": "theory agrees",
        "disagrees": "theory disagrees",
        "silent": "theory is silent",
        "unmeasured": "no verdict",
    }
)

# Colour in light, colour in dark; the figures' files keep the light ones.
_THEME = MappingProxyType(
    {
        INK: "#e8eaed",
        MUTED: "#a2aab4",
        RULE: "#363c44",
        SHADE: "#262c34",
        PAPER: "#14171b",
        **dict(zip(PALETTE, ("#4db3f0", "#ff8a4c", "#2fc89a", "#e79cc6", "#8fd0f5", "#f5bd4a"), strict=True)),
    }
)
_FONTS = "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"


@dataclass(frozen=True, kw_only=True)
class Report:
    """A finished report, ready to be written in one of three forms.

    Args:
        results: What the run measured.
        summary: What may be said about it.
        figures: SVG by name, for a wide page; a file of each is its name and ".svg".
        narrow: The same figures in one column.
        images: WebP by hexcode; a missing one leaves its label.
    """

    results: Results
    summary: Summary
    figures: Mapping[str, str]
    narrow: Mapping[str, str]
    images: Mapping[str, bytes]

    def html(self) -> str:
        """The report as one HTML page that needs no other file and no network."""
        return _environment().get_template("report.html.j2").render(self._context())

    def markdown(self, *, folder: str = "figures") -> str:
        """The report in GitHub's Markdown, without pictures from the data.

        Args:
            folder: Where the files of `figures` lie, seen from the Markdown file.
        """
        return _environment().get_template("report.md.j2").render(self._context(), folder=folder)

    def json(self) -> str:
        """The results with the summary under "summary", as strict JSON: what is not finite becomes null."""
        return json.dumps(
            _strict({**self.results, "summary": self.summary}), ensure_ascii=False, indent=2, allow_nan=False
        )

    def _context(self) -> dict[str, Any]:
        return {
            "results": self.results,
            "summary": self.summary,
            "marks": MARKS,
            "verdicts": VERDICTS,
            "steady": show(STEADY),
            "factors": list(_factors(self.results)),
            "rows": [_policy_row(self.results, name) for name in self.results["policies"]],
            "captions": list(_captions(self.results, self.images)),
            "retrieval": list(_retrieval(self.results, self.summary, self.images)),
            "figures": list(self._pictures()),
            "run": list(_run(self.results)),
        }

    def _pictures(self) -> Iterator[dict[str, str]]:
        sizes = self.summary["sizes"]
        biased = [v for v in sizes if standing(self.results, v["policy"], v["factor"]) != "named"]
        said = {
            "measured_against_predicted": f"{self.summary['headline']} {self.summary['tally']}",
            "score_by_size": ". ".join(verdict["text"] for verdict in biased or sizes),
        }
        titles = {
            "measured_against_predicted": "Measured and predicted scores by factor and caption policy",
            "score_by_size": "Scores by output size",
        }
        for name in self.figures:
            yield {
                "name": name,
                "alt": f"{titles[name]}. {said[name]}",
                "wide": _data_uri("image/svg+xml", _themed(self.figures[name]).encode()),
                "narrow": _data_uri("image/svg+xml", _themed(self.narrow[name]).encode()),
            }


def build_report(results: Results, *, images: Mapping[str, bytes] = MappingProxyType({})) -> Report:
    """Turn the results of a demo into a report.

    Args:
        results: What `vergence demo` writes into `results.json`.
        images: WebP bytes by hexcode, for captions and retrieval examples.

    Returns:
        The report; nothing is written.

    Raises:
        ConfigError: If the results hold no policy, or no factor was scored.

    Example:
        >>> record = {"metric": "r2_score", "value": 0.97, "low": 0.91, "high": 1.0, "predicted": 1.0}
        >>> report = build_report({"policies": {"faithful": {"factors": {"hue": record}}}})
        >>> report.summary["tally"], list(report.figures)
        ('Theory gives a number for 1 of the 1 scores; ...', ['measured_against_predicted'])
    """
    summary = summarize(results)
    main, sizes = scores(results), size_scores(results)
    wide = {"measured_against_predicted": svg(measured_against_predicted(main))}
    narrow = {"measured_against_predicted": svg(measured_against_predicted(main, n_columns=1))}
    if len(sizes):
        wide["score_by_size"] = svg(score_by_size(sizes))
        narrow["score_by_size"] = svg(score_by_size(sizes, n_columns=1))
    return Report(
        results=results,
        summary=summary,
        figures=MappingProxyType(wide),
        narrow=MappingProxyType(narrow),
        images=images,
    )


def _environment() -> Environment:
    prepared = environment()
    prepared.filters |= {"words": words, "capitalised": capitalised, "md": _markdown}
    return prepared


def _policy_row(results: Results, name: str) -> dict[str, Any]:
    policy = results["policies"][name]
    cells = []
    for factor in _factors(results):
        record = policy["factors"].get(factor["name"], {})
        value, low, high, predicted = (number(record.get(key)) for key in ("value", "low", "high", "predicted"))
        status, relation = relate(record)
        cells.append(
            {
                "value": show(value),
                "interval": "" if low is None or high is None else f"[{show(low)}, {show(high)}]",
                "predicted": "" if predicted is None else f"predicted {show(predicted)}",
                "status": status,
                "relation": relation,
            }
        )
    return {
        "name": name,
        "description": policy.get("description", ""),
        "bias": _bias(results, name),
        "size": main_size(results, name),
        "cells": cells,
    }


def _bias(results: Results, name: str) -> str:
    policy = results["policies"][name]
    factors = [factor["name"] for factor in _factors(results)]
    if not policy.get("misalignment"):
        return ""
    stand = {
        kind: [words(factor) for factor in factors if standing(results, name, factor) == kind]
        for kind in ("named", "perturbed", "omitted")
    }
    probability = number(policy.get("perturbation_probability"))
    often = "" if probability is None else f" in {100 * probability:.0f}\N{NO-BREAK SPACE}% of captions"
    verbs = (("named", "names", ""), ("perturbed", "redraws", often), ("omitted", "leaves out", ""))
    parts = [f"{verb} {listed(stand[kind])}{suffix}" for kind, verb, suffix in verbs if stand[kind]]
    return "; ".join(parts)


def _factors(results: Results) -> Iterator[dict[str, str]]:
    seen: set[str] = set()
    for policy in results["policies"].values():
        for factor, record in policy["factors"].items():
            if factor not in seen:
                seen.add(factor)
                counted = [
                    f"{count} {what}"
                    for count, what in ((record.get("n_test"), "images"), (record.get("n_concepts"), "concepts"))
                    if count is not None
                ]
                metric = metric_name(str(record.get("metric", "score")))
                yield {"name": factor, "metric": metric, "counted": ", ".join(counted)}


def _captions(results: Results, images: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
    """One entry for each picture, with what every policy wrote about it."""
    pictures: dict[str, dict[str, Any]] = {}
    for name, policy in results["policies"].items():
        for example in policy.get("captions", ()):
            picture = pictures.setdefault(
                example["hexcode"],
                {"label": example["label"], "image": _picture(images, example["hexcode"]), "written": []},
            )
            picture["written"].append((name, example["caption"]))
    yield from pictures.values()


def _retrieval(results: Results, summary: Summary, images: Mapping[str, bytes]) -> Iterator[dict[str, Any]]:
    for example, hits in zip(results.get("retrieval", ()), summary["retrieval"], strict=True):
        found = [
            {**hits["policies"][name], "name": name, "items": [_found(item, example, images) for item in items]}
            for name, items in example["policies"].items()
        ]
        yield {
            "query": example["query"],
            "wanted": listed([str(value) for value in example.get("wanted", {}).values()]),
            "policies": found,
        }


def _found(item: Mapping[str, Any], example: Mapping[str, Any], images: Mapping[str, bytes]) -> dict[str, Any]:
    marks = [
        (item["factors"].get(factor) == value, str(item["factors"].get(factor) or f"no {words(factor)}"))
        for factor, value in example.get("wanted", {}).items()
    ]
    return {
        "label": item["label"],
        "image": _picture(images, item["hexcode"]),
        "marks": marks,
        "hit": all(right for right, _ in marks),
    }


def _run(results: Results) -> Iterator[tuple[str, str]]:
    timings = results.get("timings", {})
    for name, value in (
        ("command", results.get("command")),
        ("date", timings.get("date")),
        ("seed", results.get("seed")),
    ):
        if value is not None:
            yield name, str(value)
    if results.get("data"):
        data = results["data"]
        counts = [f"{data[key]} {words(key)}" for key in ("images", "concepts") if key in data]
        split = [f"{data[key]} {words(key)}" for key in ("train", "test", "test_concepts") if key in data]
        yield "data", "; ".join(filter(None, (str(data.get("name", "")), ", ".join(counts), ", ".join(split))))
    if results.get("versions"):
        yield "versions", ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    if number(timings.get("total_seconds")) is not None:
        runs = [f"{name} {seconds:.0f} s" for name, seconds in timings.get("runs", {}).items() if number(seconds)]
        yield "time", f"{timings['total_seconds']:.0f} s" + (f" ({', '.join(runs)})" if runs else "")


def _picture(images: Mapping[str, bytes], hexcode: str) -> str:
    return _data_uri("image/webp", images[hexcode]) if hexcode in images else ""


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"


def _themed(figure: str) -> str:
    """Let a figure follow the reader's choice of a light or a dark page, and use the reader's typeface."""
    names = {light: f"--c{position}" for position, light in enumerate(_THEME)}
    for light, name in names.items():
        figure = figure.replace(light, f"var({name})")
    figure = figure.replace("'DejaVu Sans'", _FONTS)
    light_rule, dark_rule = (
        "".join(f"{name}:{colour};" for name, colour in zip(names.values(), colours, strict=True))
        for colours in (_THEME.keys(), _THEME.values())
    )
    style = f"<style>svg{{{light_rule}}}@media(prefers-color-scheme:dark){{svg{{{dark_rule}}}}}</style>"
    return re.sub(r"(<svg\b[^>]*>)", lambda match: match[1] + style, figure, count=1)


def _markdown(value: object) -> str:
    """Text that Markdown, and HTML inside it, shows as it is, on one line."""
    text = " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~!$])", r"\\\1", text)


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value
