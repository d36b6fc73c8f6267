"""Pictures to the input of a vision model, with OpenCV (the extra `camera`)."""

import os
from typing import Any, Final

import msgspec
import numpy as np

from lamplighter_agent.ports.session import Array

#: A small file may hold a huge picture; OpenCV itself takes 2**30 pixels. It reads this when it is
#: imported.
MAX_PIXELS: Final = 2**26
os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(MAX_PIXELS)

try:
    import cv2
except ModuleNotFoundError:
    cv2 = None  # type: ignore[assignment]


class Picture(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How a picture becomes an array, as the model's card says.

    Attributes:
        height: Rows of pixels.
        width: Columns of pixels.
        channels: 1 for grey, 3 for red, green and blue.
        white: The value of full brightness; 0 is black.
        layout: The order of an array's dimensions, without the batch.
    """

    height: int
    width: int
    channels: int = 1
    white: float = 1.0
    layout: str = "hwc"

    def __post_init__(self) -> None:
        need_opencv()
        if self.height < 1 or self.width < 1 or self.channels not in (1, 3) or self.white <= 0:
            raise ValueError(
                "a picture needs a height, a width, 1 or 3 channels and a white above 0"
            )
        if self.layout not in ("flat", "hwc", "chw"):
            raise ValueError('a picture\'s layout is "flat", "hwc" or "chw"')

    def decode(self, raw: bytes) -> Array:
        """Read a file such as PNG or JPEG.

        Raises:
            ValueError: It is no picture.
        """
        try:
            frame = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error as error:  # it has no bytes, or too many pixels
            raise ValueError(f"not a picture that OpenCV reads: {error}") from error
        if frame is None:
            raise ValueError("not a picture that OpenCV reads")
        return self.take(frame)

    def take(self, frame: Array) -> Array:
        """From a frame of OpenCV, blue first."""
        grey = cv2.COLOR_BGR2GRAY if self.channels == 1 else cv2.COLOR_BGR2RGB
        small = cv2.resize(frame, (self.width, self.height), interpolation=cv2.INTER_AREA)
        pixels = cv2.cvtColor(small, grey).astype(np.float32) * (self.white / 255)
        shaped = pixels.reshape(self.height, self.width, self.channels)
        if self.layout == "flat":
            return np.ascontiguousarray(shaped.ravel())
        return np.ascontiguousarray(shaped.transpose(2, 0, 1) if self.layout == "chw" else shaped)


def open_capture(device: int | str) -> Any:  # noqa: ANN401 - OpenCV has no types
    """A camera, a stream or a file of video, of which frames are taken."""
    return cv2.VideoCapture(device)


def need_opencv() -> None:
    """Raise ValueError unless OpenCV is installed."""
    if cv2 is None:
        raise ValueError("pictures need OpenCV: pip install 'lamplighter-agent[camera]'")
