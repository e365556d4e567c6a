"""Eager speed and memory beside the original micrograd and XAD: the same programs, one run, one core, collector on.

    python benchmarks/eager.py              checks that results agree, measures, prints a table, writes it to eager.md
    python benchmarks/eager.py --rounds 3   quicker, and less sure

The original has this project's import name, so both peers live in an environment of their own, made beside this file on
the first run. Each contender is one process that waits for orders; they take turns, so that a change in the machine's mood
meets all of them, and every ratio is the median of the ratios of single rounds.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import math
import os
import platform
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = {"micrograd": "0.1.0", "xad": "1.5.2"}
CONTENDERS = ("original", "xad", "this project")
OPERATIONS = 200_000
POINTS = 100
BEGIN, END = "<!-- benchmarks/eager.py writes from here -->", "<!-- to here -->"

Numbers = list[float]


# The programs. `Number` is the contender's class: Value or XAD's Real.


def chain(a: Any, b: Any, c: Any) -> Any:
    """A chain of 200,000 binary operations, a quarter each of * + - and /."""
    x = a
    for _ in range(OPERATIONS // 4):
        x = (x * b + c - a) / b
    return x


def plain_chain(a: Any, b: Any, c: Any) -> Any:
    """A chain of 200,000 operations that are one node each in every contender; the original makes three of x - a."""
    x = a
    for _ in range(OPERATIONS // 2):
        x = x * b + c
    return x


def two_moons() -> tuple[list[Numbers], list[int]]:
    rng = random.Random(1337)
    inputs, targets = [], []
    for i in range(POINTS):
        angle, lower = math.pi * i / POINTS, i % 2
        x, y = (1 - math.cos(angle), 0.5 - math.sin(angle)) if lower else (math.cos(angle), math.sin(angle))
        inputs.append([x + rng.gauss(0, 0.1), y + rng.gauss(0, 0.1)])
        targets.append(2 * lower - 1)
    return inputs, targets


def hinge(model: Callable[[Any], Any], number: Any, relu: Callable[[Any], Any]) -> Any:
    """The mean hinge loss over 100 points, as the original's demo notebook writes it."""
    inputs, targets = two_moons()
    scores = [model(list(map(number, row))) for row in inputs]
    losses = [relu(1 + -target * score) for target, score in zip(targets, scores, strict=True)]
    return sum(losses) * (1.0 / len(losses))


# The contenders. Each program gives the seconds of processor time it took, forward and backward, and numbers to compare.


def with_micrograd() -> dict[str, Callable[[], tuple[float, Numbers]]]:
    """This project or the original, whichever this interpreter imports: the same source runs on both."""
    from micrograd.engine import Value
    from micrograd.nn import MLP

    def run(program: Any) -> tuple[float, Numbers]:
        start = time.process_time()
        a, b, c = Value(1.1), Value(0.999), Value(0.3)
        x = program(a, b, c)
        x.backward()
        return time.process_time() - start, [x.data, a.grad, b.grad, c.grad]

    random.seed(1337)
    model = MLP(2, [16, 16, 1])

    def run_network() -> tuple[float, Numbers]:
        start = time.process_time()
        loss = hinge(model, Value, lambda v: v.relu())
        model.zero_grad()
        loss.backward()
        return time.process_time() - start, [loss.data, *(p.grad for p in model.parameters())]

    kept: list[Any] = []

    def run_memory() -> tuple[float, Numbers]:
        before = resident()
        kept.append(plain_chain(Value(1.1), Value(0.999), Value(0.3)))
        return (resident() - before) / OPERATIONS, [kept[-1].data]

    return {
        "chain": lambda: run(chain),
        "plain chain": lambda: run(plain_chain),
        "network": run_network,
        "memory": run_memory,
    }


def with_xad() -> dict[str, Callable[[], tuple[float, Numbers]]]:
    import xad.math
    from xad.adj_1st import Real, Tape

    def run(program: Any) -> tuple[float, Numbers]:
        start = time.process_time()
        with Tape() as tape:
            a, b, c = inputs = Real(1.1), Real(0.999), Real(0.3)
            tape.registerInputs(inputs)
            tape.newRecording()
            x = program(a, b, c)
            tape.registerOutput(x)
            x.derivative = 1.0
            tape.computeAdjoints()
            return time.process_time() - start, [x.value, *(v.derivative for v in inputs)]

    def relu(z: Any) -> Any:
        return xad.math.max(z, 0.0)

    random.seed(1337)  # the original's order: neuron by neuron its weights, then a bias of 0
    sizes = [2, 16, 16, 1]
    weights = [[[random.uniform(-1, 1) for _ in range(m)] + [0.0] for _ in range(n)] for m, n in itertools.pairwise(sizes)]

    def run_network() -> tuple[float, Numbers]:
        start = time.process_time()
        with Tape() as tape:
            layers = [[[Real(w) for w in neuron] for neuron in layer] for layer in weights]
            parameters = [w for layer in layers for neuron in layer for w in neuron]
            tape.registerInputs(parameters)
            tape.newRecording()

            def model(x: list[Any]) -> Any:
                for i, layer in enumerate(layers):
                    z = [sum((w * v for w, v in zip(neuron, x)), neuron[-1]) for neuron in layer]  # noqa: B905
                    x = z if i == len(layers) - 1 else [relu(v) for v in z]
                return x[0]

            loss = hinge(model, Real, relu)
            tape.registerOutput(loss)
            loss.derivative = 1.0
            tape.computeAdjoints()
            return time.process_time() - start, [loss.value, *(p.derivative for p in parameters)]

    kept: list[Any] = []

    def run_memory() -> tuple[float, Numbers]:
        before = resident()
        tape = Tape()
        tape.activate()
        inputs = Real(1.1), Real(0.999), Real(0.3)
        tape.registerInputs(inputs)
        tape.newRecording()
        kept.extend((tape, plain_chain(*inputs)))
        return (resident() - before) / OPERATIONS, [kept[1].value]

    return {
        "chain": lambda: run(chain),
        "plain chain": lambda: run(plain_chain),
        "network": run_network,
        "memory": run_memory,
    }


def resident() -> float:
    """Bytes of memory that this process has, by Linux's account."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def work(contender: str) -> None:
    """Wait for the name of a program, run it, answer with what it gave; until there is no more to read."""
    if contender == "this project":
        sys.path.insert(0, str(ROOT))
    programs = with_xad() if contender == "xad" else with_micrograd()
    if contender != "xad" and (sys.modules["micrograd"].__file__ or "").startswith(str(HERE)) != (contender == "original"):
        raise SystemExit(f"{contender} turned out to be {sys.modules['micrograd'].__file__}")
    for line in sys.stdin:
        gc.collect()
        assert gc.isenabled()
        print(json.dumps(programs[line.strip()]()), flush=True)


class Contender:
    """A process that runs programs when told to."""

    def __init__(self, name: str):
        python = str(peers() if name != "this project" else sys.executable)
        self.process = subprocess.Popen(
            [python, "-I", __file__, "--worker", name], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __call__(self, program: str) -> tuple[float, Numbers]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(program + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"a contender ended with exit code {self.process.wait()} while it ran {program!r}")
        seconds, numbers = json.loads(answer)
        return seconds, numbers

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def peers() -> Path:
    """The interpreter of the environment that holds the peers, made where it is not there yet."""
    folder = HERE / ".venv"
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    wanted = [f"{name}=={version}" for name, version in PEERS.items()]
    done = folder / "peers.txt"
    if not done.exists() or done.read_text().split() != [platform.python_version(), *wanted]:
        print(f"making {folder} for {' and '.join(wanted)}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        if subprocess.run([python, "-m", "pip", "install", "-q", "--only-binary", "xad", *wanted]).returncode:
            raise SystemExit(
                f"could not install {' and '.join(wanted)} for Python {platform.python_version()}: pip says why, above"
            )
        done.write_text("\n".join([platform.python_version(), *wanted]))
    return python


# What is asked of them, and the table.


def agree(results: dict[str, Numbers]) -> float:
    """The largest relative difference between contenders; SystemExit where they did not compute the same."""
    first = results["original"]
    scale = max(map(abs, first))
    worst = max(abs(x - y) / scale for numbers in results.values() for x, y in zip(first, numbers, strict=True))
    if not worst < 1e-9:
        raise SystemExit(f"the contenders disagree by {worst:.1e}: { ({k: v[:4] for k, v in results.items()}) }")
    return worst


def measure(program: str, rounds: int) -> dict[str, Numbers]:
    """Seconds of each round, or bytes per node, by contender; results are compared before anything is timed."""
    if program == "memory":  # a fresh process each time: memory that was freed would be used again, and not seen
        found: dict[str, Numbers] = {name: [] for name in CONTENDERS}
        for _ in range(min(rounds, 3)):
            results = {}
            for name in CONTENDERS:
                contender = Contender(name)
                size, results[name] = contender(program)
                found[name].append(size)
                contender.close()
            agree(results)
        return found
    contenders = {name: Contender(name) for name in CONTENDERS}
    agree({name: contender(program)[1] for name, contender in contenders.items()})
    found = {name: [] for name in CONTENDERS}
    for i in range(rounds):
        for name, contender in contenders.items():
            found[name].append(contender(program)[0])
        print(f"{program}: round {i + 1} of {rounds}", file=sys.stderr)
    for contender in contenders.values():
        contender.close()
    return found


def spread(numbers: Numbers, form: Callable[[float], str]) -> str:
    return f"{form(statistics.median(numbers))} ({form(min(numbers))} to {form(max(numbers))})"


def ratio(found: dict[str, Numbers], peer: str) -> str:
    ratios = [ours / theirs for ours, theirs in zip(found["this project"], found[peer], strict=True)]
    median = statistics.median(ratios)
    return f"**{median:.3g}** ({min(ratios):.3g} to {max(ratios):.3g})" + (f", 1/{1 / median:.0f}" if median < 0.1 else "")


def machine() -> str:
    """The processor, the operating system and the interpreter, in words."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    versions = f"micrograd {PEERS['micrograd']} (the original), XAD {PEERS['xad']}"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{processor}, {platform.system()}, {python}, {versions}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="how often each program is timed (default: %(default)s)")
    parser.add_argument("--no-write", action="store_true", help="print the table, and leave eager.md as it is")
    parser.add_argument("--worker", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        # The original's backward() recurses: 200,000 deep, it needs a thread with room. All contenders get the same one.
        sys.setrecursionlimit(10**7)
        threading.stack_size(2**30 - 2**20)
        thread = threading.Thread(target=work, args=[options.worker])
        thread.start()
        thread.join()
        return
    if options.rounds < 1:
        parser.error("--rounds needs a number from 1 on")
    peers()
    pinned = "unpinned"
    if hasattr(os, "sched_setaffinity"):
        core = max(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {core})
        pinned = "one core"
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > 0.5:
        print(f"the machine is busy (load {load:.1f}): trust the ratios, not the times", file=sys.stderr)

    def milliseconds(x: float) -> str:
        return f"{1e3 * x:,.{0 if x > 0.1 else 1}f}"

    def whole(x: float) -> str:
        return f"{x:.0f}"

    rows = []
    for program, title, form in (
        ("chain", f"{OPERATIONS:,} of `*` `+` `-` `/` in a chain, ms", milliseconds),
        ("plain chain", f"{OPERATIONS:,} of `*` `+` in a chain, ms", milliseconds),
        ("network", f"`MLP(2, [16, 16, 1])`, hinge loss of {POINTS} points, ms", milliseconds),
        ("memory", "memory of a binary node, bytes", whole),
    ):
        found = measure(program, options.rounds)
        columns = [spread(found[name], form) for name in CONTENDERS]
        rows.append([title, *columns, ratio(found, "original"), ratio(found, "xad")])
    head = ["", "the original", "XAD", "this project", "of the original", "of XAD"]
    lines = ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]
    note = (
        f"Forward and backward together, in processor time; medians of {options.rounds} rounds in turn (smallest to largest), "
        f"{pinned}, garbage collector on. The original makes three nodes of `x - a` and two of `x / b`.\n{machine()}."
    )
    table = "\n".join([*lines, "", note])
    print(table)
    if options.no_write:
        return
    page = ROOT / "benchmarks" / "eager.md"
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise SystemExit(f"{page} has no single place between {BEGIN!r} and {END!r} for the table")
    before, _, rest = text.partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
