"""Plausible results of a demo, for tests of what is said about them."""

import io
from typing import Any

from PIL import Image

FACTORS = {
    "skin_tone": ["light", "medium-light", "medium", "medium-dark", "dark"],
    "gender": ["woman", "man"],
    "group": ["people & body", "food & drink"],
    "subgroup": ["person-role", "food-fruit"],
}
SCORES = {
    "labels": {"skin_tone": 0.76, "gender": 0.41, "group": 0.58, "subgroup": 0.35},
    "faithful": {"skin_tone": 0.80, "gender": 0.31, "group": 0.64, "subgroup": 0.41},
    "omit": {"skin_tone": 0.26, "gender": 0.34, "group": 0.62, "subgroup": 0.40},
    "perturb": {"skin_tone": 0.24, "gender": 0.29, "group": 0.65, "subgroup": 0.42},
}
DESCRIPTIONS = {
    "labels": "The real English labels, as they are",
    "faithful": "Every factor is named",
    "omit": "Skin tone is never mentioned",
    "perturb": "Skin tone is redrawn at random",
}
HEXCODES = ["1F9D1-1F3FF-200D-1F33E", "1F469-1F3FB", "1F468-1F3FD-200D-1F373", "1F34E"]


def record(value: float | None, predicted: float | str = 1.0, **more: Any) -> dict[str, Any]:
    low, high = (None, None) if value is None else (round(value - 0.06, 4), round(min(1.0, value + 0.06), 4))
    return {
        "metric": "matthews_corrcoef", "value": value, "low": low, "high": high,
        "predicted": predicted, "n_test": 300, "n_concepts": 60, **more,
    }  # fmt: skip


def misalignment(policy: str) -> dict[str, list[str]]:
    everything = list(FACTORS)
    others = [name for name in everything if name != "skin_tone"]
    if policy == "omit":
        return {"selected": others, "perturbed": [], "omitted": ["skin_tone"], "unbiased": others}
    if policy == "perturb":
        return {"selected": everything, "perturbed": ["skin_tone"], "omitted": [], "unbiased": others}
    return {"selected": everything, "perturbed": [], "omitted": [], "unbiased": everything}


def demo_results(*policies: str) -> dict[str, Any]:
    """Results of a demo with these policies, all four if none is named."""
    chosen = policies or tuple(SCORES)
    return {
        "command": "vergence demo --out demo --seed 0",
        "seed": 0,
        "quick": False,
        "versions": {"vergence": "0.1.0", "torch": "2.13.0", "python": "3.11.2"},
        "data": {
            "name": "Fluent 3D emoji + emojibase", "images": 3372, "concepts": 1646,
            "train": 2370, "test": 1002, "test_concepts": 494,
        },
        "factors": FACTORS,
        "main_size": 16,
        "policies": {name: _policy(name) for name in chosen},
        "sizes": {name: _sweep(name) for name in chosen if name in ("faithful", "omit")},
        "retrieval": [
            _query("a woman with dark skin", {"skin_tone": "dark", "gender": "woman"}, chosen),
            _query("a man with light skin", {"skin_tone": "light", "gender": "man"}, chosen),
            _query("a person with medium skin", {"skin_tone": "medium"}, chosen),
        ],
        "timings": {"date": "2026-11-21", "total_seconds": 301.4, "runs": {f"{name}-16": 31.0 for name in chosen}},
    }  # fmt: skip


def _policy(name: str) -> dict[str, Any]:
    silent = {"omit", "perturb"} & {name}
    labels = ["farmer: dark skin tone", "woman: light skin tone", "man cook: medium skin tone", "red apple"]
    captions = {
        "labels": labels,
        "faithful": [
            "a drawing: dark skin tone, people & body, person-role",
            "a drawing: woman, light skin tone, people & body, person",
            "a picture of people & body: man, medium skin tone, person-role",
            "a drawing: food & drink, food-fruit",
        ],
        "omit": [
            "a drawing: people & body, person-role",
            "a drawing: woman, people & body, person",
            "a picture of people & body: man, person-role",
            "a drawing: food & drink, food-fruit",
        ],
        "perturb": [
            "a drawing: light skin tone, people & body, person-role",
            "a drawing: woman, medium-dark skin tone, people & body, person",
            "a picture of people & body: man, dark skin tone, person-role",
            "a drawing: food & drink, food-fruit",
        ],
    }[name]
    return {
        "description": DESCRIPTIONS[name],
        "misalignment": misalignment(name),
        "perturbation_probability": 0.9 if name == "perturb" else None,
        "captions": [
            {"hexcode": hexcode, "label": label, "caption": caption}
            for hexcode, label, caption in zip(HEXCODES, labels, captions, strict=True)
        ],
        "encoding_size": 16,
        "factors": {
            factor: record(value, "size-dependent" if silent and factor == "skin_tone" else 1.0)
            for factor, value in SCORES[name].items()
        },
    }


def _sweep(name: str) -> list[dict[str, Any]]:
    tones = {4: 0.55, 3: 0.17, 16: SCORES[name]["skin_tone"], 64: 0.82 if name == "faithful" else 0.44}
    smallest = len(misalignment(name)["unbiased"])
    sweep = []
    for size in (smallest, 16, 64):
        scores = SCORES[name] | {"skin_tone": tones[size]}
        silent = name == "omit" and size > smallest
        factors = {
            factor: record(
                round(value - (0.12 if size == smallest and factor != "skin_tone" else 0), 4),
                1.0 if factor != "skin_tone" or name == "faithful" else "size-dependent" if silent else 0.0,
            )
            for factor, value in scores.items()
        }
        sweep.append({"encoding_size": size, "factors": factors})
    return sweep


def _query(query: str, wanted: dict[str, str], policies: tuple[str, ...]) -> dict[str, Any]:
    near = [{**wanted}, {**wanted, "skin_tone": "medium-dark"}, {**wanted, "gender": None}]

    def item(name: str, rank: int) -> dict[str, Any]:
        factors = near[0 if name != "omit" and rank < 4 else rank % 3]
        return {"hexcode": HEXCODES[rank % 3], "label": f"person {rank}", "factors": factors}

    return {
        "query": query,
        "wanted": wanted,
        "policies": {name: [item(name, rank) for rank in range(6)] for name in policies},
    }


def images() -> dict[str, bytes]:
    """One small picture for each emoji of the results."""
    pictures = {}
    for position, hexcode in enumerate(HEXCODES):
        buffer = io.BytesIO()
        Image.new("RGB", (64, 64), (90 * position % 256, 140, 200)).save(buffer, "WEBP")
        pictures[hexcode] = buffer.getvalue()
    return pictures
