"""Random ONNX networks are read into graphs that compute the same, and their rounding networks run in the engine."""

from __future__ import annotations

import contextlib
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nets import nodes as n
from nets.convert.dense import Dense
from nets.convert.errors import ConvertError
from nets.convert.levels import fit_quanta
from nets.convert.onnx_file import from_onnx, read_onnx
from nets.sigma_delta.engine import SigmaDeltaEngine
from nets.sigma_delta.node import SigmaDelta

onnx = pytest.importorskip("onnx", reason="reads ONNX: pip install onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="compares with ONNX Runtime: pip install onnxruntime")


class RandomNetwork:
    """Grows an ONNX network of convolutions that branch and meet, from a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.shape = (int(self.rng.integers(1, 4)), *(int(s) for s in self.rng.integers(7, 12, 2)))
        self.input_shape = self.shape

    def weight(self, *shape: int) -> str:
        values = (self.rng.normal(size=shape) / math.sqrt(math.prod(shape[1:]))).astype(np.float32)
        return self.constant(values)

    def constant(self, values: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(kind, inputs, [name], name=f"/{name}/{kind}", **attributes))
        return name

    def convolution(self, x: str, stride: int = 1) -> str:
        c_in = self.shape[0]
        groups = int(self.rng.choice([g for g in (1, 2, c_in) if c_in % g == 0]))
        c_out, kernel = (
            groups * int(self.rng.integers(1, 4)),
            [int(min(k, s)) for k, s in zip(self.rng.integers(1, 4, 2), self.shape[1:], strict=True)],
        )
        pads = [int(self.rng.integers(0, k)) for k in (*kernel, *kernel)]
        dilation = [
            int(self.rng.integers(1, 3)) if pads[k] == pads[k + 2] and size > 2 * (kernel[k] - 1) else 1
            for k, size in enumerate(self.shape[1:])
        ]
        inputs = [x, self.weight(c_out, c_in // groups, *kernel), self.weight(c_out)]
        found = self.node(
            "Conv", inputs, strides=[stride, stride], pads=pads, dilations=dilation, group=groups, kernel_shape=kernel
        )
        sizes = [
            (s + pads[k] + pads[k + 2] - dilation[k] * (kernel[k] - 1) - 1) // stride + 1
            for k, s in enumerate(self.shape[1:])
        ]
        self.shape = (c_out, sizes[0], sizes[1])
        return found

    def normalisation(self, x: str) -> str:
        c = self.shape[0]
        variance = self.constant(self.rng.uniform(0.3, 2, c).astype(np.float32))
        return self.node("BatchNormalization", [x, self.weight(c), self.weight(c), self.weight(c), variance])

    def activation(self, x: str) -> str:
        kind = self.rng.choice(["Relu", "Clip", "LeakyRelu", "PRelu"], p=[0.7, 0.1, 0.1, 0.1])
        if kind == "Clip":
            return self.node("Clip", [x, self.constant(np.float32(0))])
        if kind == "PRelu":
            return self.node("PRelu", [x, self.constant(self.rng.uniform(0, 0.5, (self.shape[0], 1, 1)).astype("f4"))])
        return self.node(kind, [x], alpha=0.2) if kind == "LeakyRelu" else self.node("Relu", [x])

    def branches(self, x: str) -> str:
        """Two one-by-one convolutions side by side, or added up with what went in."""
        c, sizes = self.shape[0], self.shape[1:]
        one = self.node("Conv", [x, self.weight(c, c, 1, 1), self.weight(c)])
        two = self.node("Relu", [self.node("Conv", [x, self.weight(c, c, 1, 1)])])
        kind = self.rng.choice(["Concat", "Add", "Sub", "Residual", "Twice"])
        if kind == "Concat":
            self.shape = (2 * c, *sizes)
            return self.node("Concat", [one, two], axis=1)
        if kind == "Residual":
            return self.node("Add", [one, x])
        return self.node("Add", [two, two]) if kind == "Twice" else self.node(str(kind), [one, two])

    def pool(self, x: str) -> str:
        kernel = [int(min(k, s)) for k, s in zip(self.rng.integers(1, 4, 2), self.shape[1:], strict=True)]
        pad = [int(self.rng.integers(0, k)) for k in kernel]
        counted = int(self.rng.integers(0, 2))
        found = self.node(
            "AveragePool", [x], kernel_shape=kernel, strides=[2, 1], pads=[*pad, *pad], count_include_pad=counted
        )
        height, width = (
            (s + 2 * p - k) // step + 1 for s, p, k, step in zip(self.shape[1:], pad, kernel, (2, 1), strict=True)
        )
        self.shape = (self.shape[0], height, width)
        return found

    def model(self) -> Any:
        x = "input"
        if self.rng.random() < 0.3:
            x = self.node("Sub", [x, self.constant(np.float32(0.3))])
            x = self.node("Div", [x, self.constant(self.rng.uniform(0.5, 2, (1, self.shape[0], 1, 1)).astype("f4"))])
        for _ in range(int(self.rng.integers(1, 4))):
            x = self.convolution(x, int(self.rng.integers(1, 3)))
            x = self.normalisation(x) if self.rng.random() < 0.5 else x
            x = self.activation(x)
            x = self.branches(x) if self.rng.random() < 0.5 else x
            x = self.normalisation(x) if self.rng.random() < 0.2 else x
            x = self.pool(x) if self.rng.random() < 0.3 else x
        x = self.node("GlobalAveragePool", [x]) if self.rng.random() < 0.2 else x
        if self.nodes[-1].op_type == "GlobalAveragePool":
            self.shape = (self.shape[0], 1, 1)
        dims = [None] * 3
        if self.rng.random() < 0.8:
            dims = [None]
            x = (
                self.node("Flatten", [x])
                if self.rng.random() < 0.5
                else self.node("Reshape", [x, self.constant(np.array([0, -1], np.int64))])
            )
            size = int(np.prod(self.shape))
            if self.rng.random() < 0.5:
                x = self.node("Gemm", [x, self.weight(5, size), self.weight(5)], transB=1, alpha=0.5, beta=2.0)
            else:
                x = self.node("MatMul", [x, self.weight(size, 5)])
                x = self.node("Add", [x, self.weight(5)])
        self.nodes[-1].output[0] = "output"
        make, real = onnx.helper, onnx.TensorProto.FLOAT
        graph = make.make_graph(
            self.nodes, "random", [make.make_tensor_value_info("input", real, ["batch", *self.input_shape])],
            [make.make_tensor_value_info("output", real, ["batch", *dims])], self.constants,
        )  # fmt: skip
        model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        return model


def run_onnx(model: Any, x: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"input": x})[0]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_graph_computes_what_onnx_runtime_computes(seed: int) -> None:
    network = RandomNetwork(seed)
    model = network.model()
    x = network.rng.normal(size=(3, *network.input_shape)).astype(np.float32)
    true = run_onnx(model, x)
    graph = from_onnx(model)
    (found,) = Dense(graph, np.float64).outputs({"input": x}).values()
    np.testing.assert_allclose(found.reshape(true.shape), true, atol=2e-5 * max(1.0, float(np.abs(true).max())))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_its_sigma_delta_form_differs_by_rounding_alone(seed: int) -> None:
    network = RandomNetwork(seed)
    graph = from_onnx(network.model())
    x = network.rng.normal(size=(4, *network.input_shape)).astype(np.float32)
    fine = fit_quanta(graph, {"input": x}, 4096)
    assert fine.error < 0.02
    assert all(isinstance(fine.graph.nodes[name], SigmaDelta) for name in fine.levels)
    (kept,) = Dense(fine.graph, np.float64).outputs({"input": x}).values()
    (true,) = Dense(graph, np.float64).outputs({"input": x}).values()
    np.testing.assert_allclose(kept, true, atol=1e-9 * max(1.0, float(np.abs(true).max())))
    assert all(len(fine.graph.out_of(name)) == 1 for name in fine.graph.of_kind(n.Input))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_damaged_file_is_read_or_refused(seed: int) -> None:
    network = RandomNetwork(seed)
    damaged = bytearray(network.model().SerializeToString())
    for _ in range(int(network.rng.integers(1, 4))):
        at = int(network.rng.integers(len(damaged)))
        damaged[at : at + int(network.rng.integers(0, 4))] = network.rng.bytes(int(network.rng.integers(0, 4)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        path.write_bytes(damaged)
        with contextlib.suppress(ConvertError):
            assert read_onnx(path).of_kind(n.Output)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_engine_runs_it_and_shows_what_the_rounding_network_does(seed: int) -> None:
    network = RandomNetwork(seed)
    graph = from_onnx(network.model())
    x = network.rng.normal(size=(3, *network.input_shape)).astype(np.float32)
    found = fit_quanta(graph, {"input": x}, 64)
    levels = {name: np.float32(k) for name, k in found.levels.items()}
    (rounded,) = Dense(found.network, np.float64).outputs({"input": x}, levels).values()
    engine = SigmaDeltaEngine(found.graph, dtype=np.float64)
    shown = np.zeros(rounded[0].size)
    size, worst = x[0].size, 0.0
    for k, frame in enumerate(x):
        engine.feed("input", np.full(size, k + 1), np.arange(size, dtype=np.int32), frame.ravel())
        sent = engine.advance(k + 1)
        shown[sent.index] = sent.value
        worst = max(worst, float(np.abs(shown - rounded[k].ravel()).max()))
    assert worst <= 1e-5 * max(1.0, float(np.abs(rounded).max()))
