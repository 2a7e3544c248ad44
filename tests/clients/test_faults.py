"""Microsoft's Python SDK when the simulated tenant misbehaves: its own retries, and the errors that are left."""

import httpx
import pytest
from kiota_abstractions.api_error import APIError
from msgraph.generated.models.o_data_errors.o_data_error import ODataError

import sdk

LIST = "deviceManagement/windowsAutopilotDeviceIdentities"


def inject(tenant, mishap, times: int = 1, **more) -> None:
    """Lets it befall the next listings."""
    tenant.control("inject", {"mishap": mishap, "method": "GET", "route": LIST, "times": times, **more})


def listing(tenant) -> list[str]:
    page = sdk.run(sdk.client(tenant).device_management.windows_autopilot_device_identities.get())
    return [one.id for one in page.value]


@pytest.mark.parametrize(("mishap", "status"), [("throttled", 429), ("unavailable", 503)])
def test_the_sdk_gets_through_what_says_when_to_come_back(simulate, monkeypatch, mishap, status):
    tenant = simulate(devices=2)
    sdk.lead(tenant, "microsoft", monkeypatch)
    inject(tenant, mishap, times=2, retryAfter=1)
    assert listing(tenant) == list(tenant.registrations())
    assert tenant.statuses("GET", LIST) == [status, status, 200]


def test_the_sdk_gets_through_a_gateway_that_gave_up(simulate, monkeypatch):
    tenant = simulate(devices=2)
    sdk.lead(tenant, "microsoft", monkeypatch)
    inject(tenant, "gatewayTimeout")
    assert listing(tenant) == list(tenant.registrations())
    assert tenant.statuses("GET", LIST) == [504, 200]


@pytest.mark.parametrize("mishap", ["serverError", "queryBroker"])
def test_a_failure_that_nobody_retries_is_an_odata_error(simulate, monkeypatch, mishap):
    tenant = simulate()
    sdk.lead(tenant, "microsoft", monkeypatch)
    inject(tenant, mishap)
    with pytest.raises(ODataError) as failed:
        listing(tenant)
    assert failed.value.response_status_code == 500
    assert failed.value.error.code and failed.value.error.message


def test_a_page_instead_of_json_is_an_error_and_no_empty_list(simulate, monkeypatch):
    tenant = simulate(devices=2)
    sdk.lead(tenant, "microsoft", monkeypatch)
    inject(tenant, {"html": 502})
    with pytest.raises(APIError) as failed:
        listing(tenant)
    assert failed.value.response_status_code == 502


@pytest.mark.parametrize("mishap", ["lostRequest", "lostAnswer"])
def test_a_dropped_connection_is_an_error_of_the_transport(simulate, monkeypatch, mishap):
    tenant = simulate(devices=2)
    sdk.lead(tenant, "microsoft", monkeypatch)
    inject(tenant, mishap)
    with pytest.raises(httpx.RemoteProtocolError):
        listing(tenant)
    assert listing(tenant) == list(tenant.registrations())
