from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_agent.observe import sysfs
from lamplighter_agent.observe.vitals import take_vitals

PI_5 = {
    "class/thermal/thermal_zone0/temp": "51234\n",
    "devices/platform/soc/soc:firmware/get_throttled": "50005\n",
}
ORIN = {
    "class/thermal/thermal_zone0/temp": "48500\n",
    "class/thermal/thermal_zone1/temp": "-256000\n",  # a sensor that is switched off
    "class/devfreq/17000000.gpu/device/load": "487\n",
    "class/hwmon/hwmon3/in1_label": "VDD_IN\n",
    "class/hwmon/hwmon3/in1_input": "5072\n",
    "class/hwmon/hwmon3/curr1_input": "1184\n",
    "class/hwmon/hwmon3/in2_label": "VDD_CPU_GPU_CV\n",
}


def tree(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return root


def test_a_raspberry_pi(tmp_path: Path) -> None:
    root = tree(tmp_path, PI_5)
    assert sysfs.temperature_c(root) == 51.2
    assert sysfs.throttling(root) == ("under-voltage", "throttled")
    assert (sysfs.gpu_percent(root), sysfs.power_w(root), sysfs.on_mains(root)) == (None,) * 3


def test_a_jetson(tmp_path: Path) -> None:
    root = tree(tmp_path, ORIN)
    assert sysfs.temperature_c(root) == 48.5
    assert sysfs.throttling(root) is None
    assert (sysfs.gpu_percent(root), sysfs.power_w(root)) == (48.7, 6.01)


def test_vitals_carry_what_the_board_shows(tmp_path: Path) -> None:
    root = tree(tmp_path, {**PI_5, **ORIN})
    vitals = take_vitals(datetime.now(timezone.utc), tmp_path, {}, {"vitals": 3}, root)
    assert (vitals.temperature_c, vitals.gpu_percent, vitals.power_w) == (48.5, 48.7, 6.01)
    assert vitals.throttling == ("under-voltage", "throttled")
    assert vitals.dropped == {"vitals": 3}
    assert vitals.uptime_s > 0
    assert vitals.supervisor_rss_mb > 1


@pytest.mark.parametrize(
    ("files", "fed"),
    [
        ({}, None),
        ({"AC/type": "Mains", "AC/online": "1", "B/type": "Battery", "B/status": "Full"}, True),
        ({"AC/type": "Mains", "AC/online": "0", "B/type": "Battery", "B/status": "Full"}, False),
        ({"USB/type": "USB", "USB/online": "1"}, True),
        ({"B/type": "Battery", "B/status": "Discharging"}, False),
        ({"B/type": "Battery", "B/status": "Charging"}, True),
        ({"B/type": "Battery", "B/status": "Unknown"}, False),
        ({"mouse/type": "Battery", "mouse/scope": "Device"}, None),
    ],
)
def test_power_supplies(tmp_path: Path, files: dict[str, str], fed: bool | None) -> None:
    root = tree(tmp_path, {f"class/power_supply/{name}": text for name, text in files.items()})
    assert sysfs.on_mains(root) is fed


@given(st.sampled_from(sorted({**PI_5, **ORIN})), st.binary(max_size=40))
def test_whatever_a_sensor_says_nothing_breaks(
    tmp_path_factory: pytest.TempPathFactory, name: str, rubbish: bytes
) -> None:
    root = tree(tmp_path_factory.mktemp("sys"), {**PI_5, **ORIN})
    (root / name).write_bytes(rubbish)
    take_vitals(datetime.now(timezone.utc), root, {}, {}, root)
    sysfs.on_mains(root)
