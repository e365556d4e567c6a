"""This project's MLPClassifier beside scikit-learn's: accuracy on data held out, and seconds to fit, with the same settings.

python benchmarks/estimators.py            writes benchmarks/estimators.md
python benchmarks/estimators.py --brief    one split of moons, to see that it runs

Seconds are those of the processor, on one core, and nothing is taken from the cache of machine code.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MICROGRAD_CACHE": "off"}

import platform
import statistics
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import sklearn
from peers import processor
from sklearn import datasets, neural_network
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from micrograd.sklearn import MLPClassifier

SETTINGS = {"hidden_layer_sizes": (32,), "learning_rate_init": 0.005, "batch_size": 32, "alpha": 0.0001}
DATA = {
    "moons": lambda: datasets.make_moons(1000, noise=0.2, random_state=0),
    "breast cancer": lambda: datasets.load_breast_cancer(return_X_y=True),
    "digits": lambda: datasets.load_digits(return_X_y=True),
}

ABOUT = """# Estimators

`python benchmarks/estimators.py` fits both on three quarters of the data, standardised, with the same settings (one hidden
layer of 32, Adam, batches of 32, at most 50 epochs), for five splits in turns: mean accuracy on the rest (least to greatest),
and median seconds of fit() on one core, recording and compiling included, with the median of their ratios.
Python {}, scikit-learn {}, NumPy {}, LLVM back end, {}.
"""


def measured(make, x, y, seed):
    """Accuracy on a quarter held out, and the seconds that fit() took."""
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, random_state=seed, stratify=y)
    scaler = StandardScaler().fit(x_train)
    estimator = make(seed)
    start = time.process_time()
    estimator.fit(scaler.transform(x_train), y_train)
    seconds = time.process_time() - start
    return estimator.score(scaler.transform(x_test), y_test), seconds


def main():
    brief = "--brief" in sys.argv
    warnings.simplefilter("ignore", ConvergenceWarning)
    makers = {
        "this project": lambda seed: MLPClassifier(epochs=50, random_state=seed, **SETTINGS),
        "scikit-learn": lambda seed: neural_network.MLPClassifier(max_iter=50, random_state=seed, **SETTINGS),
    }
    lines = [
        "|  | this project: accuracy | seconds | scikit-learn: accuracy | seconds | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for name in ["moons"] if brief else DATA:
        x, y = DATA[name]()
        found = {who: [] for who in makers}
        for seed in range(1 if brief else 5):  # in turns
            for who, make in makers.items():
                found[who].append(measured(make, x, y, seed))
        cells, times = [], []
        for who in makers:
            accuracy, seconds = zip(*found[who], strict=True)
            times.append(seconds)
            median = statistics.median(seconds)
            cells += [f"{statistics.mean(accuracy):.1%} ({min(accuracy):.1%} to {max(accuracy):.1%})", f"{median:.2g}"]
        ratio = statistics.median([ours / theirs for ours, theirs in zip(*times, strict=True)])
        lines.append(f"| {name}, {len(x):,} × {x.shape[1]} | {' | '.join(cells)} | {ratio:.2g} |")
    text = "\n".join(lines)
    print(text)
    if not brief:
        about = ABOUT.format(platform.python_version(), sklearn.__version__, np.__version__, processor())
        with open(Path(__file__).with_name("estimators.md"), "w", encoding="utf-8") as file:
            file.write(f"{about}\n{text}\n")


if __name__ == "__main__":
    main()
