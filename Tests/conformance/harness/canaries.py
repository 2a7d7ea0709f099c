"""Every secret that a run makes is noted here, so that files, logs and answers can be searched for all of them."""

from collections.abc import Mapping

_seen: set[str] = set()


def canary(secret: str) -> str:
    """Notes a secret and hands it back."""
    _seen.add(secret)
    return secret


def assert_silent(answer: bytes, what: str, known: frozenset[str]) -> None:
    """No answer tells a secret that was known before it was asked for (what it makes, it shows once)."""
    told = [secret[:12] for secret in known if secret.encode() in answer]
    assert told == [], f"{what} tells secrets that begin with {told}"


def known_secrets() -> frozenset[str]:
    return frozenset(_seen)


def readable_in(stored: Mapping[str, bytes]) -> list[str]:
    """Says where a noted secret stands in plain text, and how it begins. `stored`: contents by their places."""
    assert _seen, "no secret was noted: the search would prove nothing"
    return [
        f"{place}: {secret[:12]}…"
        for place, content in stored.items()
        for secret in _seen
        if secret.encode() in content
    ]
