"""Threads of this package: some that take part in calls, and one in which LLVM compiles, on a stack of known size."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

STACK = 16 << 20  # bytes of stack, enough for LLVM to compile the largest function that is written


def available() -> int:
    """How many threads a call may be shared among: as many as OMP_NUM_THREADS says, at most the cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return min(cores, int(wanted)) if wanted.isdigit() and int(wanted) else cores


class Workers:
    """Up to `most` threads that wait for jobs and end with the process. A job that has not begun can be cancelled."""

    def __init__(self, most: int, stack: int = 0):
        self.most, self.stack = most, stack
        self.jobs: SimpleQueue[Any] = SimpleQueue()
        self.running = 0
        self.starting = threading.Lock()

    def submit(self, work: Callable[..., Any], *args: Any) -> Future[Any]:
        """The future result of `work(*args)`; RuntimeError if not one thread can be started."""
        job: Future[Any] = Future()
        with self.starting:
            if self.running < self.most:
                try:
                    self._start()
                    self.running += 1
                except RuntimeError:
                    if not self.running:
                        raise
        self.jobs.put((job, work, args))
        return job

    def _start(self) -> None:
        thread = threading.Thread(target=_work, args=(self.jobs,), name="micrograd", daemon=True)
        before = threading.stack_size(self.stack) if self.stack else None
        try:
            thread.start()
        finally:
            if before is not None:
                threading.stack_size(before)


def _work(jobs: SimpleQueue[Any]) -> None:
    while True:
        job, work, args = jobs.get()
        if job.set_running_or_notify_cancel():
            try:
                job.set_result(work(*args))
            except BaseException as error:
                job.set_exception(error)
        del job, work, args  # else what they hold would stay alive until the next job


@functools.cache
def workers() -> Workers:
    """The threads in which compiled code runs besides the caller's."""
    return Workers(max(1, available()))


@functools.cache
def compiler() -> Workers:
    """The thread that LLVM compiles in."""
    return Workers(1, STACK)


def _forked() -> None:
    """Forget the threads in a forked child process, which has none of them."""
    workers.cache_clear()
    compiler.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
