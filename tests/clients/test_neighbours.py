"""What stands around Autopilot registrations, as Microsoft's Python SDK sees it.

The SDK's types are made from Microsoft's published metadata, so a property
that they do not know is one that no real tenant sends.
"""

import pytest
from kiota_abstractions.base_request_configuration import RequestConfiguration
from kiota_serialization_json.json_parse_node_factory import JsonParseNodeFactory
from msgraph.generated.devices.devices_request_builder import DevicesRequestBuilder
from msgraph.generated.models.enrollment_state import EnrollmentState
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.windows_autopilot_device_identity_collection_response import (
    WindowsAutopilotDeviceIdentityCollectionResponse,
)
from msgraph_beta.generated.device_management.imported_device_identities.import_device_identity_list.import_device_identity_list_post_request_body import (
    ImportDeviceIdentityListPostRequestBody,
)
from msgraph_beta.generated.device_management.imported_device_identities.search_existing_identities.search_existing_identities_post_request_body import (
    SearchExistingIdentitiesPostRequestBody,
)
from msgraph_beta.generated.models.imported_device_identity import ImportedDeviceIdentity
from msgraph_beta.generated.models.imported_device_identity_type import ImportedDeviceIdentityType

import sdk
from test_writing import USER, absent, row, until


def test_a_property_that_is_not_published_would_be_noticed():
    text = b'{"@odata.context": "x", "value": [{"id": "1", "serialNumber": "TEST-1", "serialNumbr": "TEST-1"}]}'
    factory = WindowsAutopilotDeviceIdentityCollectionResponse
    page = JsonParseNodeFactory().get_root_parse_node("application/json", text).get_object_value(factory)
    assert sdk.unpublished(page) == ["value.serialNumbr"]


@pytest.mark.parametrize("version", sdk.VERSIONS)
def test_registrations_and_imports_have_no_property_that_is_not_published(simulate, monkeypatch, version):
    tenant = simulate(devices=3)
    sdk.lead(tenant, "microsoft", monkeypatch)
    tenant.control("enrol", {"id": next(iter(tenant.registrations()))})

    async def work():
        management = sdk.client(tenant, version=version).device_management
        devices, imports = (
            management.windows_autopilot_device_identities,
            management.imported_windows_autopilot_device_identities,
        )
        page = await devices.get()
        each = [await devices.by_windows_autopilot_device_identity_id(one.id).get() for one in page.value]
        return [page, *each, await imports.post(row("TEST-BGO-001")), await imports.get()]

    for answer in sdk.run(work()):
        assert sdk.unpublished(answer) == []


def test_an_enrolled_device_is_found_in_intune_and_goes_from_there_first(simulate, monkeypatch):
    tenant = simulate(devices=2)
    sdk.lead(tenant, "microsoft", monkeypatch)
    id, truth = next(iter(tenant.registrations().items()))
    tenant.control("enrol", {"id": id})

    async def work():
        management = sdk.client(tenant).device_management
        device = management.windows_autopilot_device_identities.by_windows_autopilot_device_identity_id(id)
        enrolled = await device.get()
        managed = management.managed_devices.by_managed_device_id(enrolled.managed_device_id)
        found = await managed.get()
        with pytest.raises(ODataError) as refused:
            await device.delete()
        await managed.delete()
        await until(lambda: absent(managed.get), bool)
        await until(device.get, lambda one: one.enrollment_state is not EnrollmentState.Enrolled)
        await device.delete()
        await until(lambda: absent(device.get), bool)
        return enrolled, found, refused.value

    enrolled, found, refused = sdk.run(work())
    assert enrolled.enrollment_state is EnrollmentState.Enrolled
    assert (found.id, found.serial_number) == (enrolled.managed_device_id, truth["serial"])
    assert found.azure_a_d_device_id == enrolled.azure_active_directory_device_id
    assert sdk.unpublished(found) == []
    assert refused.response_status_code == 400
    assert id not in tenant.registrations()


def test_the_directory_knows_a_device_by_its_registration_and_its_tag(simulate, monkeypatch):
    tenant = simulate(devices=5)
    sdk.lead(tenant, "microsoft", monkeypatch)
    id, truth = next((id, one) for id, one in tenant.registrations().items() if one["groupTag"])
    ask = DevicesRequestBuilder.DevicesRequestBuilderGetQueryParameters(
        filter=f"physicalIds/any(p:p eq '[ZTDID]:{id}')"
    )

    async def work():
        devices = sdk.client(tenant).devices
        return await devices.get(), await devices.get(RequestConfiguration(query_parameters=ask))

    everyone, found = sdk.run(work())
    assert len(everyone.value) == 5
    (device,) = found.value
    assert device.display_name == truth["serial"]
    assert set(device.physical_ids) >= {f"[ZTDID]:{id}", f"[OrderID]:{truth['groupTag']}"}
    assert device.account_enabled is False, "it has not enrolled"
    assert sdk.unpublished(everyone) == []


def test_users_are_there_or_not_and_the_organisation_has_its_name(simulate, monkeypatch):
    tenant = simulate()
    sdk.lead(tenant, "microsoft", monkeypatch)

    async def work():
        graph = sdk.client(tenant)
        organisations, user = await graph.organization.get(), await graph.users.by_user_id(USER).get()
        return organisations, user, await absent(graph.users.by_user_id("nobody@fabrikam.com").get)

    organisations, user, is_absent = sdk.run(work())
    assert [one.display_name for one in organisations.value] == ["Contoso (simulated)"]
    assert organisations.value[0].verified_domains[0].name == "contoso.com"
    assert user.user_principal_name == USER
    assert is_absent
    assert sdk.unpublished(organisations) == sdk.unpublished(user) == []


def test_a_deployment_profile_has_its_assignments_and_its_devices(simulate, monkeypatch):
    tenant = simulate(devices=3)
    sdk.lead(tenant, "microsoft", monkeypatch)

    async def work():
        profiles = sdk.client(tenant, version="beta").device_management.windows_autopilot_deployment_profiles
        listed = await profiles.get()
        profile = profiles.by_windows_autopilot_deployment_profile_id(listed.value[0].id)
        return listed, await profile.get(), await profile.assignments.get(), await profile.assigned_devices.get()

    listed, profile, assignments, devices = sdk.run(work())
    assert [one.display_name for one in listed.value] == ["Corporate devices"]
    assert profile.display_name == "Corporate devices"
    assert [one.target.odata_type for one in assignments.value] == ["#microsoft.graph.allDevicesAssignmentTarget"]
    assert {one.id for one in devices.value} == set(tenant.registrations())
    assert [sdk.unpublished(one) for one in (listed, profile, assignments, devices)] == [[], [], [], []]


def test_corporate_identifiers_are_taken_found_and_removed(simulate, monkeypatch):
    tenant = simulate()
    sdk.lead(tenant, "microsoft", monkeypatch)

    def identifier(text: str, **more: str) -> ImportedDeviceIdentity:
        kind = ImportedDeviceIdentityType.ManufacturerModelSerial
        return ImportedDeviceIdentity(imported_device_identity_type=kind, imported_device_identifier=text, **more)

    async def work():
        corporate = sdk.client(tenant, version="beta").device_management.imported_device_identities
        ours = [identifier("Contoso,Tower 5,TEST-1", description="lab"), identifier("Contoso,Tower 5,TEST-2")]
        taken = await corporate.import_device_identity_list.post(
            ImportDeviceIdentityListPostRequestBody(imported_device_identities=ours)
        )
        again = await corporate.import_device_identity_list.post(
            ImportDeviceIdentityListPostRequestBody(imported_device_identities=ours[:1])
        )
        found = await corporate.search_existing_identities.post(
            SearchExistingIdentitiesPostRequestBody(
                imported_device_identities=[ours[1], identifier("Contoso,Tower 5,TEST-3")]
            )
        )
        await corporate.by_imported_device_identity_id(found.value[0].id).delete()
        return taken, again, found, await corporate.get()

    taken, again, found, left = sdk.run(work())
    assert [one.status for one in taken.value] == [True, True]
    assert [one.status for one in again.value] == [False], "it is there already"
    assert [one.imported_device_identifier for one in found.value] == ["Contoso,Tower 5,TEST-2"]
    assert [(one.imported_device_identifier, one.description) for one in left.value] == [
        ("Contoso,Tower 5,TEST-1", "lab")
    ]
    assert [sdk.unpublished(one) for one in (taken, found, left)] == [[], [], []]


def test_a_device_that_its_vendor_registered_comes_with_the_sync(simulate, monkeypatch):
    tenant = simulate()
    sdk.lead(tenant, "microsoft", monkeypatch)
    tenant.control("vendor", {"serial": "TEST-OEM-1", "manufacturer": "Contoso", "model": "Tower 5", "groupTag": "OEM"})

    async def work():
        management = sdk.client(tenant, version="beta").device_management
        before = await management.windows_autopilot_device_identities.get()
        await management.windows_autopilot_settings.sync.post()
        devices = management.windows_autopilot_device_identities
        return before, await until(devices.get, lambda page: len(page.value) == 1)

    before, after = sdk.run(work())
    assert before.value == []
    assert [(one.serial_number, one.group_tag) for one in after.value] == [("TEST-OEM-1", "OEM")]
