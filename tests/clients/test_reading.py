"""Microsoft's Python SDK reads the simulated tenant."""

import asyncio
from datetime import UTC, datetime

import pytest
from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph.generated.device_management.windows_autopilot_device_identities.windows_autopilot_device_identities_request_builder import (
    WindowsAutopilotDeviceIdentitiesRequestBuilder as ListOf,
)
from msgraph.generated.models.enrollment_state import EnrollmentState
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph_beta.generated.device_management.windows_autopilot_device_identities.item.windows_autopilot_device_identity_item_request_builder import (
    WindowsAutopilotDeviceIdentityItemRequestBuilder as BetaItem,
)
from msgraph_beta.generated.models.windows_autopilot_profile_assignment_status import (
    WindowsAutopilotProfileAssignmentStatus,
)
from msgraph_core import PageIterator
from msgraph_core.requests.batch_request_content import BatchRequestContent

import sdk

NEVER = datetime(1, 1, 1, tzinfo=UTC)
NOBODY = "00000000-0000-0000-0000-000000000000"
MISSING = "00000000-0000-4000-8000-000000000001"
PAGES_OF_25 = ("list.page_size=25",)


async def all_devices(graph) -> list:
    """Every registration, by the SDK's own iterator."""
    devices = []
    first = await graph.device_management.windows_autopilot_device_identities.get()
    await PageIterator(first, graph.request_adapter).iterate(lambda device: devices.append(device) or True)
    return devices


def check_all_are_read_once(tenant, graph, pages: int) -> None:
    devices = sdk.run(all_devices(graph))
    truth = tenant.registrations()
    assert len(devices) == len(truth)
    assert {one.id: (one.serial_number, one.group_tag) for one in devices} == {
        id: (one["serial"], one["groupTag"]) for id, one in truth.items()
    }
    assert tenant.statuses("GET", "windowsAutopilotDeviceIdentities") == [200] * pages


# The SDK needs about 10 ms of its own for each device, so only one test reads
# pages of full size.
def test_a_list_of_more_than_a_page_is_read_whole_and_once(simulate, monkeypatch):
    tenant = simulate(devices=1001)
    sdk.lead(tenant, "microsoft", monkeypatch)
    check_all_are_read_once(tenant, sdk.client(tenant), pages=2)


@pytest.mark.parametrize("version", sdk.VERSIONS)
@pytest.mark.parametrize("way", sdk.WAYS)
def test_both_versions_are_paged_by_both_ways_in(simulate, monkeypatch, way, version):
    tenant = simulate(devices=60, settings=PAGES_OF_25)
    sdk.lead(tenant, way, monkeypatch)
    check_all_are_read_once(tenant, sdk.client(tenant, way, version), pages=3)


def test_a_page_says_how_many_and_where_the_next_one_is(simulate, monkeypatch):
    tenant = simulate(devices=30, settings=PAGES_OF_25)
    sdk.lead(tenant, "microsoft", monkeypatch)
    page = sdk.run(sdk.client(tenant).device_management.windows_autopilot_device_identities.get())
    assert (page.odata_count, len(page.value)) == (25, 25)
    # The SDK itself asks with two slashes in a row; the service does not.
    assert page.odata_next_link.startswith(
        "https://graph.microsoft.com/v1.0/deviceManagement/windowsAutopilotDeviceIdentities?$skiptoken="
    )
    assert page.additional_data["@odata.context"] == (
        "https://graph.microsoft.com/v1.0/$metadata#deviceManagement/windowsAutopilotDeviceIdentities"
    )


def test_one_device_has_the_types_of_the_sdk(simulate, monkeypatch):
    tenant = simulate(devices=1)
    sdk.lead(tenant, "microsoft", monkeypatch)
    ((id, truth),) = tenant.registrations().items()
    device = sdk.run(
        sdk.client(tenant)
        .device_management.windows_autopilot_device_identities.by_windows_autopilot_device_identity_id(id)
        .get()
    )
    assert (device.id, device.serial_number, device.model) == (id, truth["serial"], truth["model"])
    assert device.enrollment_state is EnrollmentState.NotContacted
    assert device.last_contacted_date_time == NEVER
    # What is not there is "", never None; an id that is not there is all zeros.
    assert (device.user_principal_name, device.display_name, device.purchase_order_identifier) == ("", "", "")
    assert (device.azure_active_directory_device_id, device.managed_device_id) == (NOBODY, NOBODY)
    # Nothing came that the published type does not have.
    assert set(device.additional_data) == {"@odata.context"}


def test_beta_shows_the_profile_that_it_was_asked_to_expand(simulate, monkeypatch):
    tenant = simulate(devices=1)
    sdk.lead(tenant, "microsoft", monkeypatch)
    (id,) = tenant.registrations()
    expand = BetaItem.WindowsAutopilotDeviceIdentityItemRequestBuilderGetQueryParameters(expand=["deploymentProfile"])
    graph = sdk.client(tenant, version="beta")
    device = sdk.run(
        graph.device_management.windows_autopilot_device_identities.by_windows_autopilot_device_identity_id(id).get(
            RequestConfiguration(query_parameters=expand)
        )
    )
    assert device.deployment_profile_assignment_status is WindowsAutopilotProfileAssignmentStatus.AssignedInSync
    assert device.deployment_profile.display_name == "Corporate devices"
    assert set(device.additional_data) == {"@odata.context"}


def test_a_serial_is_found_by_the_one_filter_that_works(simulate, monkeypatch):
    tenant = simulate(devices=30)
    sdk.lead(tenant, "microsoft", monkeypatch)
    serial = next(one["serial"] for one in tenant.registrations().values())
    ask = ListOf.WindowsAutopilotDeviceIdentitiesRequestBuilderGetQueryParameters(
        filter=f"contains(serialNumber,'{serial}')"
    )
    page = sdk.run(
        sdk.client(tenant).device_management.windows_autopilot_device_identities.get(
            RequestConfiguration(query_parameters=ask)
        )
    )
    assert [one.serial_number for one in page.value] == [serial]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"filter": "serialNumber eq 'SIM0000001'"}, 400, "BadRequest"),
        ({"select": ["serialNumber"]}, 500, "InternalServerError"),
    ],
    ids=["a filter by equality", "a selection of properties"],
)
def test_what_the_service_refuses_is_an_odata_error(simulate, monkeypatch, query, status, code):
    tenant = simulate(devices=1)
    sdk.lead(tenant, "microsoft", monkeypatch)
    ask = ListOf.WindowsAutopilotDeviceIdentitiesRequestBuilderGetQueryParameters(**query)
    with pytest.raises(ODataError) as refused:
        sdk.run(
            sdk.client(tenant).device_management.windows_autopilot_device_identities.get(
                RequestConfiguration(query_parameters=ask)
            )
        )
    check_error(refused.value, status, code)


def test_a_device_that_is_not_there_is_an_odata_error(simulate, monkeypatch):
    tenant = simulate()
    sdk.lead(tenant, "microsoft", monkeypatch)
    with pytest.raises(ODataError) as refused:
        sdk.run(
            sdk.client(tenant)
            .device_management.windows_autopilot_device_identities.by_windows_autopilot_device_identity_id(MISSING)
            .get()
        )
    check_error(refused.value, 404, "ResourceNotFound")


def check_error(error: ODataError, status: int, code: str) -> None:
    """The SDK found everything where it looks for it."""
    assert (error.response_status_code, error.error.code) == (status, code)
    assert error.primary_message
    assert error.error.inner_error.date is not None
    assert error.error.inner_error.request_id == error.response_headers["request-id"]
    assert error.error.inner_error.client_request_id


def test_twenty_reads_at_once_are_all_answered(simulate, monkeypatch):
    tenant = simulate(devices=20)
    sdk.lead(tenant, "microsoft", monkeypatch)

    async def work():
        devices = sdk.client(tenant).device_management.windows_autopilot_device_identities
        ids = list(tenant.registrations())
        return ids, await asyncio.gather(*(devices.by_windows_autopilot_device_identity_id(id).get() for id in ids))

    ids, devices = sdk.run(work())
    assert [one.id for one in devices] == ids


# The SDK's own reader takes the body of a part for base64, which Graph sends
# only where it is no JSON: it shows statuses and headers, never a JSON body.
def test_each_part_of_an_sdk_batch_has_its_own_answer(simulate, monkeypatch):
    tenant = simulate(devices=19)
    sdk.lead(tenant, "microsoft", monkeypatch)

    async def work():
        graph = sdk.client(tenant)
        content, wanted = BatchRequestContent(), {}
        for id in (*tenant.registrations(), MISSING):
            device = (
                graph.device_management.windows_autopilot_device_identities.by_windows_autopilot_device_identity_id(id)
            )
            content.add_request_information(device.to_get_request_information())
            wanted[list(content.requests)[-1]] = 404 if id == MISSING else 200
        return wanted, await graph.batch.post(content)

    wanted, answer = sdk.run(work())
    assert answer.get_response_status_codes() == wanted
    assert {one.content_type.split(";")[0] for one in answer.responses.values()} == {"application/json"}
