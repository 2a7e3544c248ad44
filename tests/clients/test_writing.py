"""Microsoft's Python SDK registers, changes and removes devices of the simulated tenant.

The tenant is busy: imports take up to 15 minutes, lists lag, deletions take
up to half an hour. All of that is virtual time, and hundreds of times faster.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from azure.identity import ClientSecretCredential
from msgraph.generated.device_management.imported_windows_autopilot_device_identities.import_.import_post_request_body import (
    ImportPostRequestBody,
)
from msgraph.generated.device_management.windows_autopilot_device_identities.item.assign_user_to_device.assign_user_to_device_post_request_body import (
    AssignUserToDevicePostRequestBody,
)
from msgraph.generated.device_management.windows_autopilot_device_identities.item.update_device_properties.update_device_properties_post_request_body import (
    UpdateDevicePropertiesPostRequestBody,
)
from msgraph.generated.models.imported_windows_autopilot_device_identity import ImportedWindowsAutopilotDeviceIdentity
from msgraph.generated.models.imported_windows_autopilot_device_identity_import_status import (
    ImportedWindowsAutopilotDeviceIdentityImportStatus as Status,
)
from msgraph.generated.models.o_data_errors.o_data_error import ODataError

import sdk
from simulator import CLIENT_ID, CLIENT_SECRET, hardware_hash

T = TypeVar("T")

USER = "anna.keller@contoso.com"
RUNNING = (Status.Unknown, Status.Pending, Status.Partial)
# A fifth of all assignments fail in a busy tenant; here one that works is meant.
ASSIGNS = ("update.assign_broken_share=0",)


def row(serial: str, **more: str) -> ImportedWindowsAutopilotDeviceIdentity:
    return ImportedWindowsAutopilotDeviceIdentity(
        serial_number=serial,
        hardware_identifier=hardware_hash(serial),
        group_tag="BGO-STD",
        import_id=str(uuid.uuid5(uuid.NAMESPACE_OID, serial)),
        **more,
    )


async def until(ask: Callable[[], Awaitable[T]], wanted: Callable[[T], bool], within_s: float = 30) -> T:
    """Polls as a stranger would, only faster."""
    deadline = time.monotonic() + within_s
    while not wanted(seen := await ask()):
        assert time.monotonic() < deadline, f"still {seen!r} after {within_s} s"
        await asyncio.sleep(0.05)
    return seen


async def imported(imports, device: ImportedWindowsAutopilotDeviceIdentity) -> ImportedWindowsAutopilotDeviceIdentity:
    """Posts one device to a set of import records, and gives the record back once it has ended."""
    posted = await imports.post(device)
    record = imports.by_imported_windows_autopilot_device_identity_id(posted.id)
    return await until(record.get, lambda one: one.state.device_import_status not in RUNNING)


async def absent(ask: Callable[[], Awaitable[object]]) -> bool:
    """Whether the answer is 404; every other error is one."""
    try:
        await ask()
    except ODataError as error:
        if error.response_status_code != 404:
            raise
        return True
    return False


@pytest.mark.parametrize("version", sdk.VERSIONS)
@pytest.mark.parametrize("way", sdk.WAYS)
def test_a_single_import_is_polled_until_the_device_is_registered(simulate, monkeypatch, way, version):
    tenant = simulate()
    sdk.lead(tenant, way, monkeypatch)

    async def work():
        imports = sdk.client(tenant, way, version).device_management.imported_windows_autopilot_device_identities
        posted = await imports.post(row("TEST-BGO-001"))
        record = imports.by_imported_windows_autopilot_device_identity_id(posted.id)
        return posted, await until(
            record.get, lambda one: one.state.device_import_status.value not in {s.value for s in RUNNING}
        )

    posted, ended = sdk.run(work())
    assert posted.state.device_import_status.value == Status.Unknown.value
    # The hash never comes back.
    assert not posted.hardware_identifier and not ended.hardware_identifier
    assert ended.state.device_import_status.value == Status.Complete.value
    assert (ended.state.device_error_code, ended.state.device_error_name) == (0, "")
    truth = tenant.registrations()[ended.state.device_registration_id]
    assert (truth["serial"], truth["groupTag"], truth["origin"]) == ("TEST-BGO-001", "BGO-STD", "import")


def test_a_device_goes_all_the_way_from_import_to_deletion(simulate, monkeypatch):
    tenant = simulate(settings=ASSIGNS)
    sdk.lead(tenant, "microsoft", monkeypatch)

    async def work():
        management = sdk.client(tenant).device_management
        imports, devices = (
            management.imported_windows_autopilot_device_identities,
            management.windows_autopilot_device_identities,
        )

        # The action takes several rows; the records are found in the list.
        serials = ["TEST-BGO-001", "TEST-BGO-002", "TEST-KSK-001"]
        answer = await imports.import_.post(
            ImportPostRequestBody(imported_windows_autopilot_device_identities=[row(serial) for serial in serials])
        )
        assert sorted(one.serial_number for one in answer.value) == serials
        ended = lambda page: all(one.state.device_import_status is Status.Complete for one in page.value)  # noqa: E731
        records = await until(imports.get, ended)
        assert sorted(one.serial_number for one in records.value) == serials

        # Registered is not listed yet.
        ids = {one.state.device_registration_id: one.serial_number for one in records.value}
        listed = await until(devices.get, lambda page: len(page.value) == 3)
        assert {one.id: one.serial_number for one in listed.value} == ids

        id = next(id for id, serial in ids.items() if serial == "TEST-KSK-001")
        device = devices.by_windows_autopilot_device_identity_id(id)
        await device.update_device_properties.post(
            UpdateDevicePropertiesPostRequestBody(group_tag="KIOSK-LOBBY", display_name="LOBBY-1")
        )
        changed = await until(device.get, lambda one: one.group_tag == "KIOSK-LOBBY")
        assert changed.display_name == "LOBBY-1"

        await device.assign_user_to_device.post(
            AssignUserToDevicePostRequestBody(user_principal_name=USER, addressable_user_name="Anna Keller")
        )
        assigned = await until(device.get, lambda one: one.user_principal_name == USER)
        assert assigned.addressable_user_name == "Anna Keller"
        await device.unassign_user_from_device.post()
        freed = await until(device.get, lambda one: one.user_principal_name == "")
        assert freed.group_tag == "KIOSK-LOBBY", "what nobody named stays"

        await device.delete()
        await until(lambda: absent(device.get), bool)
        await until(devices.get, lambda page: len(page.value) == 2)

        for record in records.value:
            await imports.by_imported_windows_autopilot_device_identity_id(record.id).delete()
        assert (await imports.get()).value == []
        return id

    gone = sdk.run(work())
    assert gone not in tenant.registrations()
    assert len(tenant.registrations()) == 2


def test_a_device_that_is_already_here_is_error_806(simulate, monkeypatch):
    tenant = simulate()
    sdk.lead(tenant, "microsoft", monkeypatch)

    async def work():
        imports = sdk.client(tenant).device_management.imported_windows_autopilot_device_identities
        seen = []
        for _ in range(2):
            seen.append(await imported(imports, row("TEST-BGO-001")))
        return seen

    first, second = sdk.run(work())
    assert first.state.device_import_status is Status.Complete
    assert second.state.device_import_status is Status.Error
    assert (second.state.device_error_code, second.state.device_error_name) == (806, "ZtdDeviceAlreadyAssigned")
    assert len(tenant.registrations()) == 1


def test_a_device_of_another_tenant_is_error_808(simulate, monkeypatch):
    domains = ("contoso.com", "fabrikam.com")
    both = simulate(tenants=domains)
    sdk.lead(both, "microsoft", monkeypatch)

    async def work():
        seen = []
        for domain in domains:
            login = ClientSecretCredential(domain, CLIENT_ID, CLIENT_SECRET)
            management = sdk.client(both, login=login).device_management
            seen.append(await imported(management.imported_windows_autopilot_device_identities, row("TEST-BGO-001")))
        return seen

    first, second = sdk.run(work())
    assert first.state.device_import_status is Status.Complete
    assert second.state.device_import_status is Status.Error
    assert (second.state.device_error_code, second.state.device_error_name) == (808, "ZtdDeviceAssignedToOtherTenant")


def test_a_device_cannot_be_deleted_twice(simulate, monkeypatch):
    tenant = simulate(devices=1, settings=("delete.visible=10h",))
    sdk.lead(tenant, "microsoft", monkeypatch)
    (id,) = tenant.registrations()

    async def work():
        devices = sdk.client(tenant).device_management.windows_autopilot_device_identities
        device = devices.by_windows_autopilot_device_identity_id(id)
        await device.delete()
        with pytest.raises(ODataError) as refused:
            await device.delete()
        return refused.value

    error = sdk.run(work())
    assert error.response_status_code == 400
    assert error.primary_message


def test_a_user_of_another_company_is_refused_before_anything_is_imported(simulate, monkeypatch):
    tenant = simulate()
    sdk.lead(tenant, "microsoft", monkeypatch)
    imports = sdk.client(tenant).device_management.imported_windows_autopilot_device_identities
    with pytest.raises(ODataError) as refused:
        sdk.run(imports.post(row("TEST-BGO-001", assigned_user_principal_name="anna.keller@fabrikam.com")))
    assert refused.value.response_status_code == 400
    assert tenant.control("imports") == []
