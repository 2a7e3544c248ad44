"""Microsoft's login library gets tokens from the simulated tenant, in every way an app has."""

from pathlib import Path

import azure.identity
import azure.identity.aio
import pytest
from azure.core.exceptions import ClientAuthenticationError

import sdk
from simulator import CLIENT_ID, CLIENT_SECRET, ROOT, TENANT

TENANT_ID = "11111111-2222-3333-4444-555555555555"
CERTIFICATE = ROOT / "tests" / "fixtures" / "login" / "certificate-and-key.pem"
# Looks like a signed token, as a pipeline or a cluster would hand one out.
ASSERTION = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"
GRAPH = "https://graph.microsoft.com/.default"


def reads_a_device(tenant, login) -> bool:
    """Whether the login opens the tenant."""
    page = sdk.run(sdk.client(tenant, login=login).device_management.windows_autopilot_device_identities.get())
    return [one.id for one in page.value] == list(tenant.registrations())


@pytest.mark.parametrize("name", [TENANT, TENANT_ID], ids=["by domain", "by id"])
def test_a_client_secret_opens_the_tenant(simulate, monkeypatch, name):
    tenant = simulate(devices=1)
    sdk.lead(tenant, "microsoft", monkeypatch)
    assert reads_a_device(tenant, azure.identity.ClientSecretCredential(name, CLIENT_ID, CLIENT_SECRET))


def test_a_certificate_opens_the_tenant(simulate, monkeypatch):
    tenant = simulate(devices=1)
    sdk.lead(tenant, "microsoft", monkeypatch)
    assert reads_a_device(tenant, azure.identity.CertificateCredential(TENANT, CLIENT_ID, str(CERTIFICATE)))


def test_an_assertion_opens_the_tenant(simulate, monkeypatch):
    tenant = simulate(devices=1)
    sdk.lead(tenant, "microsoft", monkeypatch)
    assert reads_a_device(tenant, azure.identity.ClientAssertionCredential(TENANT, CLIENT_ID, lambda: ASSERTION))


def test_a_workload_identity_opens_the_tenant(simulate, monkeypatch, tmp_path: Path):
    tenant = simulate(devices=1)
    sdk.lead(tenant, "microsoft", monkeypatch)
    token = tmp_path / "token"
    token.write_text(ASSERTION)
    login = azure.identity.WorkloadIdentityCredential(tenant_id=TENANT, client_id=CLIENT_ID, token_file_path=str(token))
    assert reads_a_device(tenant, login)


def test_the_default_login_takes_the_secret_from_the_environment(simulate, monkeypatch):
    tenant = simulate(devices=1)
    sdk.lead(tenant, "microsoft", monkeypatch)
    for name, value in {"TENANT_ID": TENANT, "CLIENT_ID": CLIENT_ID, "CLIENT_SECRET": CLIENT_SECRET}.items():
        monkeypatch.setenv(f"AZURE_{name}", value)
    login = azure.identity.DefaultAzureCredential(exclude_managed_identity_credential=True)
    assert reads_a_device(tenant, login)


def test_the_asynchronous_login_opens_the_tenant(simulate, monkeypatch):
    tenant = simulate(devices=1)
    sdk.lead(tenant, "microsoft", monkeypatch)

    async def work():
        async with azure.identity.aio.ClientSecretCredential(TENANT, CLIENT_ID, CLIENT_SECRET) as login:
            graph = sdk.client(tenant, login=login)
            return await graph.device_management.windows_autopilot_device_identities.get()

    assert [one.id for one in sdk.run(work()).value] == list(tenant.registrations())


def test_a_wrong_secret_is_refused_in_microsofts_words(simulate, monkeypatch):
    tenant = simulate()
    sdk.lead(tenant, "microsoft", monkeypatch)
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215: Invalid client secret"):
        azure.identity.ClientSecretCredential(TENANT, CLIENT_ID, "wrong").get_token(GRAPH)


def test_a_tenant_that_is_not_there_has_no_login(simulate, monkeypatch):
    tenant = simulate(settings=(f"login.tenants={TENANT}",))
    sdk.lead(tenant, "microsoft", monkeypatch)
    login = azure.identity.ClientSecretCredential("fabrikam.com", CLIENT_ID, CLIENT_SECRET)
    with pytest.raises(ClientAuthenticationError, match="AADSTS90002|Unable to get authority configuration"):
        login.get_token(GRAPH)


def test_an_app_cannot_log_in_to_no_tenant_in_particular(simulate, monkeypatch):
    tenant = simulate()
    sdk.lead(tenant, "microsoft", monkeypatch)
    with pytest.raises(ClientAuthenticationError, match="AADSTS"):
        azure.identity.ClientSecretCredential("common", CLIENT_ID, CLIENT_SECRET).get_token(GRAPH)


def test_microsofts_login_does_not_know_the_simulators_own_address(simulate, monkeypatch):
    """The reason why the other way in turns instance discovery off."""
    tenant = simulate()
    sdk.lead(tenant, "microsoft", monkeypatch)
    login = azure.identity.ClientSecretCredential(TENANT, CLIENT_ID, CLIENT_SECRET, authority="https://login.example")
    with pytest.raises(ClientAuthenticationError, match="not well-known"):
        login.get_token(GRAPH)


def test_a_token_is_asked_for_once_and_kept(simulate, monkeypatch):
    tenant = simulate(devices=1)
    sdk.lead(tenant, "microsoft", monkeypatch)
    login = azure.identity.ClientSecretCredential(TENANT, CLIENT_ID, CLIENT_SECRET)
    assert reads_a_device(tenant, login)
    assert reads_a_device(tenant, login)
    assert tenant.control("counters")["token_requests"] == 1
