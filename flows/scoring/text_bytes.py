"""Which bytes are in the texts of a column, without a look at each text: for most columns, none of note."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa


def has_byte(column: pa.ChunkedArray, marks: bytes) -> bool:
    """Tell whether one of these bytes is anywhere in the texts."""
    return any(mark in text for _, text in _buffers(column) for mark in _each(marks))


def has_first_byte(column: pa.ChunkedArray, marks: bytes) -> bool:
    """Tell whether a text begins with one of these bytes."""
    wanted = np.isin(np.arange(256), np.frombuffer(marks, np.uint8))
    for offsets, text in _buffers(column):
        begins = offsets[:-1][offsets[1:] > offsets[:-1]] - offsets[0]
        if wanted[np.frombuffer(text, np.uint8)[begins]].any():
            return True
    return False


def _buffers(column: pa.ChunkedArray) -> Iterator[tuple[np.ndarray, bytes]]:
    """Yield each chunk's offsets and the bytes from the first to the last."""
    for chunk in column.chunks:
        _, starts, text = chunk.buffers()
        if not len(chunk) or text is None:
            continue
        kind = np.int64 if pa.types.is_large_string(chunk.type) else np.int32
        offsets = np.frombuffer(starts, kind)[chunk.offset : chunk.offset + len(chunk) + 1]
        yield offsets, text[int(offsets[0]) : int(offsets[-1])].to_pybytes()


def _each(marks: bytes) -> list[bytes]:
    return [bytes([mark]) for mark in marks]
