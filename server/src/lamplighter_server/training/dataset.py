"""Datasets: content-addressed rows with labels."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from lamplighter_protocol.bundle import ImageInput
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError

Images = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

HELD_OUT_SHARE: Final = 0.3


@dataclass(frozen=True)
class Dataset:
    """Images of one size with a label each.

    Attributes:
        name: What it is called on the command line.
        images: Shape (n, height x width), 0 black to `image.white`.
        labels: Shape (n,), positions in `classes`.
        classes: The names of the labels.
        image: How to read a row.
    """

    name: str
    images: Images
    labels: Labels
    classes: tuple[str, ...]
    image: ImageInput

    @property
    def sha256(self) -> str:
        """The digest of the rows in their order, independent of the machine's byte order."""
        rows = self.images.astype("<f4").tobytes() + self.labels.astype("<i8").tobytes()
        return sha256(repr(self.images.shape).encode() + rows)

    def split(self, seed: int) -> tuple["Dataset", "Dataset"]:
        """Training and held-out rows, stratified by label."""
        train, held_out = train_test_split(
            np.arange(len(self.labels)),
            test_size=HELD_OUT_SHARE,
            stratify=self.labels,
            random_state=seed,
        )
        return self._rows(train), self._rows(held_out)

    def inverted(self) -> "Dataset":
        """The same images with black and white exchanged."""
        return self._with(self.image.white - self.images, self.labels)

    def _rows(self, rows: npt.NDArray[np.int64]) -> "Dataset":
        return self._with(self.images[rows], self.labels[rows])

    def _with(self, images: Images, labels: Labels) -> "Dataset":
        return Dataset(self.name, images, labels, self.classes, self.image)


def load(name: str) -> Dataset:
    """Load a dataset by name.

    `digits` are the 1,797 scans of handwritten digits that come with scikit-learn (Alpaydin and
    Kaynak, Optical Recognition of Handwritten Digits, UCI): 8x8 grey values from 0 to 16.

    Raises:
        LamplighterError: NOT_FOUND.
    """
    if name != "digits":
        raise LamplighterError("NOT_FOUND", f"There is no dataset {name!r}.")
    digits = load_digits()
    return Dataset(
        name=name,
        images=digits.data.astype(np.float32),
        labels=digits.target.astype(np.int64),
        classes=tuple(str(digit) for digit in digits.target_names),
        image=ImageInput(tensor="image", height=8, width=8, white=16.0),
    )


def defocus(images: Images, image: ImageInput, sigma_px: float) -> Images:
    """What a lens out of focus makes of images: a Gaussian blur.

    Args:
        images: Shape (n, height x width).
        image: How to read a row.
        sigma_px: The blur's standard deviation in pixels.
    """
    pictures = images.reshape(-1, image.height, image.width)
    blurred: Images = ndimage.gaussian_filter(
        pictures, (0, sigma_px, sigma_px), mode="nearest", output=np.float32
    )
    return blurred.reshape(images.shape)
