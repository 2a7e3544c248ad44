"""The real `apgit simulate`, started for one test and stopped after it.

Nothing of the program is replaced: the binary is named by `APGIT`, and what
it says in its first line is all that is known about it.
"""

import base64
import contextlib
import json
import os
import re
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Public and the same in every simulated tenant.
CLIENT_SECRET = "simulated-secret-of-no-value"
CLIENT_ID = "aaaaaaaa-0000-4000-8000-000000000001"
TENANT = "contoso.onmicrosoft.com"

STARTS_WITHIN_S = 20
# At this speed an import of 100 virtual seconds takes a sixth of a real one.
SPEED = 600
# Client libraries cache a token by the real clock, which stands nearly still.
TOKEN_LIFE = "login.token_life=2400h"

ROOT = Path(__file__).resolve().parents[2]
HASHES = ROOT / "examples" / "contoso" / "hashes"


class Simulator:
    """A running tenant: where it is, and what it knows to be true."""

    def __init__(self, url: str, proxy: str, ca: Path, log: Path) -> None:
        self.url, self.proxy, self.ca, self.log_file = url, proxy, ca, log
        # Only for /_sim/, which no stranger asks for.
        context = ssl.create_default_context(cafile=str(ca))
        self._open = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        ).open

    def control(self, route: str, body: Any = None) -> Any:
        """GET, or POST where there is a body, of `/_sim/<route>`."""
        data = None if body is None else json.dumps(body).encode()
        with self._open(urllib.request.Request(f"{self.url}/_sim/{route}", data=data), timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def set(self, **settings: str) -> None:
        """Changes settings; a double underscore stands for the point in their names."""
        self.control("settings", {name.replace("__", "."): value for name, value in settings.items()})

    def registrations(self) -> dict[str, dict[str, Any]]:
        """The truth about every registration, by id."""
        return {one["id"]: one for one in self.control("registrations")}

    def statuses(self, method: str, route: str) -> list[int]:
        """The status of every answer so far on routes that end in this text."""
        return [
            one["status"] for one in self.control("log") if one["method"] == method and one["route"].endswith(route)
        ]

    def environment(self) -> dict[str, str]:
        """What leads a program that knows only Microsoft's addresses here."""
        names = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
        return dict.fromkeys(names, self.proxy) | self.trust()

    def trust(self) -> dict[str, str]:
        """What makes Python's HTTP libraries accept the simulator's certificates."""
        return dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), str(self.ca))


@contextlib.contextmanager
def running(
    folder: Path,
    *,
    devices: int = 0,
    profile: str = "busy",
    speed: float = SPEED,
    settings: tuple[str, ...] = (),
    tenants: tuple[str, ...] = (),
) -> Iterator[Simulator]:
    """Starts a tenant, or several by their domains, on a free loopback port; stops it and reads its exit code at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    ca, log = folder / "ca.pem", folder / "simulate.log"
    arguments = ["simulate", "--listen", "127.0.0.1:0", "--devices", str(devices), "--profile", profile]
    arguments += ["--speed", str(speed), "--tls", str(ca), "--proxy"]
    for setting in (TOKEN_LIFE, *settings):
        arguments += ["--set", setting]
    for tenant in tenants:
        arguments += ["--domain", tenant]
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with log.open("w") as errors:
        process = subprocess.Popen(
            [os.environ["APGIT"], *arguments], stdout=subprocess.PIPE, stderr=errors, text=True, env=clean
        )
    try:
        greeting = first_line(process)
        address = re.fullmatch(r"simulated tenant at https://(\S+)", greeting)
        assert address, f"the simulator said `{greeting}`\n{log.read_text()}"
        yield Simulator(f"https://{address[1]}", f"http://{address[1]}", ca, log)
    finally:
        process.terminate()
        try:
            code = process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert code == 0, f"the simulator ended with {code}\n{log.read_text()}"


def first_line(process: subprocess.Popen) -> str:
    """The greeting; a simulator that says nothing is stopped, which ends its stdout."""
    patience = threading.Timer(STARTS_WITHIN_S, process.kill)
    patience.start()
    try:
        return process.stdout.readline().strip()
    finally:
        patience.cancel()


def hardware_hash(serial: str) -> bytes:
    """The made-up hash of a device of the example fleet."""
    return base64.b64decode((HASHES / f"{serial}.txt").read_text())
