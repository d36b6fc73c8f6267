"""Where datasets and what belongs to them lie on this machine."""

import os
from pathlib import Path
from typing import Final, NamedTuple

from lamplighter_server.data.store import FOLDER, DatasetStore
from lamplighter_server.data.subjects import Subjects
from lamplighter_server.data.uses import RunFile

DATA_DIR: Final = "LAMPLIGHTER_DATA_DIR"
KEY_FILE: Final = "LAMPLIGHTER_SUBJECT_KEY"


class Places(NamedTuple):
    """Everything that is kept of datasets."""

    store: DatasetStore
    subjects: Subjects
    runs: RunFile


def find_places() -> Places:
    """As the environment names them; ~/.lamplighter by default."""
    folder = Path(os.environ.get(DATA_DIR, "~/.lamplighter")).expanduser().absolute()
    key_file = Path(os.environ.get(KEY_FILE, folder / "subjects.key")).expanduser()
    datasets = folder / FOLDER
    return Places(DatasetStore(datasets), Subjects(datasets, key_file), RunFile(folder))
