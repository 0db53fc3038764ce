"""Frames in mp4 files, lossless: RGB H.264 at crf 0, the picture a world is judged by is the picture that was rendered.

Chroma subsampling is what costs at 64 x 64: libx264 with yuv420p and crf 18 leaves 38 dB, as much error as a good
tokenizer makes, in 120 bytes a frame; RGB crf 0 leaves none in 340 (a raw frame has 12,288).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cosmos_sdk.errors import DatasetError

CODEC = "libx264rgb"
PIXELS = "rgb24"
# No B frames, so that packets of one episode can be appended to another's without a re-encode.
OPTIONS = {"crf": "0", "preset": "medium", "g": "50", "bf": "0"}


def write_video(path: Path, frames: NDArray[np.uint8], rate: float) -> None:
    """Encodes frames (F, h, w, 3) uint8 at `rate` Hz; both sides have to be even for most players, not for us."""
    import av

    container: Any
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(CODEC, rate=fraction(rate), options=OPTIONS)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], PIXELS
        stream.codec_context.thread_count = 1  # the same bytes wherever it runs
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format=PIXELS)))
        container.mux(stream.encode(None))


def join_videos(path: Path, sources: list[Path], rate: float) -> None:
    """Appends videos of `write_video` to one another by copying their packets."""
    import av

    target: Any
    with av.open(str(path), "w", format="mp4") as target:
        stream: Any = None
        count = 0
        for source in sources:
            with av.open(str(source)) as container:
                first = container.streams.video[0]
                stream = stream or target.add_stream_from_template(first)
                for packet in container.demux(first):
                    if packet.size:  # the last one is a flush, and empty
                        packet.stream = stream
                        packet.pts = packet.dts = count
                        packet.time_base = 1 / fraction(rate)
                        target.mux_one(packet)
                        count += 1


def read_video(
    path: Path, rate: float, start: float = 0.0
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yields (number of the frame in the file, frame (h, w, 3)) from `start` seconds on, in order.

    Raises:
        DatasetError: the file is missing, truncated or no video.
    """
    import av
    from av.error import FFmpegError

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            container.seek(round(start / float(stream.time_base or 1)), stream=stream)
            for frame in container.decode(stream):
                number = round(float(frame.time or 0.0) * rate)
                if number >= round(start * rate):
                    yield number, cast("NDArray[np.uint8]", frame.to_ndarray(format=PIXELS))
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such video.") from error
    except (FFmpegError, IndexError) as error:
        raise DatasetError(f"{path}: not a whole mp4 video; truncated? ({error})") from error


def video_feature(path: Path, rate: float) -> dict[str, Any]:
    """What LeRobot's `info.json` says about a camera, for a video of ours."""
    import av

    with av.open(str(path)) as container:
        height, width = container.streams.video[0].height, container.streams.video[0].width
    codec = {"video.codec": "h264", "video.pix_fmt": PIXELS, "video.fps": rate, "has_audio": False}
    size = {
        "video.height": height,
        "video.width": width,
        "video.channels": 3,
        "video.is_depth_map": False,
    }
    names = ["height", "width", "channels"]
    return {
        "dtype": "video",
        "shape": [height, width, 3],
        "names": names,
        "info": {**size, **codec},
    }


def resize_area(frame: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Area average of a frame (h, w, 3), stretched when the aspect ratio differs."""
    if frame.shape[:2] == (height, width):
        return frame
    import cv2

    return cast(
        "NDArray[np.uint8]", cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    )


def fraction(rate: float) -> Fraction:
    """A frame rate as containers store it: 29.97 becomes 2997/100."""
    return Fraction(rate).limit_denominator(1001)
