"""Our metrics are those that `evaluate.load` fetches from the Hub: asked where the Hub answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.test_metrics import random_answers
from training.metrics import score

CANONICAL = """
import evaluate, json, sys
given = json.load(sys.stdin)
macro = {"average": "macro", "zero_division": 0}
values = {"accuracy": evaluate.load("accuracy").compute(**given)["accuracy"]}
for name in ("precision", "recall"):
    values[f"macro_{name}"] = evaluate.load(name).compute(**given, **macro)[name]
values["macro_f1"] = evaluate.load("f1").compute(**given, average="macro")["f1"]
matrix = evaluate.load("confusion_matrix").compute(**given, labels=list(range(10)))
values["confusion_matrix"] = matrix["confusion_matrix"].tolist()
print(json.dumps(values))
"""


@pytest.mark.hub
def test_every_metric_equals_the_canonical_one() -> None:
    probabilities, labels = random_answers(2_000, 0.9, 0)
    environment = {name: value for name, value in os.environ.items() if name != "HF_ENDPOINT"}
    done = subprocess.run(
        [sys.executable, "-c", CANONICAL],
        input=json.dumps(
            {"predictions": probabilities.argmax(1).tolist(), "references": labels.tolist()}
        ),
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    ours = score(probabilities, labels)
    for name, value in json.loads(done.stdout.splitlines()[-1]).items():
        assert np.allclose(ours[name], value, atol=1e-9), name
