import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from winnow.pipeline.publish.pictures import cluster_scatter, libraries, pass_rate_histogram

RATES = [0.0, 0.1, 0.5, 0.5, 1.0, None]
RNG = np.random.default_rng(3)
X, Y, CLUSTER = RNG.normal(size=60), RNG.normal(size=60), RNG.integers(0, 25, 60)


def size(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        return image.size


def test_sizes() -> None:
    assert size(pass_rate_histogram(RATES)) == (600, 300)
    assert size(pass_rate_histogram([])) == (600, 300)
    assert size(cluster_scatter(X, Y, CLUSTER)) == (600, 450)


def test_the_same_values_give_the_same_bytes_and_others_others() -> None:
    assert pass_rate_histogram(RATES) == pass_rate_histogram(list(RATES))
    assert pass_rate_histogram(RATES) != pass_rate_histogram([*RATES, 0.5])
    assert cluster_scatter(X, Y, CLUSTER) == cluster_scatter(X, Y, CLUSTER)
    assert cluster_scatter(X, Y, CLUSTER) != cluster_scatter(Y, X, CLUSTER)


def test_neither_settings_nor_the_process_count(tmp_path: Path) -> None:
    """Another process, where the user has settings of their own for matplotlib."""
    (tmp_path / "matplotlibrc").write_text(
        "font.size: 20\naxes.facecolor: black\nsavefig.dpi: 30\nfont.family: monospace\n"
    )
    code = (
        "import sys; from winnow.pipeline.publish.pictures import pass_rate_histogram as draw;"
        f"sys.stdout.buffer.write(draw({RATES}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "MATPLOTLIBRC": str(tmp_path / "matplotlibrc")},
        capture_output=True,
        check=True,
    )
    assert done.stdout == pass_rate_histogram(RATES)


def test_nothing_about_the_machine_or_the_time_is_in_the_file() -> None:
    with Image.open(io.BytesIO(pass_rate_histogram(RATES))) as image:
        assert set(image.info) <= {"dpi"}


def test_many_points_are_drawn_from() -> None:
    many = 20_000
    x, y = np.zeros(many), np.arange(many, dtype=float)
    assert size(cluster_scatter(x, y, np.zeros(many, int))) == (600, 450)


def test_what_the_bytes_depend_on_is_told() -> None:
    assert set(libraries()) == {"matplotlib", "pillow"}
