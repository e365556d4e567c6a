"""Environments of peers: each peer with its own packages beside the benchmarks, made when first asked for."""

import argparse
import os
import platform
import subprocess
import sys
import venv
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "build" / "peers"

REQUIREMENTS = {
    "autograd": ["autograd==1.9.1", "numpy==2.4.6", "scipy==1.17.1"],
    "casadi": ["casadi==3.8.2", "numpy==2.4.6"],
    "heyoka": ["heyoka==7.13.2", "numpy==2.4.6"],
    "jax": ["jax==0.10.2", "numpy==2.4.6"],
    "original": ["micrograd==0.1.0", "numpy==2.4.6"],
    "torch": ["torch==2.13.0", "numpy==2.4.6"],
    "xad": ["xad==1.5.2", "numpy==2.4.6"],
}
PACKAGES = {"torch": "torch", "jax": "jax", "casadi": "casadi", "heyoka": "heyoka", "xad": "xad", "original": "micrograd"}


def python_with(peer: str) -> Path:
    """The interpreter of an environment that has `peer`, of the version named here."""
    home = ROOT / peer
    python = home / "bin" / "python"
    done = home / "requirements.txt"
    wanted = "\n".join(REQUIREMENTS[peer]) + "\n"
    if not done.exists() or done.read_text() != wanted:
        print(f"making an environment for {peer} in {home}", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *REQUIREMENTS[peer]], check=True)
        done.write_text(wanted)
    return python


def versions(pythons: dict[str, str]) -> list[str]:
    """Name and version of each peer's package, for those that have an interpreter."""
    found = []
    for peer in [peer for peer in PACKAGES if peer in pythons]:
        code = f"import importlib.metadata as m; print(m.version({PACKAGES[peer]!r}))"
        run = subprocess.run([pythons[peer], "-c", code], capture_output=True, text=True, check=True)
        found.append(f"{PACKAGES[peer] if peer != 'original' else 'the original'} {run.stdout.strip()}")
    return found


def processor() -> str:
    """The name of the processor, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def environment(peer: str, threads: int) -> dict[str, str]:
    """The environment of a peer's process, whose libraries may use so many threads."""
    found = {**os.environ, "MICROGRAD_CACHE": "off"}  # who compiles, compiles
    if not peer.startswith("ours"):
        found.pop("PYTHONPATH", None)  # the original has this project's import name
    return found | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))


def turns(about: str | None, contenders: Iterable[str], rounds: int, work: Callable[[str], None]) -> int:
    """How many rounds the command line asks for, on one core; in the process of a contender, its work and then the end."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help="how often each contender takes its turn (%(default)s)")
    parser.add_argument("--work", choices=contenders, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work)
        raise SystemExit
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    return options.rounds
