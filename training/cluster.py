"""The way onto a Ray cluster: the only place, with `tune.py`, that imports Ray.

Ray is no dependency of the rest: `requirements-cluster.txt` brings it.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training.stage import StageError

ROOT = Path(__file__).parents[1]
PACKAGES = ("space", "training")  # what a worker needs of this repository
# A worker has one processor; and what a training gives no longer depends on the machine's number.
ONE_PROCESSOR = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
LOCAL = "local"  # a cluster of this machine alone, for as long as the command runs
PATIENCE = 5  # seconds for a cluster to answer

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray's call home


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Join a cluster, whose machines get this code, and leave it in the end.

    Args:
        address: "auto" for the cluster that this machine belongs to, "host:port" for another, or
            `LOCAL`.

    Raises:
        StageError: If Ray is not installed, or no cluster answers.
    """
    try:
        import ray
    except ImportError as error:
        raise StageError(
            "Ray is not installed here: make .venv-cluster/installed, then "
            ". .venv-cluster/bin/activate. "
            "Where --address is left out, classify and train do without it."
        ) from error
    environment = {"py_modules": [str(ROOT / name) for name in PACKAGES], "env_vars": ONE_PROCESSOR}
    try:
        knock(address)
        ray.init(
            address,
            runtime_env=environment,
            log_to_driver=False,
            logging_level=logging.WARNING,
            include_dashboard=False if address == LOCAL else None,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise StageError(
            f"No Ray cluster answers at {address} ({error}). "
            "Start one: ray start --head; or leave out --address."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def knock(address: str) -> None:
    """See that something listens where a cluster should: Ray itself tries for a quarter of an hour.

    "auto" may be what a cluster left that is no more.

    Raises:
        ConnectionError: If nothing does, or no address is known.
    """
    from ray._private.services import canonicalize_bootstrap_address, extract_ip_port

    try:
        found = canonicalize_bootstrap_address(address)
    except ValueError:  # of another form: Ray itself soon says what is wrong with it
        return
    if found is None:  # it will be started
        return
    try:
        socket.create_connection(extract_ip_port(found), PATIENCE).close()
    except OSError as error:
        raise ConnectionError(f"{found}: {error.strerror or error}") from error


def spread(work: Callable[[Any], Any], items: list[Any], address: str) -> Iterator[Any]:
    """Do the work on each item, and yield the results as they come.

    On a cluster each item takes one processor. Tasks, not actors: what was lost with a machine is
    done again on any other, and where few processors are left none waits for its own.

    Args:
        work: What to do; with all that it holds it is sent to the cluster's machines.
        items: What to do it with.
        address: As `connected` takes it; empty for this process alone.

    Raises:
        StageError: If there is no cluster, or the work fails on it.
    """
    if not address:
        yield from map(work, items)
        return
    if not items:  # Ray makes no dataset of nothing
        return
    with connected(address):
        import ray
        import ray.data  # sets its loggers' levels, so before we do

        def do(batch: dict[str, Any]) -> dict[str, list[Any]]:
            return {"result": [work(item) for item in batch["item"]]}

        logging.getLogger("ray.data").setLevel(logging.WARNING)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.op_resource_reservation_enabled = False  # half the processors would stand idle
        blocks = [{"item": item} for item in items]
        data = ray.data.from_items(blocks, override_num_blocks=len(blocks))
        try:
            for row in data.map_batches(do, batch_size=1, num_cpus=1).iter_rows():
                yield row["result"]
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise StageError(
                f"The cluster cannot go on ({reason}). Mend that; try again."
            ) from error
