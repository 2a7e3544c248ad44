"""Fixtures of the suite: a running simulator, and limits that hold for every test."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import loopback_only  # noqa: F401  (from here on this process stays on this machine)
from simulator import Simulator, running

# The longest test takes some seconds; libraries that wait for ever do so here.
TEST_TAKES_AT_MOST_S = 90


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """Ends a test that hangs, wherever it hangs."""

    def give_up(*_: object) -> None:
        raise TimeoutError(f"not done after {TEST_TAKES_AT_MOST_S} s")

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(TEST_TAKES_AT_MOST_S)
    yield
    signal.alarm(0)


@pytest.fixture(autouse=True)
def nothing_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies, certificates and credentials of whoever runs the suite do not reach the clients."""
    for name in list(os.environ):
        upper = name.upper()
        if upper.endswith(("_PROXY", "_CA_BUNDLE")) or upper.startswith(("AZURE_", "MSAL_", "SSL_CERT_")):
            monkeypatch.delenv(name)


Simulate = Callable[..., Simulator]


@pytest.fixture
def simulate(tmp_path: Path) -> Iterator[Simulate]:
    """Starts a tenant: `simulate(devices=…, profile=…, settings=(…))`."""
    with ExitStack() as stack:
        yield lambda **how: stack.enter_context(running(tmp_path / "simulator", **how))
