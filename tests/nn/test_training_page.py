"""The page on training: what it shows runs, in its order, and does what it says."""

import re
from pathlib import Path

import numpy as np

from micrograd import mse

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "training.md"


def test_the_page_runs():
    names = {}
    for snippet in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(snippet, str(PAGE), "exec"), names)
    model, f, net, X, y = (names[name] for name in ("model", "f", "net", "X", "y"))
    assert f.map(names["X_held"], names["y_held"]).mean() == names["best"]  # the weights kept are those of the best step
    assert names["without"] < 0.7 * np.var(y)
    eager = mse([net(x) for x in X[:5]], y[:5]).data
    assert eager == np.float64(eager) and abs(names["g"].map(X[:5], y[:5], np.ones((5, 16))).mean() - eager) < 1e-12
    tied = names["tied"]
    assert len(set(tied.parameters())) == len(tied.parameters()) == len(tied.state_dict())
    assert model.parameters() == list(dict(model.named_parameters()).values())
