"""Whether images show what their labels say: an encoder, told the labels, reads them at 32 pixels."""

from pathlib import Path

import pytest

from vergence.studies.images.measure import measure_run
from vergence.studies.images.sets import load_set
from vergence.studies.images.spec import LABELS, Budget, ImageRun, SetSpec
from vergence.studies.images.train import train_run


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mpi3d-like"])
def test_an_encoder_told_the_labels_reads_every_factor_that_captions_may_name(name: str, tmp_path: Path) -> None:
    run = ImageRun(
        data=SetSpec(name=name, n_images=9216),
        seed=0,
        taught_by=LABELS,
        encoding_size=32,
        image_encoder="grid",
        budget=Budget(epochs=12),
        readings=("image/linear",),
    )
    images = load_set(run.data)
    trained = train_run(run, images, folder=tmp_path, tell=lambda done, epochs: None)
    found = {row["factor"]: row["value"] for row in measure_run(run, trained, images) if row["metric"] == "matthews"}
    assert min(found[factor] for factor in run.data.scenes.captioned) >= 0.9, found
