"""Folders of images: a class per subfolder, or a CSV that labels the files."""

import csv
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
from PIL import Image

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.data.inference import KIND, SHAPE

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"})
FORMATS: Final = ("PNG", "JPEG", "BMP", "WEBP", "TIFF")
MAX_FILE_BYTES: Final = 64 * 1024 * 1024
MAX_PIXELS: Final = 64 * 1024 * 1024
BATCH_BYTES: Final = 16 * 1024 * 1024
FILE: Final = "file"
IMAGE: Final = "image"
LABEL: Final = "label"
_CHANNELS: Final = {"L": 1, "RGB": 3}


class ImageSource:
    """One row for each image: `file`, `image`, and `label` or what the CSV says of it.

    Without a CSV the rows are in the order of the paths, and the first folder is the label. An
    image that is neither grey nor RGB is read as RGB. Links are not followed.
    """

    spelled = False

    def __init__(self, folder: Path, labels: str | None) -> None:
        self._folder = folder
        self._described = self._read_labels(labels) if labels else self._by_folder()
        if not self._described:
            raise LamplighterError("DATA_INVALID", f"There are no images in {folder}.")
        self._done = 0
        shapes = {self._shape(row[FILE]) for row in self._described}
        shape = ",".join(map(str, shapes.pop())) if len(shapes) == 1 else ""
        image = {KIND: b"image", SHAPE: shape.encode()}
        told = [name for name in self._described[0] if name != FILE]
        fields = [pa.field(FILE, pa.string()), pa.field(IMAGE, pa.binary(), metadata=image)]
        self.raw = pa.schema([*fields, *(pa.field(name, pa.string()) for name in told)])

    @property
    def done_share(self) -> float | None:
        """Of the files."""
        return self._done / len(self._described)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """One pass.

        Raises:
            LamplighterError: DATA_INVALID.
        """
        rows: list[dict[str, str | bytes | None]] = []
        held_bytes = 0
        for done, told in enumerate(self._described, 1):
            self._done = done
            raw = self._read(told[FILE])
            rows.append({name: value or None for name, value in told.items()} | {IMAGE: raw})
            held_bytes += len(raw)
            if held_bytes >= BATCH_BYTES:
                yield pa.RecordBatch.from_pylist(rows, schema=self.raw)
                rows, held_bytes = [], 0
        if rows:
            yield pa.RecordBatch.from_pylist(rows, schema=self.raw)

    def _by_folder(self) -> list[dict[str, str]]:
        found = []
        for path in sorted(self._folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES and path.is_file() and not path.is_symlink():
                inside = path.relative_to(self._folder)
                label = inside.parts[0] if len(inside.parts) > 1 else ""
                found.append({FILE: inside.as_posix(), LABEL: label})
        return found

    def _read_labels(self, name: str) -> list[dict[str, str]]:
        try:
            text = (self._folder / name).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise LamplighterError("SOURCE_UNREADABLE", f"{name}: {error}.") from error
        reader = csv.DictReader(io.StringIO(text))
        names = list(reader.fieldnames or ())
        if FILE not in names or IMAGE in names:
            raise LamplighterError(
                "DATA_INVALID", f"{name} needs the column 'file' and may have none named 'image'."
            )
        found = []
        for number, row in enumerate(reader, 2):
            if None in row or None in row.values() or not row[FILE]:
                raise LamplighterError(
                    "DATA_INVALID", f"{name}, line {number}: not {len(names)} cells."
                )
            found.append({column: row[column].strip() for column in names})
        return found

    def _read(self, name: str) -> bytes:
        path = (self._folder / name).resolve()
        try:
            if not path.is_relative_to(self._folder.resolve()):
                raise LamplighterError("DATA_INVALID", f"{name} lies outside the folder.")
            if path.stat().st_size > MAX_FILE_BYTES:
                raise LamplighterError("DATA_INVALID", f"{name} is over {MAX_FILE_BYTES} bytes.")
            return path.read_bytes()
        except OSError as error:
            raise LamplighterError("DATA_INVALID", f"{name}: {error.strerror}.") from error

    def _shape(self, name: str) -> tuple[int, int, int]:
        image = decode_image(self._read(name), name)
        return image.height, image.width, _CHANNELS[image.mode]


def decode_image(raw: bytes, name: str) -> Image.Image:
    """A whole image, grey or RGB.

    Raises:
        LamplighterError: DATA_INVALID if it is none, broken, or of absurd size.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(raw), formats=FORMATS)
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels")
            image.load()
            return image if image.mode in _CHANNELS else image.convert("RGB")
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombWarning,
        Image.DecompressionBombError,
    ) as error:
        raise LamplighterError("DATA_INVALID", f"Image {name}: {error}.") from error
