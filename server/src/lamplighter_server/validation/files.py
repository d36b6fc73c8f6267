"""The files that `lamplighter validate` reads."""

from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.plain_yaml import read_yaml
from lamplighter_server.validation.predictions import Predictions
from lamplighter_server.validation.results import Evidence
from lamplighter_server.validation.spec import Gates, read_gates

MAX_ROWS: Final = 10_000_000
MAX_BYTES: Final = 2 * 1024**3
_TRUTH: Final = "truth"
_ANSWER: Final = "answer"
_PROBABILITY: Final = "probability/"
_GROUP: Final = "group/"


def read_evidence(path: Path) -> Evidence:
    """An `evidence.json`.

    Raises:
        LamplighterError: SOURCE_UNREADABLE or MESSAGE_MALFORMED.
    """
    try:
        document = msgspec.json.decode(_bytes(path))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise LamplighterError(
            "MESSAGE_MALFORMED", f"{path.name} is no evidence: {error}."
        ) from error
    return decode_evidence(document, path.name)


def decode_evidence(document: object, name: str) -> Evidence:
    """What of the evidence a card tells.

    Args:
        document: The JSON as plain Python objects.
        name: What it is called in a refusal.

    Raises:
        LamplighterError: MESSAGE_MALFORMED.
    """
    try:
        return msgspec.convert(document, Evidence)
    except (msgspec.ValidationError, ValueError) as error:
        raise LamplighterError("MESSAGE_MALFORMED", f"{name} is no evidence: {error}.") from error


def read_gates_file(path: Path) -> Gates:
    """The section `gates` of an experiment file; what else the file holds is not looked at.

    Raises:
        LamplighterError: SOURCE_UNREADABLE, MESSAGE_TOO_LARGE or GATES_INVALID.
    """
    try:
        document = read_yaml(_bytes(path))
    except ValueError as error:
        raise LamplighterError("GATES_INVALID", f"{path.name}: {error}.") from error
    if not isinstance(document, dict) or not document.get("gates"):
        raise LamplighterError("GATES_INVALID", f"{path.name} has no section 'gates'.")
    return read_gates(document["gates"])


def read_predictions(path: Path) -> Predictions:
    """A Parquet or CSV file of held-out rows; docs/reference/gates.md says which columns.

    Raises:
        LamplighterError: SOURCE_UNREADABLE, MESSAGE_TOO_LARGE, or DATA_INVALID with what is wrong.
    """
    table = _read_table(path)
    names = table.column_names
    if len(set(names)) < len(names) or _TRUTH not in names:
        raise _invalid(path, "it needs one column 'truth', and every name once")
    if empty := [name for name in names if table[name].null_count]:
        raise _invalid(path, f"column {empty[0]!r} has empty cells")
    groups = {
        name.removeprefix(_GROUP): np.array(table[name].to_pylist(), dtype=object)
        for name in names
        if name.startswith(_GROUP)
    }
    classes = tuple(n.removeprefix(_PROBABILITY) for n in names if n.startswith(_PROBABILITY))
    if bool(classes) == (_ANSWER in names):
        raise _invalid(path, "it needs either 'answer', or 'probability/CLASS' for every class")
    if not classes:
        truth, answers = _numbers(path, table, _TRUTH), _numbers(path, table, _ANSWER)
        return Predictions(truth, answers, (), groups)
    position = {name: i for i, name in enumerate(classes)}
    spelt = [str(value) for value in table[_TRUTH].to_pylist()]
    if unknown := set(spelt) - position.keys():
        raise _invalid(path, f"there are no probabilities of class {min(unknown)!r}")
    return Predictions(
        np.array([position[value] for value in spelt], dtype=np.int64),
        np.column_stack([_numbers(path, table, f"{_PROBABILITY}{name}") for name in classes]),
        classes,
        groups,
    )


def _read_table(path: Path) -> Any:  # noqa: ANN401 - pyarrow has no types
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        if path.stat().st_size > MAX_BYTES:
            raise LamplighterError("MESSAGE_TOO_LARGE", f"{path} is over {MAX_BYTES} bytes.")
        table = csv.read_csv(path) if path.suffix == ".csv" else parquet.read_table(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    except (pa.ArrowException, ValueError) as error:
        raise _invalid(path, " ".join(str(error).split())) from error
    if table.num_rows > MAX_ROWS:
        raise LamplighterError("MESSAGE_TOO_LARGE", f"{path} has over {MAX_ROWS} rows.")
    return table


def _numbers(path: Path, table: Any, name: str) -> Any:  # noqa: ANN401 - pyarrow has no types
    import pyarrow as pa

    try:
        return table[name].cast(pa.float64()).to_numpy()
    except pa.ArrowException as error:
        raise _invalid(path, f"column {name!r} holds more than numbers") from error


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LamplighterError("MESSAGE_TOO_LARGE", f"{path} is over {MAX_BYTES} bytes.")
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> LamplighterError:
    return LamplighterError("SOURCE_UNREADABLE", f"{path}: {error.strerror or error}.")


def _invalid(path: Path, what: str) -> LamplighterError:
    return LamplighterError("DATA_INVALID", f"{path.name} cannot be judged: {what}.")
