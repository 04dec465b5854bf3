"""What the metric modules share: they score probabilities against labels."""

import datasets
import evaluate


def describe(definition: str) -> evaluate.MetricInfo:
    """Describe a metric of n × 10 probabilities against n labels."""
    features = {
        "predictions": datasets.Sequence(datasets.Value("float32")),
        "references": datasets.Value("int64"),
    }
    return evaluate.MetricInfo(
        description=definition, citation="", features=datasets.Features(features)
    )
