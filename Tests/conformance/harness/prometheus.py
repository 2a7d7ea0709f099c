"""A strict reader of the Prometheus text format 0.0.4: what it takes, every scraper takes."""

import re
from collections import defaultdict

import requests

Labels = frozenset[tuple[str, str]]

_SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?[0-9.]+(?:e[+-]?[0-9]+)?|[+-]Inf|NaN)\Z')
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(,|\Z)')
_TYPES = {"counter", "gauge", "histogram", "summary", "untyped"}


class Figures:
    """The samples of one scrape. Reading them asserts that the text is well-formed."""

    def __init__(self, text: str) -> None:
        assert text.endswith("\n") and "\r" not in text
        self.text = text
        self.types: dict[str, str] = {}
        self.samples: dict[tuple[str, Labels], float] = {}
        described: set[str] = set()
        finished: set[str] = set()
        current: str | None = None
        for line in text.splitlines():
            if line.startswith("#"):
                _, keyword, name, rest = line.split(" ", 3)
                assert name not in finished, f"{name} is described after another family began"
                if keyword == "HELP":
                    assert name not in described and name not in self.types, f"{name} has two HELP, or HELP after TYPE"
                    described.add(name)
                else:
                    assert keyword == "TYPE" and rest in _TYPES and name not in self.types, line
                    self.types[name] = rest
            else:
                name = self._read_sample(line)
            if current not in (None, name):
                finished.add(current)
            assert name not in finished, f"the lines of {name} are not together"
            current = name
        self._check_histograms()

    def _read_sample(self, line: str) -> str:
        match = _SAMPLE.match(line)
        assert match, f"no sample: {line}"
        name, labels, value = match[1], self._labels(match[2] or ""), float(match[3])
        family = re.sub(r"_(bucket|sum|count)\Z", "", name)
        family = family if self.types.get(family) in ("histogram", "summary") else name
        assert family in self.types, f"{name} comes without its TYPE"
        assert (name, labels) not in self.samples, f"the series comes twice: {line}"
        assert value >= 0 or self.types[family] == "gauge", line
        self.samples[name, labels] = value
        return family

    @staticmethod
    def _labels(text: str) -> Labels:
        found, position = [], 0
        while position < len(text):
            match = _LABEL.match(text, position)
            assert match, f"no labels: {text}"
            found.append((match[1], match[2]))
            position = match.end()
        assert len({name for name, _ in found}) == len(found), f"a label comes twice: {text}"
        return frozenset(found)

    def _check_histograms(self) -> None:
        for family in (name for name, kind in self.types.items() if kind == "histogram"):
            buckets: dict[Labels, list[tuple[float, float]]] = defaultdict(list)
            for (name, labels), value in self.samples.items():
                if name == f"{family}_bucket":
                    rest = frozenset(pair for pair in labels if pair[0] != "le")
                    buckets[rest].append((float(dict(labels)["le"]), value))
            for labels, counted in buckets.items():
                assert counted == sorted(counted), f"the buckets of {family} {set(labels)} fall"
                assert [count for _, count in counted] == sorted(count for _, count in counted)
                assert counted[-1] == (float("inf"), self.samples[f"{family}_count", labels])
                assert (f"{family}_sum", labels) in self.samples
            counts = {labels for name, labels in self.samples if name == f"{family}_count"}
            assert counts == buckets.keys()

    def value(self, name: str, **labels: str) -> float:
        """The sum over the series that have these labels."""
        asked = set(labels.items())
        return sum(value for (found, has), value in self.samples.items() if found == name and asked <= has)

    def label_values(self, label: str) -> set[str]:
        return {value for _, labels in self.samples for name, value in labels if name == label}


def scrape(base_url: str) -> Figures:
    answer = requests.get(f"{base_url}/metrics", timeout=10)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return Figures(answer.text)
