"""What the kernel shows of a board under /sys; None wherever a board shows nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

SYS: Final = Path("/sys")
#: Bits of the Raspberry Pi firmware's get_throttled that say what happens now.
_THROTTLING: Final = {
    0: "under-voltage",
    1: "frequency-capped",
    2: "throttled",
    3: "soft-temperature-limit",
}
#: What NVIDIA's boards call the rail that feeds everything.
_WHOLE_BOARD: Final = frozenset({"VDD_IN", "POM_5V_IN", "VIN_SYS_5V0"})
#: Sensors that are switched off read far below or above this.
_PLAUSIBLE_C: Final = (-60.0, 200.0)


def temperature_c(root: Path = SYS) -> float | None:
    """The hottest sensor, in degrees Celsius."""
    sensors = ("class/thermal/thermal_zone*/temp", "class/hwmon/hwmon*/temp*_input")
    milli = (_read_number(path) for pattern in sensors for path in root.glob(pattern))
    readings = [value / 1000 for value in milli if value is not None]
    plausible = [one for one in readings if _PLAUSIBLE_C[0] < one < _PLAUSIBLE_C[1]]
    return round(max(plausible), 1) if plausible else None


def throttling(root: Path = SYS) -> tuple[str, ...] | None:
    """Why a Raspberry Pi runs slower now than it could; empty if it does not."""
    text = _read(root / "devices/platform/soc/soc:firmware/get_throttled")
    try:
        bits = int(text or "", 16)
    except ValueError:
        return None
    return tuple(word for bit, word in _THROTTLING.items() if bits >> bit & 1)


def gpu_percent(root: Path = SYS) -> float | None:
    """How busy the GPU of a Jetson is, 0 to 100; its driver counts in tenths of a percent."""
    loads = map(_read_number, root.glob("class/devfreq/*/device/load"))
    readings = [value / 10 for value in loads if value is not None]
    return round(max(readings), 1) if readings else None


def power_w(root: Path = SYS) -> float | None:
    """What the whole board takes, in watts, by the INA3221 sensor of a Jetson."""
    for label in root.glob("class/hwmon/hwmon*/in*_label"):
        if _read(label) in _WHOLE_BOARD:
            number = label.name[2 : -len("_label")]
            millivolt = _read_number(label.with_name(f"in{number}_input"))
            milliampere = _read_number(label.with_name(f"curr{number}_input"))
            if millivolt is not None and milliampere is not None:
                return round(millivolt * milliampere / 1e6, 2)
    return None


def on_mains(root: Path = SYS) -> bool | None:
    """Whether the board is fed from outside, by its power supplies."""
    supplies = list(_supplies(root))
    if not supplies:
        return None
    outside = [online for kind, online in supplies if kind != "Battery"]
    if outside:
        return any(online == "1" for online in outside)
    # A battery alone: it is fed from outside if it is not being emptied.
    return all(status in {"Charging", "Full", "Not charging"} for _, status in supplies)


def _supplies(root: Path) -> Iterator[tuple[str, str | None]]:
    """The kind of each supply, and whether it is online, or the status of a battery."""
    for supply in root.glob("class/power_supply/*"):
        kind = _read(supply / "type")
        # A wireless mouse has a battery too; it does not feed the board.
        if kind is not None and _read(supply / "scope") != "Device":
            yield kind, _read(supply / ("status" if kind == "Battery" else "online"))


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):  # a sensor may be there and refuse to be read
        return None


def _read_number(path: Path) -> int | None:
    try:
        return int(_read(path) or "")
    except ValueError:
        return None
