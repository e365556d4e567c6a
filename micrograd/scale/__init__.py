"""Compiled functions over Dask collections: lazily, chunk by chunk, on whatever scheduler Dask uses.

`tape` comes before, and sends here what meets a Dask collection among its arguments. No other room imports Dask.

    arguments    the arguments of a call as arrays that are chunked alike along the samples
    pickling     a function as it goes to another process: its tapes, and the function itself beside
    graph        this file's functions: the tasks, one for each chunk
"""

try:
    import dask.array  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"an argument is a Dask collection, and Dask cannot be imported here ({error}): pip install 'micrograd-engine[scale]'"
    ) from error

from micrograd.scale.graph import mapped, recorded, reduced_now, value_and_grad

__all__ = ["mapped", "recorded", "reduced_now", "value_and_grad"]
