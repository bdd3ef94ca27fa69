"""GET /metrics, read with the parser of prometheus_client."""

from prometheus_client.parser import text_string_to_metric_families

from tests.support.server import Client

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """What /metrics shows.

    kinds -- by family, as Prometheus names it: a counter without `_total`
    samples -- by name and labels, which are sorted
    """

    def __init__(self, text: str) -> None:
        self.kinds: dict[str, str] = {}
        self.samples: dict[tuple[str, Labels], float] = {}
        for family in text_string_to_metric_families(text):
            assert family.name not in self.kinds, f"{family.name} is there twice"
            assert family.documentation
            self.kinds[family.name] = family.type
            for sample in family.samples:
                key = sample.name, tuple(sorted(sample.labels.items()))
                assert key not in self.samples, f"{key} is there twice"
                self.samples[key] = sample.value

    def value(self, name: str, **labels: str) -> float | None:
        """The value of one sample; None without it."""
        return self.samples.get((name, tuple(sorted(labels.items()))))

    def count(self, name: str, **labels: str) -> float:
        """The value of one sample; 0 without it."""
        return self.value(name, **labels) or 0.0

    def labelled(self, name: str) -> dict[Labels, float]:
        """All samples of a name."""
        return {labels: value for (each, labels), value in self.samples.items() if each == name}


def read_metrics(client: Client) -> Metrics:
    """The metrics of a server; checks the answer."""
    answer = client.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    text = answer.data.decode()
    assert text.endswith("\n")
    return Metrics(text)
