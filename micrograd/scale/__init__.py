"""Compiled functions over Dask collections: lazily, chunk by chunk, on whatever scheduler Dask uses.

`tape` comes before, and passes on calls with a Dask collection among their arguments. No other package imports Dask.

    arguments    the arguments of a call as arrays with the same chunks along the samples
    pickling     a function as it is sent to another process: its tapes, and the function itself
    tasks        the calls as graphs of tasks, one for each chunk
"""

try:
    import dask.array  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"an argument is a Dask collection, and Dask cannot be imported here ({error}): pip install 'micrograd-engine[scale]'"
    ) from error

from micrograd.scale.tasks import mapped, recorded, reduced_now, value_and_grad

__all__ = ["mapped", "recorded", "reduced_now", "value_and_grad"]
