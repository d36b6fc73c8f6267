import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_wine
from tests.server.data.conftest import Adder

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.data import datasets
from lamplighter_server.data.places import Places


def refusal(add: Adder, source: Path) -> LamplighterError:
    with pytest.raises(LamplighterError) as caught:
        add(source)
    return caught.value


def test_a_csv_from_spreadsheets(add: Adder, tmp_path: Path) -> None:
    source = tmp_path / "export.csv.gz"
    text = '\ufeffname;amount;label\n" Ada\nLovelace ";?;yes\nB;2,5;no\n'
    source.write_bytes(gzip.compress(text.encode()))
    Path(f"{source}.yaml").write_text('delimiter: ";"\nnulls: ["?"]\n')
    schema = add(source).taken.manifest.columns
    assert [(item.name, item.kind, item.role) for item in schema.columns] == [
        ("name", "category", "feature"),
        ("amount", "category", "feature"),
        ("label", "category", "label"),
    ]
    arrays = datasets.open("rows").to_arrays()
    assert arrays.features["name"].tolist() == ["Ada\nLovelace", "B"]
    assert arrays.features["amount"].tolist() == [None, "2,5"]


def test_scikit_learns_wine_as_parquet_and_digits_as_arrays(add: Adder, tmp_path: Path) -> None:
    wine, digits = load_wine(), load_digits()
    names = [name.replace("/", "-") for name in wine.feature_names]
    columns = dict(zip(names, wine.data.T, strict=True))
    pq.write_table(pa.table({**columns, "label": wine.target}), tmp_path / "wine.parquet")
    assert [found.code for found in add(tmp_path / "wine.parquet", "wine").taken.findings] == []
    taken = datasets.open("wine").to_arrays()
    assert np.array_equal(np.column_stack(list(taken.features.values())), wine.data)
    assert taken.label is not None
    assert (taken.classes, np.array_equal(taken.label, wine.target)) == (("0", "1", "2"), True)

    np.savez(tmp_path / "digits.npz", x=digits.images.astype(np.float32), y=digits.target)
    add(tmp_path / "digits.npz", "digits")
    opened = datasets.open("digits@v1")
    assert (opened.rows, opened.schema.column("x").shape) == (1797, (8, 8))
    arrays = opened.to_arrays()
    assert np.array_equal(arrays.features["x"], digits.images.astype(np.float32))
    assert sum(batch.num_rows for batch in opened.batches(["label"])) == 1797

    np.save(tmp_path / "rows.npy", digits.data)
    assert add(tmp_path / "rows.npy", "rows").version.rows == 1797


def test_images_in_folders_and_with_a_labels_file(
    add: Adder, places: Places, tmp_path: Path
) -> None:
    random, folder = np.random.default_rng(0), tmp_path / "photos"
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for number in range(3):
            pixels = random.integers(0, 256, (4, 5, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    added = add(folder, "photos")
    arrays = datasets.open("photos").to_arrays()
    assert (arrays.features["image"].shape, arrays.classes) == ((6, 4, 5, 3), ("cat", "dog"))
    assert arrays.features["image"].dtype == np.uint8
    (folder / "labels.csv").write_text(
        "file,label,patient\n" + "".join(f"cat/{n}.png,{'ab'[n % 2]},P-{n}\n" for n in range(3))
    )
    Path(f"{folder}.yaml").write_text("labels: labels.csv\ncolumns: {patient: {role: personal}}\n")
    assert add(folder, "described").version.rows == 3
    blobs = [path for path in (places.store.folder / "blobs").rglob("*") if path.is_file()]
    assert len(blobs) == 6 + 2 * 3, "images are stored once; each version has three files"
    (folder / "labels.csv").write_text("file,label\n../secret.png,a\n")
    Path(f"{folder}.yaml").write_text("labels: labels.csv\n")
    assert "outside" in refusal(add, folder).sentence
    assert added.taken.manifest.columns.column("image").shape == (4, 5, 3)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("short.csv", b"a,label\n1\n", "Expected 2 columns"),
        ("twice.csv", b"a,a\n1,2\n", "'a' is there twice"),
        ("nameless.csv", b"a,\n1,2\n", "Column 2 has no usable name"),
        ("empty.csv", b"", "Empty CSV"),
        ("latin.csv", "a,label\nm\xfc,x\n".encode("latin-1"), "UTF8"),
        ("fake.parquet", b"PAR1 not really PAR1", "cannot be read"),
        ("fake.npy", b"\x93NUMPY", "cannot be read"),
        ("fake.npz", b"PK\x03\x04 no", "cannot be read"),
        ("calendar.csv", b"a,b,label\n2026-02-30,1,x\n", "Column 'a', rows 1 to 1"),
    ],
)
def test_broken_files_are_refused_with_the_place(
    add: Adder, tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    error = refusal(add, tmp_path / name)
    assert (error.code, told in error.sentence) == ("DATA_INVALID", True), error.sentence


def test_arrays_that_would_run_code_or_do_not_fit_are_refused(add: Adder, tmp_path: Path) -> None:
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}], dtype=object))
    assert "pickle" in refusal(add, tmp_path / "pickled.npy").sentence
    np.savez(tmp_path / "uneven.npz", x=np.zeros((3, 2)), y=np.zeros(2))
    assert "different length" in refusal(add, tmp_path / "uneven.npz").sentence
    np.save(tmp_path / "complex.npy", np.zeros(3, dtype=complex))
    assert "complex128" in refusal(add, tmp_path / "complex.npy").sentence


def test_images_that_are_none_are_refused(add: Adder, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "x.png").write_bytes(b"not an image")
    assert "a/x.png" in refusal(add, folder).sentence
    good = folder / "a" / "x.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(good)
    good.write_bytes(good.read_bytes()[:2000])
    assert "a/x.png" in refusal(add, folder).sentence
    good.unlink()
    assert "no images" in refusal(add, folder).sentence
    assert refusal(add, tmp_path / "none.csv").code == "SOURCE_UNREADABLE"
    (tmp_path / "x.docx").write_bytes(b"")
    assert refusal(add, tmp_path / "x.docx").code == "SOURCE_UNREADABLE"


def test_declared_types_are_held_to(add: Adder, tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    source.write_text("a,label\n1,x\ntwo,y\n")
    Path(f"{source}.yaml").write_text("columns: {a: {kind: number}}\n")
    assert "Column 'a', row 2: not of kind number" in refusal(add, source).sentence
    Path(f"{source}.yaml").write_text("columns: {b: {role: drop}}\n")
    assert "'b' is declared" in refusal(add, source).sentence
    nested = tmp_path / "nested.parquet"
    pq.write_table(pa.table({"a": [[1], [2, 3]], "label": ["x", "y"]}), nested)
    assert "list" in refusal(add, nested).sentence


MEMORY = """
import sys, resource
from datetime import UTC, datetime
from pathlib import Path
from lamplighter_server.data.intake import Flags, add_source
from lamplighter_server.data.places import find_places
add_source(find_places(), sys.argv[1], "rows", Flags({}), datetime.now(UTC), lambda *_: None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Seven times the rows, the same memory but for what allocators keep."""
    peaks_mb = []
    for rows in (70_000, 490_000):
        source = tmp_path / f"{rows}.csv"
        line = np.random.default_rng(0).integers(0, 1000, (5000, 8))
        block = "".join(",".join(map(str, row)) + f",{'ab'[row[0] % 2]}\n" for row in line.tolist())
        with source.open("w") as file:
            file.write(",".join("hgfedcba") + ",label\n")
            for _ in range(rows // 5000):
                file.write(block)
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, str(source)],
            env={"LAMPLIGHTER_DATA_DIR": str(tmp_path / str(rows))},
            capture_output=True,
            text=True,
            check=True,
        )
        peaks_mb.append(int(done.stdout))
    assert peaks_mb[1] - peaks_mb[0] < 60, peaks_mb
