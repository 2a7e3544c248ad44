"""IntuneCD, a tool that others wrote, backs the simulated tenant up.

It is started as its users start it. Its addresses cannot be changed, so the
environment leads it here through the proxy.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

from simulator import CLIENT_ID, CLIENT_SECRET, TENANT, Simulator

HERE = Path(__file__).resolve().parent
TAKES_AT_MOST_S = 60
# What it would back up besides, and a simulated Autopilot tenant does not have.
LEFT_OUT = """
    assignments AppConfigurations AppProtection APNs VPP Applications Compliance NotificationTemplate Profiles
    GPOConfigurations AppleEnrollmentProfile EnrollmentStatusPage Filters ManagedGooglePlay Intents CompliancePartner
    ManagementPartner RemoteAssistancePartner ProactiveRemediation PowershellScripts ShellScripts
    ConfigurationPolicies ConditionalAccess EnrollmentConfigurations DeviceManagementSettings CustomAttributes
    DeviceCategories windowsDriverUpdates windowsFeatureUpdates windowsQualityUpdates Roles ScopeTags
    DeviceCompliancePolicies ComplianceScripts ReusablePolicySettings SettingsCatalog
""".split()


def back_up(tenant: Simulator, folder: Path, *arguments: str, leave_out: tuple[str, ...] = tuple(LEFT_OUT)) -> str:
    """Runs the backup into the folder; returns what it printed."""
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= tenant.environment()
    environment |= {"TENANT_NAME": TENANT, "CLIENT_ID": CLIENT_ID, "CLIENT_SECRET": CLIENT_SECRET}
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE), str(HERE / "guard"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "IntuneCD.run_backup", "--mode", "1", "--path", str(folder), "--autopilot"]
    done = subprocess.run(
        [*command, "--verbose", *arguments, "--exclude", *leave_out],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=TAKES_AT_MOST_S, check=False,
    )  # fmt: skip
    printed = done.stdout + done.stderr
    assert done.returncode == 0, printed
    assert "[ERROR]" not in printed and "Error" not in printed, printed
    return printed


def check_backup(tenant: Simulator, backups: dict[str, dict]) -> None:
    """One file per registration, and the truth in it."""
    assert {id: (one["serialNumber"], one["groupTag"], one["model"]) for id, one in backups.items()} == {
        id: (one["serial"], one["groupTag"], one["model"]) for id, one in tenant.registrations().items()
    }


def test_its_backup_holds_every_device_of_several_pages(simulate, tmp_path):
    tenant = simulate(devices=2300)
    back_up(tenant, tmp_path / "backup")
    files = (tmp_path / "backup" / "Autopilot Devices").glob("*.json")
    check_backup(tenant, {file.stem: json.loads(file.read_text()) for file in files})
    assert tenant.statuses("GET", "windowsAutopilotDeviceIdentities") == [200, 200, 200]


def test_its_backup_as_yaml_holds_every_device(simulate, tmp_path):
    tenant = simulate(devices=40)
    back_up(tenant, tmp_path / "backup", "--output", "yaml")
    files = (tmp_path / "backup" / "Autopilot Devices").glob("*.yaml")
    check_backup(tenant, {file.stem: yaml.safe_load(file.read_text()) for file in files})


def test_a_second_backup_of_an_unchanged_tenant_changes_no_file(simulate, tmp_path):
    tenant = simulate(devices=40)
    states = []
    for name in ("first", "second"):
        back_up(tenant, tmp_path / name)
        states.append({file.name: file.read_text() for file in (tmp_path / name / "Autopilot Devices").iterdir()})
    assert len(states[0]) == 40
    assert states[0] == states[1]


def test_it_waits_out_refusals_that_say_how_long(simulate, tmp_path):
    tenant = simulate(devices=40, settings=("list.page_size=25",))
    route = "deviceManagement/windowsAutopilotDeviceIdentities"
    tenant.control("inject", {"mishap": "throttled", "method": "GET", "route": route, "times": 2, "retryAfter": 1})
    back_up(tenant, tmp_path / "backup")
    files = (tmp_path / "backup" / "Autopilot Devices").glob("*.json")
    check_backup(tenant, {file.stem: json.loads(file.read_text()) for file in files})
    assert tenant.statuses("GET", route) == [429, 429, 200, 200]


def test_its_backup_of_the_deployment_profiles_holds_their_assignments(simulate, tmp_path):
    tenant = simulate(devices=1)
    leave_out = tuple(one for one in LEFT_OUT if one not in ("assignments", "ScopeTags"))
    back_up(tenant, tmp_path / "backup", leave_out=leave_out)
    (file,) = (tmp_path / "backup" / "Enrollment Profiles" / "Windows").glob("*.json")
    profile = json.loads(file.read_text())
    assert profile["displayName"] == "Corporate devices"
    assert profile["roleScopeTagIds"] == ["Default"]
    assert [one["target"]["@odata.type"] for one in profile["assignments"]] == [
        "#microsoft.graph.allDevicesAssignmentTarget"
    ]
