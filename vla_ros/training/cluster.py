"""Where parallel work runs: processes here, or a cluster of Ray or Dask, through joblib."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import joblib
from joblib.parallel import get_active_backend

from vla_ros.errors import ConfigError

HERE = 'loky'


def spread(
    work: Callable[..., Any],
    parts: Iterable[tuple[Any, ...]],
    *,
    workers: int,
    backend: str = HERE,
) -> Iterator[Any]:
    """Yield what a function returns for each tuple of arguments, as results come.

    Ray gives all of them in the end.

    Args:
        work: what is done; a worker must be able to import it.
        parts: arguments.
        workers: processes here; a cluster takes as many as it has.
        backend: of joblib: loky here; dask:HOST:PORT is a scheduler of Dask, ray:ADDRESS a cluster
            of Ray, where ray alone means the one that runs on this machine, or a new one.

    Raises:
        ConfigError: there is no such backend, or no such cluster.
    """
    with _chosen(backend):
        active: Any = get_active_backend()[0]
        parallel = joblib.Parallel(
            n_jobs=workers,
            return_as='generator_unordered' if active.supports_return_generator else 'list',
        )
        yield from parallel(joblib.delayed(work)(*arguments) for arguments in parts)


def _chosen(backend: str) -> joblib.parallel_config:
    name, _, address = backend.partition(':')
    try:
        if name == 'ray':
            # no extra of ours: who has a cluster of Ray has it installed
            import ray  # type: ignore[import-not-found]
            from ray.util.joblib import register_ray  # type: ignore[import-not-found]

            ray.init(address=address or None, ignore_reinit_error=True, log_to_driver=False)
            register_ray()
        elif name == 'dask':
            return joblib.parallel_config(backend=name, scheduler_host=address or None)
        return joblib.parallel_config(backend=name)
    except (ValueError, ImportError, OSError) as error:
        raise ConfigError(
            f"--backend '{backend}': {error}; take loky, dask:HOST:PORT or ray:ADDRESS"
        ) from error
