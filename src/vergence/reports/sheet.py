"""A contact sheet on which a person says what images show: one image at a time, by the keyboard, without a network."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from markupsafe import Markup

from vergence.reports.page import data_uri, environment
from vergence.terminal import printable


@dataclass(frozen=True)
class Question:
    """A question: what an image shows of a factor.

    Args:
        key: Of the image.
        factor: Which.
        values: What it may show.
    """

    key: str
    factor: str
    values: Sequence[str]


def sheet_html(
    questions: Sequence[Question], images: Mapping[str, bytes], *, none: str, cannot_tell: str, identity: str
) -> str:
    """Lay out a contact sheet.

    It shows neither labels nor keys, so that nobody is told what to answer. Answers are kept by the browser under the
    sheet's identity, and downloaded as CSV with the columns key, factor, answer.

    Args:
        questions: In the order in which they are asked.
        images: WebP by key.
        none: The answer that an image shows none of the values.
        cannot_tell: The answer that nobody can tell.
        identity: Of the sheet; sheets that are to share answers have the same.

    Returns:
        HTML that needs no other file and no network, and runs no script but its own.
    """
    places = {key: place for place, key in enumerate(images)}
    values = {question.factor: question.values for question in questions}
    content = {
        "identity": identity,
        "none": none,
        "cannotTell": cannot_tell,
        "images": [data_uri("image/webp", image) for image in images.values()],
        "factors": [
            {"name": factor, "shown": printable(factor), "values": [[value, printable(value)] for value in of]}
            for factor, of in values.items()
        ],
        "questions": [[places[one.key], one.key, list(values).index(one.factor)] for one in questions],
    }
    script = (files("vergence.reports") / "templates" / "sheet.js").read_text(encoding="utf-8")
    return (
        environment()
        .get_template("sheet.html.j2")
        .render(
            questions=len(questions),
            images=len(images),
            factors=list(values),
            script=Markup(script),
            digest=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            content=Markup(_inert(json.dumps(content))),
        )
    )


def _inert(text: str) -> str:
    """JSON that a page may hold: nothing in it opens or closes an element."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
