"""Many programs at once on the Space: what `make bench` prints of its throughput and its memory.

Beside it stands the same Space with an endpoint that receives the same files and returns a
constant: what is lost between the two is the reader's.
"""

from __future__ import annotations

import runpy
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from training.bench.serving import SPACE_COMMAND, memory_of, running_space
from training.deploy import SPACE

CLIENTS, CALLS, ROUNDS = 50, 20, 3
SUSTAINED_SECONDS = 300.0
LEAST_RATIO = 0.85  # of the throughput that a constant has
MOST_GROWTH = 0.1  # of memory, from the first fifth of the sustained calls to their end
SAMPLE_SECONDS = 0.5
EXAMPLES = {"two": 2, "three": 3, "four": 4, "five": 5, "seven": 7, "nine": 9}
# Certificates, read anew for every call, would be most of what a client costs.
QUIETLY: dict[str, Any] = {"verbose": False, "ssl_verify": False, "httpx_kwargs": {"timeout": 60.0}}
CONSTANT_COMMAND = (sys.executable, "-m", "training.bench.load")


@dataclass
class Calls:
    """What many clients' calls came to.

    Attributes:
        seconds: From the first call to the last answer.
        latencies: Of each answer, in seconds.
        errors: What was said in place of an answer.
        wrong: How many answers named another digit.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    wrong: int = 0

    def summary(self) -> dict[str, Any]:
        """Count them: per second, and in milliseconds."""
        median, p95 = np.percentile(self.latencies, [50, 95]) * 1000
        return {
            "calls": len(self.latencies),
            "per_second": len(self.latencies) / self.seconds,
            "median_ms": float(median),
            "p95_ms": float(p95),
            "errors": self.errors,
            "wrong": self.wrong,
        }


def measure_load(
    build: Path, rounds: int = ROUNDS, seconds: float = SUSTAINED_SECONDS
) -> dict[str, Any]:
    """Call both Spaces with 50 clients in turn, then the real one for minutes.

    Args:
        build: The release in `build/model/` is served.
        rounds: Starts of each Space.
        seconds: How long the sustained calls last.

    Returns:
        For "classify" and "constant" each round, the median of their ratios, the sustained calls,
        and the memory of the Space's processes after a fifth of these and at their end, in MB.
    """
    commands = {"classify": SPACE_COMMAND, "constant": CONSTANT_COMMAND}
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            with running_space(build, command) as (url, _):
                calls = call(url, name == "classify", lambda done, _: done < CALLS)
            measured[name].append(calls.summary())
    with running_space(build) as (url, process), watching_memory(process.pid) as noted:
        sustained = call(url, True, lambda _, elapsed: elapsed < seconds)
    ratios = [
        one["per_second"] / other["per_second"]
        for one, other in zip(measured["classify"], measured["constant"], strict=True)
    ]
    return measured | {
        "ratio": statistics.median(ratios),
        "sustained": sustained.summary(),
        "memory_mb": after_a_fifth_and_at_the_end(noted),
    }


def call(url: str, check: bool, more: Callable[[int, float], bool]) -> Calls:
    """Let 50 clients call an address at once, each over and over.

    Args:
        url: Where it answers.
        check: Whether each answer has to name the digit that was sent.
        more: Whether a client goes on, by its calls so far and the seconds since the start.
    """
    from gradio_client import Client, handle_file

    clients = [Client(url, **QUIETLY) for _ in range(CLIENTS)]
    all_calls, lock = Calls(), threading.Lock()
    started = time.perf_counter()

    def run(number: int) -> None:
        name, digit = list(EXAMPLES.items())[number % len(EXAMPLES)]
        done = 0
        while more(done, time.perf_counter() - started):
            begun, done = time.perf_counter(), done + 1
            try:
                file = handle_file(SPACE / "examples" / f"{name}.png")
                answer = clients[number].predict(file, api_name="/classify")
            except Exception as error:  # whatever it is, it is counted
                with lock:
                    all_calls.errors.append(f"{type(error).__name__}: {error}")
                continue
            with lock:
                all_calls.latencies.append(time.perf_counter() - begun)
                all_calls.wrong += check and answer["digit"] != digit

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(run, range(CLIENTS)))
    all_calls.seconds = time.perf_counter() - started
    return all_calls


@contextmanager
def watching_memory(pid: int) -> Iterator[list[float]]:
    """Note the memory of a process and its children, in MB, twice a second while the block runs."""
    import psutil

    process, ended = psutil.Process(pid), threading.Event()
    noted: list[float] = []

    def watch() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            noted.append(memory_of(process))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield noted
    finally:
        ended.set()
        thread.join()


def after_a_fifth_and_at_the_end(noted: list[float]) -> tuple[float, float]:
    """Return the memory after minute one of five, and after minute five."""
    few = max(1, len(noted) // 50)
    fifth = len(noted) // 5
    return statistics.median(noted[fifth : fifth + few]), statistics.median(noted[-few:])


def serve_constant() -> None:
    """Run the same Space with a `/classify` that takes what comes and says always the same."""
    sys.path.insert(0, str(SPACE))
    import api
    import reader

    release = reader.find_release()
    example = reader.Classifier(release).classify(SPACE / "examples" / "two.png")
    constant = api.to_json(example, release)

    async def answer(*_: Any) -> Any:
        return example

    api.ReadingProcess.classify, api.to_json = answer, lambda *_: constant
    runpy.run_path(str(SPACE / "app.py"), run_name="__main__")


def print_load(load: dict[str, Any]) -> None:
    """Print both Spaces and their ratio, and what the sustained calls did to the memory."""
    print(f"\n{CLIENTS} clients at once, {CALLS} calls each      calls/s    median       p95")
    rounds = [(name, one) for name in ("classify", "constant") for one in load[name]]
    for name, one in [*rounds, ("sustained", load["sustained"])]:
        print(
            f"  {name:<34} {one['per_second']:>7.1f} {one['median_ms']:>6.0f} ms "
            f"{one['p95_ms']:>6.0f} ms   {len(one['errors'])} errors, {one['wrong']} wrong"
        )
        if one["errors"]:
            print(f"    {one['errors'][0]}")
    print(f"  {'ratio':<34} {load['ratio']:>7.2f}   (at least {LEAST_RATIO})")
    first, last = load["memory_mb"]
    print(
        f"  {'memory, minute one to five':<34} {first:.0f} to {last:.0f} MB "
        f"({last / first - 1:+.1%}, at most {MOST_GROWTH:+.0%})"
    )


if __name__ == "__main__":
    serve_constant()
