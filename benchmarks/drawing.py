"""How long drawings take: the layout, the picture, and the page of `explore()`, beside Graphviz's `dot` where it is there.

`python benchmarks/drawing.py` prints a table of milliseconds of processor time, the median of five rounds each (`dot`: one
round of wall time, given up after a minute).
"""

from __future__ import annotations

import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from typing import Any

from micrograd import MLP, Drawing, Value, mse


def network(widths: list[int], samples: int) -> Value:
    """The loss of a network of tanh neurons on so many samples."""
    model = MLP(2, [*widths, 1], activation="tanh", seed=1)
    return mse([model([0.1 * i, 0.3]) for i in range(samples)], [0.5] * samples)


def milliseconds(work: Callable[[], Any], rounds: int = 5) -> float:
    """The median processor time of `work`."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1000 * statistics.median(times)


def by_dot(source: str) -> str:
    """How long `dot` takes for the same graph."""
    if shutil.which("dot") is None:
        return "not installed"
    start = time.perf_counter()
    try:
        subprocess.run(["dot", "-Tsvg"], input=source.encode(), capture_output=True, check=True, timeout=60)
    except subprocess.TimeoutExpired:
        return "over 60,000"
    return f"{1000 * (time.perf_counter() - start):,.0f}"


def main() -> None:
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}\n")
    print("| drawing | values | boxes | draw() to SVG, ms | explore(), ms | dot, ms |\n| --- | --- | --- | --- | --- | --- |")
    for title, widths, samples, options in (
        ("a small network", [3], 1, {"unfold": "all"}),
        ("28 and 26 neurons, unfolded", [28, 26], 1, {"unfold": "all"}),
        ("16 and 16 neurons, 120 samples, folded", [16, 16], 120, {"limit": 90}),
    ):
        loss = network(widths, samples)
        drawing = Drawing(loss, **options)
        svg = milliseconds(lambda loss=loss, options=options: Drawing(loss, **options).svg)  # type: ignore[misc]
        page = milliseconds(lambda loss=loss, options=options: Drawing(loss, **options).explore())  # type: ignore[misc]
        values, boxes = len(drawing.graph), len(drawing.picture.boxes)
        print(f"| {title} | {values:,} | {boxes:,} | {svg:,.0f} | {page:,.0f} | {by_dot(drawing.source)} |", flush=True)


if __name__ == "__main__":
    main()
