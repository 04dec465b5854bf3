"""`python -m training …`: arguments and calls, nothing else."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path
from typing import NoReturn

from training.config import MNIST, PRESETS, TUNABLE, Config, load_preset, repository
from training.stage import StageError, writing

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's own chatter
os.environ.setdefault("HF_UPDATE_DOWNLOAD_COUNTS", "0")  # evaluate's call home

EXAMPLE = """example:
  python -m training train --preset release
  python -m training evaluate
  python -m training card
  python -m training rehearse
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    options = parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("training").setLevel(logging.INFO)
    logging.getLogger("huggingface_hub").propagate = False  # it prints its warnings by itself
    try:
        options.command(options)
    except StageError as error:
        if options.debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; nothing is half written. Run the same command again.", file=sys.stderr)
        return 130
    return 0


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where the help is; end with exit code 2."""
        self.exit(2, f"error: {message}; see: {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """Describe the commands and their options."""
    top = Parser(
        prog="python -m training",
        description="Make a release of the digit reader, stage by stage.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    train = add_command(commands, "train", run_train, "train a network and export it")
    train.add_argument(
        "--preset",
        type=preset,
        default="release",
        help=f"{', '.join(PRESETS)}, or a file that tune wrote; default: release",
    )
    train.add_argument("--seed", type=int, default=0, help="default: 0")
    train.add_argument(
        "--seeds",
        type=count,
        default=1,
        metavar="K",
        help="train K networks, with seeds from --seed on, and keep the best on validation digits",
    )
    train.add_argument(
        "--dataset",
        default=MNIST,
        metavar="ID",
        help="Hub id, or folder with the splits train and test: columns image and label, or a "
        f"folder of pictures for each digit; default: {MNIST}",
    )
    train.add_argument(
        "--from",
        dest="start",
        default="",
        metavar="RELEASE",
        help="fine-tune a release: Hub id, with @version if pinned, or a folder",
    )
    add_address(train)
    tune = add_command(commands, "tune", run_tune, "try settings, and write the best as a preset")
    tune.add_argument("--preset", choices=TUNABLE, default="release", help="default: release")
    tune.add_argument("--trials", type=count, default=24, metavar="N", help="default: 24")
    tune.add_argument("--seed", type=int, default=0, help="default: 0")
    tune.add_argument("--dataset", default=MNIST, metavar="ID", help="as train takes it")
    add_address(tune)
    prepare = add_command(
        commands, "prepare", run_prepare, "train, evaluate and card; nothing where that is done"
    )
    prepare.add_argument("--preset", choices=PRESETS, default="release", help="default: release")
    add_command(commands, "evaluate", run_evaluate, "score what train exported")
    add_command(commands, "card", run_card, "render the model card")
    publish = add_command(commands, "publish", run_publish, "publish it as HF_MODEL_ID")
    publish.add_argument(
        "--force", default="", metavar="REASON", help="publish what the gate refuses; say why"
    )
    publish.add_argument(
        "--dry-run", action="store_true", help="decide whether it would be, and change nothing"
    )
    add_command(commands, "deploy", run_deploy, "make the Space HF_SPACE_ID serve it")
    add_command(commands, "verify", run_verify, "ask the Space what the release has answered")
    rollback = add_command(commands, "rollback", run_rollback, "make the Space serve a version")
    rollback.epilog = "example:\n  python -m training rollback v2026.11.23.1"
    rollback.add_argument("version", metavar="VERSION", help="a release's tag, vYYYY.MM.DD.N")
    add_command(commands, "releases", run_releases, "list the releases with their numbers")
    add_command(
        commands, "released", run_released, "find the release made from these sources, to deploy it"
    )
    add_command(commands, "summary", run_summary, "the numbers beside the published ones")
    add_command(commands, "doctor", run_doctor, "is everything there that a release needs?")
    rehearse = add_command(
        commands, "rehearse", run_rehearse, "all of it on a Hub of its own, then the page"
    )
    rehearse.add_argument("--preset", choices=PRESETS, help="default: what is trained, else quick")
    rehearse.add_argument("--once", action="store_true", help="end after some answers")
    classify = add_command(commands, "classify", run_classify, "read many images into parquet")
    classify.epilog = "example:\n  python -m training classify scans/ --to answers/"
    classify.add_argument(
        "source",
        metavar="SOURCE",
        help="images, parquet, a dataset: folder, glob, Hub id",
    )
    classify.add_argument("--to", required=True, metavar="FOLDER", help="a path or an address")
    add_address(classify)
    return top


def add_address(command: Parser) -> None:
    """Add the option that names a cluster."""
    command.add_argument(
        "--address",
        default="",
        metavar="CLUSTER",
        help="of a Ray cluster: auto for this machine's, host:port, or local for one of this "
        "machine alone",
    )


def preset(text: str) -> Config:
    """Read a preset: its name, or a file."""
    try:
        return load_preset(text)
    except StageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def count(text: str) -> int:
    """Read how many: 1 or more."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def add_command(
    commands: argparse._SubParsersAction[Parser],
    name: str,
    run: Callable[[argparse.Namespace], None],
    summary: str,
) -> Parser:
    """Add a command with the options that all have."""
    example = f"example:\n  python -m training {name}"
    command = commands.add_parser(
        name,
        help=summary,
        description=summary.capitalize() + ".",
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--build", type=Path, default=Path("build"), metavar="FOLDER", help="default: build"
    )
    command.add_argument("--debug", action="store_true", help="show where an error came from")
    command.set_defaults(command=run)
    return command


# Each imports what it needs: TensorFlow takes seconds, --help and errors in what is given do not.


def run_train(options: argparse.Namespace) -> None:
    """Train and export."""
    from training.data import load_digits
    from training.start import find_network

    config = replace(options.preset, seed=options.seed, dataset=options.dataset)
    if options.start:
        find_network(options.start)
        config = config.going_on_from(options.start)
    digits = load_digits(config.dataset)
    with writing(options.build):
        options.build.mkdir(parents=True, exist_ok=True)
    from training.export import export
    from training.train import train

    train(config, digits, options.build, options.seeds, options.address)
    export(options.build, digits.test.images)


def run_tune(options: argparse.Namespace) -> None:
    """Tune."""
    from training.cluster import LOCAL, connected

    with connected(options.address or LOCAL):
        from training.data import load_digits
        from training.tune import tune_recipe

        config = replace(PRESETS[options.preset], seed=options.seed, dataset=options.dataset)
        file = tune_recipe(config, load_digits(config.dataset), options.build, options.trials)
    print(f"Train with the best settings: python -m training train --preset {file}")


def run_prepare(options: argparse.Namespace) -> None:
    """Train, score, render."""
    from training.prepare import prepare

    prepare(options.build, options.preset)


def run_evaluate(options: argparse.Namespace) -> None:
    """Score the export."""
    from training.card import headline
    from training.prepare import load_trained_on

    digits = load_trained_on(options.build)
    from training.metrics import evaluate_release

    print(headline(evaluate_release(options.build, digits)))


def run_card(options: argparse.Namespace) -> None:
    """Render the card."""
    from training.card import render_card

    print(f"Model card: {render_card(options.build)}")


def run_publish(options: argparse.Namespace) -> None:
    """Publish."""
    from training.publish import dry_run, publish

    stage = dry_run if options.dry_run else publish
    stage(options.build, repository("HF_MODEL_ID"), options.force)


def run_deploy(options: argparse.Namespace) -> None:
    """Deploy."""
    from training.deploy import deploy
    from training.rollback import or_put_back

    space = repository("HF_SPACE_ID")
    with or_put_back(options.build, space):
        deploy(options.build, space)


def run_verify(options: argparse.Namespace) -> None:
    """Verify."""
    from training.rollback import or_put_back
    from training.verify import verify

    space = repository("HF_SPACE_ID")
    with or_put_back(options.build, space):
        verify(options.build, space)


def run_rollback(options: argparse.Namespace) -> None:
    """Roll back."""
    from training.rollback import roll_back

    model, space = repository("HF_MODEL_ID"), repository("HF_SPACE_ID")
    roll_back(options.build, model, space, options.version)


def run_releases(_: argparse.Namespace) -> None:
    """List the releases."""
    from training.rollback import list_releases, table

    print(table(list_releases(repository("HF_MODEL_ID"))))


def run_released(options: argparse.Namespace) -> None:
    """Look for a release of what is here."""
    from training.publish import find_release

    id = repository("HF_MODEL_ID")
    release = find_release(options.build, id)
    print(f"{id} {release['version']}" if release else f"{id} has no release of what is here")


def run_summary(options: argparse.Namespace) -> None:
    """Summarize."""
    from training.summary import summarize

    print(summarize(options.build))


def run_doctor(_: argparse.Namespace) -> None:
    """Examine."""
    from training.doctor import examine, line

    wrong = 0
    for finding in examine():
        print(line(finding), flush=True)
        wrong += finding.good is False
    if wrong:
        raise StageError(f"{wrong} of these must be mended before a release.")


def run_classify(options: argparse.Namespace) -> None:
    """Read images."""
    from space.reader import Release, ReleaseError, find_release
    from training.classify import classify

    try:
        default = options.build == Path("build")
        release = find_release() if default else Release(options.build / "model")
    except ReleaseError as error:
        raise StageError(str(error)) from error
    classify(options.source, options.to, release, options.address)


def run_rehearse(options: argparse.Namespace) -> None:
    """Rehearse."""
    from training.rehearsal import rehearse

    rehearse(options.build, options.preset, options.once)


if __name__ == "__main__":
    code = main()
    for worker in active_children():  # of a training that ended before it needed what they make
        worker.terminate()
    sys.exit(code)
