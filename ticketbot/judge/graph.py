"""Is this ONNX file only a network, before anything loads it?

A walk over the protobuf bytes, without the onnx package (the service does not have it). Refused: tensors kept in other
files, operators of unknown domains, too many nodes, bytes that are not a model. Numbers of fields: onnx.proto.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ticketbot.contracts.bundle import MAX_FILE_BYTES
from ticketbot.errors import BundleRefused

MAX_NODES = 5000
MAX_DEPTH = 8  # graphs in attributes of nodes in graphs…
DOMAINS = {"", "ai.onnx", "com.microsoft"}  # the last: onnxruntime's own, which its quantiser writes
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

MODEL_GRAPH, MODEL_OPSET, MODEL_FUNCTION = 7, 8, 25
OPSET_DOMAIN = 1
GRAPH_NODE, GRAPH_TENSOR, GRAPH_SPARSE = 1, 5, 15
NODE_ATTRIBUTE, NODE_DOMAIN = 5, 7
FUNCTION_NODE = 7
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH, ATTRIBUTE_TENSORS, ATTRIBUTE_GRAPHS = 5, 6, 10, 11
ATTRIBUTE_SPARSE = (22, 23)
SPARSE_PARTS = (1, 2)
TENSOR_EXTERNAL, TENSOR_LOCATION = 13, 14


@dataclass
class _Count:
    nodes: int = 0


def check(path: Path) -> int:
    """Count the nodes of the model file; raises BundleRefused with what is wrong."""
    size = path.stat().st_size
    if not 0 < size <= MAX_FILE_BYTES:
        raise BundleRefused(f"{path.name}: {size} bytes is not a model")
    with open(path, "rb") as file:
        # Never closed by hand: a traceback may still hold views on it; it goes when the last of them goes.
        whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return check_bytes(memoryview(whole))
    except BundleRefused as error:
        raise BundleRefused(f"{path.name}: {error}") from None


def check_bytes(data: memoryview) -> int:
    """As `check`, for the bytes of a model."""
    count, graphs = _Count(), 0
    for number, _, value in _fields(data):
        if number == MODEL_GRAPH and isinstance(value, memoryview):
            graphs += 1
            _graph(value, count, 0)
        elif number == MODEL_OPSET and isinstance(value, memoryview):
            for inner, _, domain in _fields(value):
                if inner == OPSET_DOMAIN:
                    _domain(domain)
        elif number == MODEL_FUNCTION and isinstance(value, memoryview):
            _nodes(value, FUNCTION_NODE, count, 0)
    if graphs != 1 or not count.nodes:
        raise BundleRefused("not an ONNX model")
    return count.nodes


def _graph(data: memoryview, count: _Count, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise BundleRefused("graphs inside graphs, too deep")
    for number, _, value in _fields(data):
        if number == GRAPH_NODE:
            _node(_message(value), count, depth)
        elif number == GRAPH_TENSOR:
            _tensor(_message(value))
        elif number == GRAPH_SPARSE:
            _sparse(_message(value))


def _nodes(data: memoryview, field: int, count: _Count, depth: int) -> None:
    for number, _, value in _fields(data):
        if number == field:
            _node(_message(value), count, depth)


def _node(data: memoryview, count: _Count, depth: int) -> None:
    count.nodes += 1
    if count.nodes > MAX_NODES:
        raise BundleRefused(f"more than {MAX_NODES} nodes")
    for number, _, value in _fields(data):
        if number == NODE_DOMAIN:
            _domain(value)
        elif number == NODE_ATTRIBUTE:
            _attribute(_message(value), count, depth)


def _attribute(data: memoryview, count: _Count, depth: int) -> None:
    for number, _, value in _fields(data):
        if number in (ATTRIBUTE_TENSOR, ATTRIBUTE_TENSORS):
            _tensor(_message(value))
        elif number in (ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS):
            _graph(_message(value), count, depth + 1)
        elif number in ATTRIBUTE_SPARSE:
            _sparse(_message(value))


def _sparse(data: memoryview) -> None:
    for number, _, value in _fields(data):
        if number in SPARSE_PARTS:
            _tensor(_message(value))


def _tensor(data: memoryview) -> None:
    for number, _, value in _fields(data):
        if number == TENSOR_EXTERNAL or (number == TENSOR_LOCATION and value):
            raise BundleRefused("keeps data in another file")


def _domain(value: int | memoryview) -> None:
    domain = bytes(_message(value)).decode("utf-8", "replace")
    if domain not in DOMAINS:
        raise BundleRefused(f"uses operators of the unknown domain {domain[:60]!r}")


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise BundleRefused("not an ONNX model")
    return value


def _fields(data: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """(field number, wire type, value) of a protobuf message: numbers as int, the rest as a view on the bytes."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        value: int | memoryview
        if wire == VARINT:
            value, at = _varint(data, at)
        else:
            if wire == BYTES:
                length, at = _varint(data, at)
            elif wire in (FIXED64, FIXED32):
                length = 8 if wire == FIXED64 else 4
            else:
                raise BundleRefused("not an ONNX model")
            if length > end - at:
                raise BundleRefused("cut off")
            value, at = data[at : at + length], at + length
        yield number, wire, value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise BundleRefused("cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
    raise BundleRefused("not an ONNX model")
