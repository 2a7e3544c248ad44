"""Microsoft's Python SDK meets the limits of the simulated tenant: throttling, and one sync in ten minutes."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from kiota_abstractions.base_request_configuration import RequestConfiguration
from kiota_http.middleware.options import RetryHandlerOption
from msgraph_beta.generated.models.o_data_errors.o_data_error import ODataError as BetaError
from msgraph_beta.generated.models.windows_autopilot_sync_status import WindowsAutopilotSyncStatus

import sdk

# The SDK waits in real time, so the limits are short and virtual time is not
# faster than the real one where it waits for them.
ONE_IN_FIVE_SECONDS = (
    "throttle.on=true",
    "throttle.window=5s",
    "throttle.app_requests=1",
    "throttle.retry_after=2s",
    "throttle.retry_after_share=1",
)


def test_the_sdk_waits_as_long_as_a_refusal_says_and_asks_again(simulate, monkeypatch):
    tenant = simulate(devices=2, speed=1, settings=ONE_IN_FIVE_SECONDS)
    sdk.lead(tenant, "microsoft", monkeypatch)

    async def work():
        devices = sdk.client(tenant).device_management.windows_autopilot_device_identities
        return [len((await devices.get()).value) for _ in range(2)]

    assert sdk.run(work()) == [2, 2]
    first, *refused, last = [
        one for one in tenant.control("log") if one["route"].endswith("windowsAutopilotDeviceIdentities")
    ]
    assert (first["status"], last["status"]) == (200, 200)
    assert refused and {one["status"] for one in refused} == {429}
    # Each time, it waited for the two seconds that it was told.
    asked = [datetime.fromisoformat(one["at"]) for one in (*refused, last)]
    assert all(later - sooner >= timedelta(seconds=2) for sooner, later in itertools.pairwise(asked))


def test_a_refusal_that_is_not_retried_says_how_long_to_wait(simulate, monkeypatch):
    tenant = simulate(settings=(*ONE_IN_FIVE_SECONDS, "throttle.window=10h"))
    sdk.lead(tenant, "microsoft", monkeypatch)

    async def work():
        graph = sdk.client(tenant, version="beta")
        devices = graph.device_management.windows_autopilot_device_identities
        await devices.get()
        with pytest.raises(BetaError) as refused:
            await devices.get(RequestConfiguration(options=[RetryHandlerOption(max_retries=0)]))
        return refused.value

    error = sdk.run(work())
    assert error.response_status_code == 429
    assert error.response_headers["Retry-After"] == "2"
    assert error.error.code == "TooManyRequests"


def test_a_sync_too_soon_is_asked_for_again_by_the_sdk_itself(simulate, monkeypatch):
    tenant = simulate(speed=100, settings=("sync.runs=1s",))
    sdk.lead(tenant, "microsoft", monkeypatch)

    async def work():
        settings = sdk.client(tenant, version="beta").device_management.windows_autopilot_settings
        before = await settings.get()
        await settings.sync.post()
        while (await settings.get()).sync_status is WindowsAutopilotSyncStatus.InProgress:
            pass
        # Too soon: ten virtual minutes are six real seconds, and the SDK's own
        # pauses are longer together.
        await settings.sync.post()
        return before

    before = sdk.run(work())
    assert before.sync_status is WindowsAutopilotSyncStatus.Completed
    assert before.last_sync_date_time > datetime(2001, 1, 1, tzinfo=UTC)
    accepted = [datetime.fromisoformat(at) for at in tenant.control("counters")["syncs_accepted"]]
    assert len(accepted) == 2
    assert all(later - sooner >= timedelta(minutes=10) for sooner, later in itertools.pairwise(accepted))
    assert 429 in tenant.statuses("POST", "windowsAutopilotSettings/sync")


def test_a_sync_beside_a_running_one_is_a_conflict(simulate, monkeypatch):
    tenant = simulate(settings=("sync.runs=10h",))
    sdk.lead(tenant, "microsoft", monkeypatch)

    async def work():
        settings = sdk.client(tenant, version="beta").device_management.windows_autopilot_settings
        await settings.sync.post()
        with pytest.raises(BetaError) as refused:
            await settings.sync.post()
        return refused.value, await settings.get()

    error, running = sdk.run(work())
    assert error.response_status_code == 409
    assert running.sync_status is WindowsAutopilotSyncStatus.InProgress
