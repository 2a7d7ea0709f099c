"""Every secret that a run makes is noted here, so that files, logs and answers can be searched for all of them."""

import subprocess
from collections.abc import Mapping
from tempfile import NamedTemporaryFile

SHORTEST = 6
"""Characters of a secret that is searched for in files."""

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
    # What is shorter is found by chance in the bytes of a large file.
    secrets = [secret.encode() for secret in _seen if len(secret) >= SHORTEST]
    if not _is_any_in(b"\n".join(stored.values()), secrets):
        return []
    return [
        f"{place}: {secret[:12].decode(errors='replace')}…"
        for place, content in stored.items()
        for secret in secrets
        if secret in content
    ]


def _is_any_in(content: bytes, secrets: list[bytes]) -> bool:
    """grep looks for thousands of texts in one pass. It takes them by the line: one line of a secret is enough."""
    with NamedTemporaryFile() as patterns:
        patterns.write(b"\n".join(line for secret in secrets for line in secret.splitlines() if line))
        patterns.flush()
        command = ["grep", "--quiet", "--text", "--fixed-strings", f"--file={patterns.name}"]
        done = subprocess.run(command, input=content, env={"LC_ALL": "C"}, stderr=subprocess.PIPE, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0
