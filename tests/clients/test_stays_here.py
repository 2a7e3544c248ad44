"""Nothing that these tests start leaves this machine, and the strangers' code is as they published it."""

import base64
import hashlib
import importlib.metadata
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from loopback_only import LeavesLoopback

HERE = Path(__file__).resolve().parent
# Reserved for documentation: nobody answers there.
ELSEWHERE = "192.0.2.1"


def test_a_connection_to_elsewhere_is_refused_in_this_process():
    with pytest.raises(LeavesLoopback), socket.socket() as plain:
        plain.connect((ELSEWHERE, 443))
    with pytest.raises(LeavesLoopback):
        socket.getaddrinfo("graph.microsoft.com", 443)


def test_a_connection_to_elsewhere_is_refused_in_a_client_of_its_own():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE / "guard")])}
    script = "import socket; socket.getaddrinfo('graph.microsoft.com', 443)"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode != 0
    assert "LeavesLoopback: `graph.microsoft.com` is not on this machine" in done.stderr


def test_the_proxy_takes_nobody_anywhere_else(simulate, monkeypatch):
    tenant = simulate()
    for name, value in tenant.environment().items():
        monkeypatch.setenv(name, value)
    for address in ("https://example.com/", f"https://{ELSEWHERE}/", "https://graph.microsoft.com.example.com/"):
        with pytest.raises(requests.exceptions.ProxyError, match="403"):
            requests.get(address, timeout=10)


def test_the_proxy_serves_the_hosts_of_every_cloud(simulate, monkeypatch):
    tenant = simulate()
    for name, value in tenant.environment().items():
        monkeypatch.setenv(name, value)
    logins = ("login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn")
    for host in logins:
        found = requests.get(f"https://{host}/contoso.com/v2.0/.well-known/openid-configuration", timeout=10)
        assert found.json()["token_endpoint"] == f"https://{host}/contoso.com/oauth2/v2.0/token"
    graphs = (
        "graph.microsoft.com", "graph.microsoft.us", "dod-graph.microsoft.us", "microsoftgraph.chinacloudapi.cn",
    )  # fmt: skip
    for host in graphs:
        refused = requests.get(f"https://{host}/v1.0/deviceManagement/windowsAutopilotDeviceIdentities", timeout=10)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "InvalidAuthenticationToken")


def test_a_client_that_does_not_trust_the_simulator_is_not_served(simulate, monkeypatch):
    tenant = simulate()
    monkeypatch.setenv("HTTPS_PROXY", tenant.proxy)
    with pytest.raises(requests.exceptions.SSLError):
        requests.get("https://graph.microsoft.com/v1.0/organization", timeout=10)


@pytest.mark.parametrize("package", ["IntuneCD", "azure-identity", "msal", "microsoft-kiota-http", "msgraph-core"])
def test_the_code_of_the_strangers_is_untouched(package):
    recorded = [one for one in importlib.metadata.files(package) if one.suffix == ".py" and one.hash]
    assert recorded
    for file in recorded:
        digest = hashlib.new(file.hash.mode, file.locate().read_bytes()).digest()
        assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == file.hash.value, file
