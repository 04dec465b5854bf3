"""Settings of the recipe → better ones: trials on Ray Tune, chosen by Optuna.

Reads the digits; writes `build/tune/`: preset.json, which `train --preset` takes, trials.md and
trials.png, and `ray/`, from which a tuning that was killed goes on. The objective is the mean of
the accuracies on the validation digits and on the same drawn again; the test set is not sent.

What a trial is given and when it is stopped depends on the seed and on the batches before its own,
never on which of two workers was faster: so one that goes on ends as one that was never killed.
"""

from __future__ import annotations

import pickle
import statistics
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from ray import tune
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch

from training.charts import STYLE, draw_trials
from training.config import Config
from training.data import Digits, Split
from training.redraw import see_redrawn
from training.stage import StageError, read_json, write_json, write_text

SPACE: dict[str, BaseDistribution] = {
    "batch_size": CategoricalDistribution([64, 128, 256]),
    "learning_rate": FloatDistribution(0.002, 0.1, log=True),
    "weight_decay": FloatDistribution(0.001, 0.2, log=True),
    "label_smoothing": FloatDistribution(0.0, 0.2),
    "damaged": FloatDistribution(0.0, 0.1),
    "handwriting": FloatDistribution(0.1, 0.6),
    "non_digits": FloatDistribution(0.0, 0.2),
    "handwriting_from": FloatDistribution(0.0, 0.9),
}
OBJECTIVE = "objective"
SMALLEST_BATCH, BATCHES = 4, 8  # trials between two looks at the results, and how many looks
NO_PLACE = ("seed", "dataset", "start")  # of a preset: whoever trains with it says these


class Batches(ConcurrencyLimiter):
    """Suggestions in whole batches, numbered, with all that it knows in its saved state.

    Ray saves the searcher inside only, and forgets which trials of a batch have ended.
    """

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Suggest settings, unless the batch before has not ended."""
        settings: dict[str, Any] | None = super().suggest(trial_id)
        if not settings:
            return None
        self.suggested = getattr(self, "suggested", 0) + 1
        return settings | {"number": self.suggested - 1}

    def save(self, checkpoint_path: str) -> None:
        """Write all of the state."""
        Path(checkpoint_path).write_bytes(pickle.dumps(self.__dict__))

    def restore(self, checkpoint_path: str) -> None:
        """Read what `save` wrote."""
        self.__dict__.update(pickle.loads(Path(checkpoint_path).read_bytes()))


class MedianOfEarlierBatches(FIFOScheduler):
    """Stops a trial that is below the median of the earlier batches at the same epoch.

    ASHA and Ray's own median rule compare with whatever has come in: they decide by chance.
    """

    def __init__(self, batch: int) -> None:
        """Take the number of trials in a batch."""
        super().__init__()
        self.batch = batch

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide whether a trial goes on."""
        first = result["number"] // self.batch * self.batch
        epoch = len(result["curve"]) - 1
        last = [one.last_result or {} for one in controller.get_trials()]
        curves = [one["curve"] for one in last if one.get("number", first) < first]
        rivals = [curve[epoch] for curve in curves if len(curve) > epoch]
        worse = rivals and result[OBJECTIVE] < statistics.median(rivals)
        return str(self.STOP if worse else self.CONTINUE)


def tune_recipe(config: Config, digits: Digits, build: Path, trials: int) -> Path:
    """Try settings around a preset's, beginning with its own, and write the best as a preset.

    Args:
        config: The preset; its seed fixes which settings are tried, and every training.
        digits: What to fit on and to choose on.
        build: The build folder; a tuning that was begun there goes on.
        trials: How many settings to try.

    Returns:
        The new preset's file.

    Raises:
        StageError: If the folder was begun with another tuning, or no trial has ended well.
    """
    folder = build / "tune"
    begin(folder, {"trials": trials, **asdict(config)})
    found = run(config, digits, folder.resolve() / "ray", trials)
    ended = [one for one in found if "curve" in one]
    if not ended:
        raise StageError(f"None of {trials} trials has ended well; their errors: {folder}/ray")
    ended.sort(key=lambda one: (-one[OBJECTIVE], one["number"]))
    write_text(folder / "trials.md", table(ended))
    with plt.rc_context(STYLE):
        figure = draw_trials([one["curve"] for one in ended])
        figure.savefig(folder / "trials.png")
        plt.close(figure)
    best = asdict(replace(config, preset="tuned", **ended[0]["settings"]))
    file = folder / "preset.json"
    write_json(file, {name: value for name, value in best.items() if name not in NO_PLACE})
    return file


def begin(folder: Path, run: dict[str, Any]) -> None:
    """Begin a tuning in a folder, or go on with it.

    Raises:
        StageError: If another one was begun there.
    """
    file = folder / "run.json"
    if file.exists() and read_json(file, "python -m training tune") != run:
        raise StageError(
            f"{folder} was begun with other options. Give those, or another --build, or remove it."
        )
    write_json(file, run)


def run(config: Config, digits: Digits, folder: Path, trials: int) -> list[dict[str, Any]]:
    """Run the trials that have not ended; return the last report of each."""
    redrawn = Split(see_redrawn(digits.validation.images), digits.validation.labels)
    unseen = Split(digits.test.images[:0], digits.test.labels[:0])
    trainable = tune.with_resources(
        tune.with_parameters(
            try_settings, config=config, digits=replace(digits, test=unseen), redrawn=redrawn
        ),
        {"cpu": 1},
    )
    if tune.Tuner.can_restore(str(folder)):
        tuner = tune.Tuner.restore(str(folder), trainable)
    else:
        batch = max(SMALLEST_BATCH, trials // BATCHES)
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                num_samples=trials,
                search_alg=Batches(search(config, batch), batch, batch=True),
                scheduler=MedianOfEarlierBatches(batch),
            ),
            run_config=tune.RunConfig(folder.name, storage_path=str(folder.parent), verbose=1),
        )
    return [result.metrics for result in tuner.fit() if not result.error]


def search(config: Config, batch: int) -> OptunaSearch:
    """Let Optuna suggest settings: the preset's own, some at random, then informed ones."""
    sampler = optuna.samplers.TPESampler(
        n_startup_trials=batch, constant_liar=True, seed=config.seed
    )
    own = {name: getattr(config, name) for name in SPACE}
    return OptunaSearch(SPACE, OBJECTIVE, "max", points_to_evaluate=[own], sampler=sampler)


def try_settings(settings: dict[str, Any], config: Config, digits: Digits, redrawn: Split) -> None:
    """Train with some settings, and report after every epoch and in the end."""
    from keras.callbacks import LambdaCallback

    from training.train import fit, validate

    chosen = {name: settings[name] for name in SPACE}
    curve: list[float] = []

    def report(model: Any) -> None:
        validation, drawn = (validate(model, split)[0] for split in (digits.validation, redrawn))
        curve.append((validation + drawn) / 2)
        found = {OBJECTIVE: curve[-1], "validation": validation, "redrawn": drawn}
        own = {"curve": list(curve), "number": settings["number"], "settings": chosen}
        tune.report(found | own)

    watcher: Any = LambdaCallback(on_epoch_end=lambda *_: report(watcher.model))
    model, _ = fit(replace(config, **chosen), digits, [watcher])
    report(model)


def table(ended: list[dict[str, Any]]) -> str:
    """Put trials into a Markdown table."""
    head = ["trial", "validation", "redrawn", "reports", *SPACE]
    rows = [
        [
            str(one["number"]),
            f"{one['validation']:.2%}",
            f"{one['redrawn']:.2%}",
            str(len(one["curve"])),
            *(f"{value:.3g}" for value in one["settings"].values()),
        ]
        for one in ended
    ]
    lines = [head, ["---:"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
