"""Networks of scalar Values trained on real data: what `python -m micrograd demo` does.

Three problems and one loop: mini-batches, Adam with a learning rate that falls to zero, accuracy on data that was held
out, and a picture of what was learned. Networks, losses and optimisers are those of `nn`. scikit-learn brings the data,
matplotlib draws and tqdm shows the progress. They are imported where they are used, so that reading options needs none of them.
"""

from __future__ import annotations

import argparse
import io
import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from micrograd.command.options import Parser, Run, check_output, positive, whole, write_output
from micrograd.engine.modes import no_grad
from micrograd.nn import MLP
from micrograd.nn.losses import binary_cross_entropy, cross_entropy, hinge
from micrograd.nn.optim import Adam

BLUE, ORANGE = "#0072b2", "#d55e00"  # also the colour-blind tell these apart; the classes have different marks too


class Examples(NamedTuple):
    """Inputs, each a list of numbers, and their targets."""

    inputs: list[list[float]]
    targets: list[int]


class Problem(NamedTuple):
    """Examples to learn from and to test on, the loss, how an output becomes a class, and how to draw what was learned."""

    name: str
    train: Examples
    held_out: Examples
    outputs: int
    loss: Callable[[Any, Any], Any]
    decide: Callable[[Any], int]
    draw: Callable[[Any, MLP, Problem], None]


class Settings(NamedTuple):
    """How to train: the width of each hidden layer, passes over the data, examples per step, the first learning rate."""

    hidden: Sequence[int]
    epochs: int
    batch: int
    lr: float


def moons(seed: int) -> Problem:
    """Two half circles that interlock: 100 points to learn from, 200 held out; the hinge loss."""
    from sklearn.datasets import make_moons

    x, y = make_moons(n_samples=300, noise=0.1, random_state=seed)
    x, y = x.tolist(), (2 * y - 1).tolist()
    train, held_out = Examples(x[:100], y[:100]), Examples(x[100:], y[100:])
    return Problem("two moons", train, held_out, 1, hinge, lambda score: 1 if score > 0 else -1, draw_boundary)


def digits(seed: int) -> Problem:
    """1,797 handwritten digits of 8 by 8 pixels, a fifth of them held out; cross-entropy over ten classes."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    train, held_out = (Examples(x.tolist(), y.tolist()) for x, y in split(x / 8 - 1, y, seed))  # pixels are 0 to 16
    return Problem("handwritten digits", train, held_out, 10, cross_entropy, lambda z: z.index(max(z)), draw_digits)


def breast_cancer(seed: int) -> Problem:
    """569 tumours with 30 measurements each, malignant (0) or benign (1), a fifth held out; binary cross-entropy.

    All are standardised by mean and spread of the measurements to learn from, so that nothing is known of those held out.
    """
    from sklearn.datasets import load_breast_cancer
    from sklearn.preprocessing import StandardScaler

    x, y = load_breast_cancer(return_X_y=True)
    parts = split(x, y, seed)
    scaler = StandardScaler().fit(parts[0][0])
    train, held_out = (Examples(scaler.transform(x).tolist(), y.tolist()) for x, y in parts)
    return Problem("breast cancer", train, held_out, 1, binary_cross_entropy, lambda z: 1 if z > 0 else 0, draw_probabilities)


def split(x: Any, y: Any, seed: int) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Four fifths to learn from and one to hold out, as arrays, with every class in the same proportion in both."""
    from sklearn.model_selection import train_test_split

    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=seed, stratify=y)
    return (x_train, y_train), (x_test, y_test)


def network(problem: Problem, hidden: Sequence[int], seed: int) -> MLP:
    """An MLP with relu whose weights are uniform in ±1/√n for a neuron of n inputs.

    So z has a spread of about one, however many inputs there are. With weights in ±1 the loss would begin near 8, and the first
    steps would just shrink the weights.
    """
    model = MLP(len(problem.train.inputs[0]), [*hidden, problem.outputs], seed=seed)
    for layer in model.layers:
        for neuron in layer.neurons:
            for w in neuron.w:
                w.data /= math.sqrt(len(neuron.w))
    return model


def train(model: MLP, problem: Problem, settings: Settings, seed: int) -> None:
    """Train the model, with a progress bar on a terminal and ten lines on the way. ArithmeticError where it diverges."""
    from tqdm import tqdm

    inputs, targets = problem.train
    order = list(range(len(inputs)))
    rng = random.Random(seed)
    optimiser = Adam(model.parameters(), lr=settings.lr)
    starts = range(0, len(inputs), settings.batch)
    total = settings.epochs * len(starts)
    shown = {round(settings.epochs * (i + 1) / 10) for i in range(10)} | {1, settings.epochs}
    with tqdm(total=total, unit="step", disable=None, leave=False, dynamic_ncols=True) as bar:  # None: on a terminal alone
        for epoch in range(1, settings.epochs + 1):
            rng.shuffle(order)
            lost, right = 0.0, 0
            for start in starts:
                batch = order[start : start + settings.batch]
                outputs, wanted = [model(inputs[i]) for i in batch], [targets[i] for i in batch]
                loss = problem.loss(outputs, wanted)
                check(loss.data, epoch)
                optimiser.zero_grad()
                loss.backward()
                optimiser.lr = settings.lr * (1 - optimiser.steps / total)
                optimiser.step()
                lost += loss.data * len(batch)
                right += correct(outputs, problem, wanted)
                bar.set_postfix_str(f"loss {loss.data:.4g}", refresh=False)
                bar.update()
            if epoch in shown:
                n = len(inputs)
                bar.clear()
                print(f"epoch {epoch:3}   loss {lost / n:<9.4g} accuracy {right / n:.1%}", flush=True)


def check(loss: float, epoch: int) -> None:
    """ArithmeticError where the loss of this epoch is not finite."""
    if not math.isfinite(loss):
        raise ArithmeticError(f"the loss is {loss} in epoch {epoch}")


def correct(outputs: Iterable[Any], problem: Problem, targets: list[int]) -> int:
    """How many outputs are right."""
    return sum(problem.decide(z) == t for z, t in zip(outputs, targets, strict=True))


def run(problem: Problem, settings: Settings, seed: int) -> bytes:
    """Train on the problem and print how it went; returns the picture of what was learned, as PNG."""
    model = network(problem, settings.hidden, seed)
    n = len(problem.train.inputs)
    sizes = f"MLP({len(problem.train.inputs[0])}, {[*settings.hidden, problem.outputs]})"
    print(f"{problem.name}: {n} examples to learn from, {len(problem.held_out.inputs)} held out")
    print(f"{sizes}: {len(model.parameters())} parameters, {problem.loss.__name__}, Adam from lr {settings.lr:g}")
    train(model, problem, settings, seed)
    for name, examples in (("learned", problem.train), ("held out", problem.held_out)):
        with no_grad():
            outputs = [model(x) for x in examples.inputs]
            loss = problem.loss(outputs, examples.targets).data
        check(loss, settings.epochs)
        right, n = correct(outputs, problem, examples.targets), len(outputs)
        print(f"{name:9}   loss {loss:<9.4g} accuracy {right / n:.1%}, {right} of {n}")
    return picture(model, problem)


def picture(model: MLP, problem: Problem) -> bytes:
    """The picture of what the model has learned, drawn by `problem.draw`, as PNG: the same bytes for the same model."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    with no_grad():
        problem.draw(figure, model, problem)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def draw_boundary(figure: Any, model: MLP, problem: Problem) -> None:
    """The score over the plane, its zero line, and the points: filled those learned from, hollow those held out."""
    points = problem.train.inputs + problem.held_out.inputs
    (left, bottom), (right, top) = ([f(p[i] for p in points) for i in (0, 1)] for f in (min, max))
    xs = [left - 0.4 + (right - left + 0.8) * i / 89 for i in range(90)]
    ys = [bottom - 0.4 + (top - bottom + 0.8) * i / 59 for i in range(60)]
    score = [[model([x, y]).data for x in xs] for y in ys]
    axes = figure.add_subplot()
    axes.contourf(xs, ys, score, levels=[-1e300, -2, -1, 0, 1, 2, 1e300],
                  colors=["#b3d4e8", "#d0e4f0", "#e9f2f8", "#fbeee6", "#f7d9c6", "#f1bf9f"])  # fmt: skip
    if min(map(min, score)) < 0 < max(map(max, score)):
        axes.contour(xs, ys, score, levels=[0], colors="black", linewidths=1.5)
    for target, colour, marker in ((-1, BLUE, "o"), (1, ORANGE, "^")):
        for name, examples, fill in (("learned", problem.train, colour), ("held out", problem.held_out, "none")):
            chosen = [x for x, t in zip(*examples, strict=True) if t == target]
            axes.scatter(*zip(*chosen, strict=True), s=26, marker=marker, facecolors=fill, edgecolors=colour,
                         linewidths=1, label=f"{target:+d}, {name}")  # fmt: skip
    total = len(problem.held_out.inputs)
    wrong = total - correct(map(model, problem.held_out.inputs), problem, problem.held_out.targets)
    axes.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    figure.suptitle(f"{wrong} of {total} held-out points on the wrong side of the line where the score is 0")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)


def draw_digits(figure: Any, model: MLP, problem: Problem) -> None:
    """Held-out digits with what they were taken for: first the mistakes, framed and named in orange."""
    seen = [(problem.decide(model(x)), t, x) for x, t in zip(*problem.held_out, strict=True)]
    wrong = [s for s in seen if s[0] != s[1]]
    chosen = (wrong + [s for s in seen if s[0] == s[1]])[:40]
    for axes, (got, target, x) in zip(figure.subplots(5, 8).flat, chosen, strict=False):
        axes.imshow([x[8 * i : 8 * i + 8] for i in range(8)], cmap="gray_r")
        axes.set(xticks=[], yticks=[])
        if got != target:
            axes.set_title(f"{target} read as {got}", fontsize=8, color=ORANGE)
            for spine in axes.spines.values():
                spine.set(color=ORANGE, linewidth=2)
        else:
            axes.set_title(got, fontsize=8)
    figure.suptitle(f"{len(wrong)} of {len(seen)} held-out digits misread")


def draw_probabilities(figure: Any, model: MLP, problem: Problem) -> None:
    """A histogram of the logits of held-out tumours, by what each tumour is: how sure the model is, and where it is wrong."""
    seen = [(model(x).data, t) for x, t in zip(*problem.held_out, strict=True)]
    wrong = sum((z > 0) != (t == 1) for z, t in seen)
    low, high = math.floor(min(z for z, _ in seen)), math.ceil(max(z for z, _ in seen))
    width = max(1, round((high - low) / 30))  # 0, where the model decides, is the edge of a bin
    bins = [width * i for i in range(low // width, high // width + 2)]
    axes = figure.add_subplot()
    axes.hist([[z for z, t in seen if t == 0], [z for z, t in seen if t == 1]], bins=bins, stacked=True,
              label=["malignant", "benign"], color=[ORANGE, BLUE], hatch=["///", ""], edgecolor="white")  # fmt: skip
    axes.axvline(0, color="black")
    axes.set(title=f"{wrong} of {len(seen)} held-out tumours on the wrong side of 0",
             xlabel="logit z: the model says benign with probability 1 / (1 + exp(-z))", ylabel="tumours")  # fmt: skip
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)


PROBLEMS: dict[str, tuple[Callable[[int], Problem], Settings]] = {
    "moons": (moons, Settings(hidden=(16, 16), epochs=100, batch=100, lr=0.1)),
    "digits": (digits, Settings(hidden=(32,), epochs=12, batch=32, lr=0.02)),
    "breast-cancer": (breast_cancer, Settings(hidden=(8,), epochs=15, batch=32, lr=0.02)),
}


def demo(parser: Parser) -> Run:
    """Train a network of scalar Values on real data, report its accuracy on data it has not seen, and draw what it learned."""

    def default(name: str) -> str:
        """The default of the option `name`, for each set of data."""
        values = {data: getattr(settings, name) for data, (_, settings) in PROBLEMS.items()}
        shown = {data: " ".join(map(str, v)) if isinstance(v, tuple) else f"{v:g}" for data, v in values.items()}
        return f"default: {', '.join(f'{v} for {data}' for data, v in shown.items())}"

    parser.add_argument("--data", choices=PROBLEMS, default="moons", help="what to learn (default: %(default)s)")
    parser.add_argument(
        "--hidden", type=whole(1), nargs="+", metavar="N", help=f"widths of hidden layers ({default('hidden')})"
    )
    parser.add_argument("--epochs", type=whole(1), metavar="N", help=f"passes over the data ({default('epochs')})")
    parser.add_argument("--batch", type=whole(1), metavar="N", help=f"examples in each step ({default('batch')})")
    parser.add_argument("--lr", type=positive, metavar="X", help=f"learning rate of the first step ({default('lr')})")
    parser.add_argument("--seed", type=whole(0, 2**32 - 1), default=1, metavar="N",
                        help="of data, weights and batches: same seed, same output (default: %(default)s)")  # fmt: skip
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write the picture (default: the data's name and .png)")

    def start(options: argparse.Namespace) -> None:
        output = options.output if options.output is not None else f"{options.data}.png"
        check_output(parser, output, ".png")
        try:
            import matplotlib, sklearn, tqdm  # noqa: E401, F401, I001
        except ImportError as error:
            parser.error(f"{error}; the demo needs what this installs: python -m pip install 'micrograd-engine[demo]'")
        problem, settings = PROBLEMS[options.data]
        chosen = {name: getattr(options, name) for name in settings._fields if getattr(options, name) is not None}
        settings = settings._replace(**chosen)
        try:
            picture = run(problem(options.seed), settings, options.seed)
        except ArithmeticError as error:
            parser.error(f"{error}: use a smaller learning rate than --lr {settings.lr:g}")
        write_output(parser, output, picture)

    return start
