"""A dataset store of one's own, and people's data that is made up."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from lamplighter_server.data.adding import Added
from lamplighter_server.data.intake import Flags, add_source
from lamplighter_server.data.places import Places, find_places
from lamplighter_server.data.schema import Role

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
Adder = Callable[..., Added]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    monkeypatch.setenv("LAMPLIGHTER_DATA_DIR", str(tmp_path / "lamplighter"))
    return find_places()


@pytest.fixture
def add(places: Places) -> Adder:
    """Add a source under a name, with roles as keywords."""

    def take(
        source: Path | str,
        name: str = "rows",
        retention_days: int | None = None,
        now_utc: datetime = NOW,
        **roles: Role,
    ) -> Added:
        flags = Flags(roles, retention_days)
        return add_source(places, str(source), name, flags, now_utc, lambda *_: None)

    return take


def write_patients(path: Path, rows: int = 200, seed: int = 0, first: int = 0) -> Path:
    """Five rows a patient; the label follows from the dose, not quite."""
    random = np.random.default_rng(seed)
    lines = ["visit,patient,dose,ward,label"]
    for visit in range(first, first + rows):
        ill = random.random() < 0.5
        dose = random.normal(1.5 if ill else 0)
        ward = "abc"[random.integers(3)]
        lines.append(f"{visit},P-{visit // 5},{dose:.6f},{ward},{'ill' if ill else 'well'}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    return write_patients(tmp_path / "patients.csv")


PATIENT_ROLES: dict[str, Role] = {"visit": "identifier", "patient": "personal", "ward": "group"}
