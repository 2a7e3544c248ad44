"""Microsoft's Python SDK reads the simulated tenant."""

from datetime import UTC, datetime

import pytest
from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph.generated.models.enrollment_state import EnrollmentState
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph_core import PageIterator

import sdk

NEVER = datetime(1, 1, 1, tzinfo=UTC)
NOBODY = "00000000-0000-0000-0000-000000000000"


async def all_devices(graph) -> list:
    """Every registration, by the SDK's own iterator."""
    devices = []
    first = await graph.device_management.windows_autopilot_device_identities.get()
    await PageIterator(first, graph.request_adapter).iterate(lambda device: devices.append(device) or True)
    return devices


@pytest.mark.parametrize("version", sdk.VERSIONS)
@pytest.mark.parametrize("way", sdk.WAYS)
def test_every_page_of_2500_devices_is_read_once(simulate, monkeypatch, way, version):
    tenant = simulate(devices=2500)
    sdk.lead(tenant, way, monkeypatch)
    devices = sdk.run(all_devices(sdk.client(tenant, way, version)))
    truth = tenant.registrations()
    assert len(devices) == 2500
    assert {one.id: (one.serial_number, one.group_tag) for one in devices} == {
        id: (one["serial"], one["groupTag"]) for id, one in truth.items()
    }
    assert tenant.statuses("GET", "windowsAutopilotDeviceIdentities") == [200, 200, 200]
