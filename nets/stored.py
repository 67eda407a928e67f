"""Reads one value of an HDF5 file, once it is known to claim no more than the file can hold.

HDF5 takes memory for what a dataset says it holds before it looks whether that is there, and for a text what the
reference to it says: one flipped bit costs gigabytes. A damaged heap of texts can also keep it searching for ever. So
numbers must fit the file (packed ones, its best packing), and texts of variable length are read here:

    reference   length u4, address of a heap, index u4                    one for each text, where the dataset lies
    heap        "GCOL", version 1, 3 bytes, size u8, then objects         (HDF5 file format, III.E and IV.A.2.d)
    object      index u2 (0: the rest is free), uses u2, 4 bytes, size u8, content, up to a multiple of 8
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from nets.errors import NirError

MAX_BYTES = 1 << 32
"""More than this in one value is a damaged file: reading it would take the machine down."""
PACKED = 1032
"""How far deflate, HDF5's packing, shrinks at best."""
UNWRITTEN = 1 << 16
"""A dataset that was never written reads as zeros; so many bytes need not be in the file."""
REFERENCE, HEAP, OBJECT = struct.Struct("<IQI"), struct.Struct("<4sB3xQ"), struct.Struct("<HHIQ")


def value(dataset: Any, path: Path | str, where: str) -> Any:
    """What is stored: a text, a number, an array; or `NirError` where it is none of these or claims too much."""
    if not isinstance(dataset, h5py.Dataset):
        raise NirError(path, f"{where} is a group, expected a dataset")
    text = h5py.check_string_dtype(dataset.dtype)
    if dataset.dtype.hasobject and text is None:
        raise NirError(path, f"{where} holds {dataset.dtype}, expected numbers or text")
    if dataset.external or dataset.is_virtual:
        raise NirError(path, f"{where} lies in another file, expected it in this one")
    _check_size(dataset, path, where)
    if text is not None and text.length is None and dataset.size:
        return _texts(dataset, path, where)
    found = dataset[()]
    return found.decode("utf8", "replace") if isinstance(found, bytes) else found


def _check_size(dataset: Any, path: Path | str, where: str) -> None:
    size = os.path.getsize(path)
    room = size if dataset.chunks is None else PACKED * min(size, dataset.id.get_storage_size())
    claimed = 0 if dataset.size is None else dataset.size * dataset.dtype.itemsize
    if claimed > min(max(room, UNWRITTEN), MAX_BYTES):
        raise NirError(path, f"{where} claims {claimed} bytes, the file has {size}")


def _texts(dataset: Any, path: Path | str, where: str) -> Any:
    """One text, or an array of them as bytes."""
    offset, each = dataset.id.get_offset(), dataset.id.get_storage_size() // dataset.size
    if offset is None or each != REFERENCE.size:
        raise NirError(path, f"{where} stores its texts in chunks or in its header, expected in one piece")
    with open(path, "rb") as file:
        heaps = _Heaps(file, os.path.getsize(path), dataset.file.userblock_size)
        try:
            references = heaps.part(offset, dataset.size * each)
            found = [heaps.content(*reference) for reference in REFERENCE.iter_unpack(references)]
        except ValueError as error:
            raise NirError(path, f"{where}: {error}") from None
    if dataset.shape == ():
        return found[0].decode("utf8", "replace")
    texts = np.empty(len(found), object)
    texts[:] = found
    return texts.reshape(dataset.shape)


class _Heaps:
    """The texts of an open file; all that is ever looked through is at most the file once."""

    def __init__(self, file: BinaryIO, size: int, base: int) -> None:
        self.file, self.size, self.base = file, size, base
        self.left = size
        self.known: dict[int, dict[int, bytes]] = {}

    def content(self, length: int, address: int, index: int) -> bytes:
        """The text that a reference stands for, or `ValueError`."""
        if length == 0:
            return b""
        if address not in self.known:
            self.known[address] = dict(self.objects(address))
        found = self.known[address].get(index)
        if found is None or len(found) < length:
            raise ValueError(f"text {index} of the heap at byte {address} is not there, or not {length} bytes long")
        return found[:length].split(b"\0", 1)[0]

    def objects(self, address: int) -> Iterator[tuple[int, bytes]]:
        magic, version, size = HEAP.unpack(self.part(self.base + address, HEAP.size))
        if magic != b"GCOL" or version != 1 or size > self.left:
            raise ValueError(f"there is no heap of texts at byte {address}")
        self.left -= size
        heap = self.part(self.base + address, size)
        at = HEAP.size
        while at + OBJECT.size <= size:
            index, _, _, length = OBJECT.unpack_from(heap, at)
            at += OBJECT.size
            if index == 0:
                break
            if length > size - at:
                raise ValueError(f"text {index} of the heap at byte {address} has {length} bytes, {size - at} are left")
            yield index, heap[at : at + length]
            at += -(-length // 8) * 8

    def part(self, offset: int, length: int) -> bytes:
        if offset + length > self.size:
            raise ValueError(f"{length} bytes at byte {offset} are beyond the end of the file, {self.size} bytes")
        self.file.seek(offset)
        return self.file.read(length)
