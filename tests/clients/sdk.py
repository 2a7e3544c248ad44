"""Microsoft's SDK as its own documentation sets it up, and two ways to lead it here.

`microsoft`: the program knows Microsoft's addresses only; the environment
names a proxy and a CA, as in many a company. `endpoint`: the login and Graph
addresses are arguments, the way national clouds are chosen.
"""

import asyncio
from collections.abc import Coroutine
from types import ModuleType
from typing import Any, TypeVar

import msgraph
import msgraph_beta
import pytest
from azure.identity import ClientSecretCredential
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider

from simulator import CLIENT_ID, CLIENT_SECRET, TENANT, Simulator

T = TypeVar("T")

WAYS = ("microsoft", "endpoint")
# One call of the SDK with all its own retries.
CALL_TAKES_AT_MOST_S = 60

VERSIONS: dict[str, ModuleType] = {"v1.0": msgraph, "beta": msgraph_beta}


def lead(simulator: Simulator, way: str, environment: pytest.MonkeyPatch) -> None:
    """Sets the environment in which the way works."""
    variables = simulator.environment() if way == "microsoft" else simulator.trust()
    for name, value in variables.items():
        environment.setenv(name, value)


def credential(simulator: Simulator, way: str) -> ClientSecretCredential:
    if way == "microsoft":
        return ClientSecretCredential(TENANT, CLIENT_ID, CLIENT_SECRET)
    # Only Microsoft's own hosts are known to its instance discovery.
    return ClientSecretCredential(
        TENANT, CLIENT_ID, CLIENT_SECRET, authority=simulator.url, disable_instance_discovery=True
    )


def client(simulator: Simulator, way: str = "microsoft", version: str = "v1.0", login: Any = None) -> Any:
    """A `GraphServiceClient` of that version of the API; `login` is a credential of azure-identity."""
    package = VERSIONS[version]
    login = login or credential(simulator, way)
    if way == "microsoft":
        return package.GraphServiceClient(login)
    adapter = package.GraphRequestAdapter(AzureIdentityAuthenticationProvider(login))
    adapter.base_url = f"{simulator.url}/{version}"
    return package.GraphServiceClient(request_adapter=adapter)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs one test's work; what it awaits ends in time."""
    return asyncio.run(asyncio.wait_for(work, CALL_TAKES_AT_MOST_S))


def unpublished(model: Any, at: str = "") -> list[str]:
    """Names of properties that came, here or further in, but are not in the SDK's type: not in what Microsoft publishes."""
    found = []
    for name, _ in model.backing_store.enumerate_():
        value = getattr(model, name)
        if name == "additional_data":
            found += [f"{at}{extra}" for extra in value or {} if not extra.startswith("@odata.")]
        else:
            several = value if isinstance(value, list) else [value]
            inner = (one for one in several if hasattr(one, "backing_store"))
            found += [deeper for one in inner for deeper in unpublished(one, f"{at}{name}.")]
    return found
