"""ONNX models are read node by node; what has no counterpart is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nets import nodes as n
from nets.convert.dense import Dense
from nets.convert.errors import ConvertError
from nets.convert.layers import Activation
from nets.convert.onnx_file import from_onnx, read_onnx

onnx = pytest.importorskip("onnx", reason="reads ONNX: pip install onnx")
evaluator = pytest.importorskip("onnx.reference", reason="reads ONNX: pip install onnx").ReferenceEvaluator
RNG = np.random.default_rng(0)


def weight(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


def model(
    *steps: tuple[str, list[Any], dict[str, Any]],
    shape: tuple[Any, ...] = (1, 2, 6, 6),
    out: int = 4,
    opset: int = 17,
) -> Any:
    """Nodes one behind the other: (operator, further inputs, attributes), each named after its operator and place."""
    x, nodes = "input", []
    constants: list[Any] = []
    for k, (kind, more, attributes) in enumerate(steps):
        names = []
        for given in more:
            if isinstance(given, str):
                names.append(given)
            else:
                names.append(f"c{len(constants)}")
                constants.append(onnx.numpy_helper.from_array(np.asarray(given), names[-1]))
        result = "output" if k == len(steps) - 1 else f"t{k}"
        nodes.append(onnx.helper.make_node(kind, [x, *names], [result], name=f"/{k}/{kind}", **attributes))
        x = result
    real = onnx.TensorProto.FLOAT
    inputs = [onnx.helper.make_tensor_value_info("input", real, shape)]
    outputs = [onnx.helper.make_tensor_value_info("output", real, [None] * out)]
    graph = onnx.helper.make_graph(nodes, "chain", inputs, outputs, constants)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=9)


def conv(c_out: int = 3, c_in: int = 2, **attributes: Any) -> tuple[str, list[Any], dict[str, Any]]:
    return "Conv", [weight(c_out, c_in, 3, 3), weight(c_out)], {"pads": [1] * 4, **attributes}


def reference(made: Any, x: Any) -> Any:
    """ONNX's own evaluator."""
    return evaluator(made).run(None, {"input": x})[0]


def assert_same(made: Any) -> None:
    dims = made.graph.input[0].type.tensor_type.shape.dim
    x = weight(1, *(d.dim_value for d in dims[1:]))
    true = reference(made, x)
    (found,) = Dense(from_onnx(made), np.float64).outputs({"input": x}).values()
    np.testing.assert_allclose(found.reshape(true.shape), true, rtol=1e-4, atol=1e-5)


CHANNEL = np.array([[[[0.5]], [[2.0]]]], np.float32)
SAME: dict[str, tuple[Any, ...]] = {
    "auto_pad": (("Conv", [weight(3, 2, 3, 3)], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),),
    "auto_pad lower": (("Conv", [weight(3, 2, 2, 4)], {"auto_pad": "SAME_LOWER", "strides": [1, 2]}),),
    "uneven pads": (conv(pads=[0, 1, 2, 0], dilations=[2, 1]),),
    "groups": (("Conv", [weight(4, 1, 3, 3)], {"group": 2}),),
    "batch normalisation": (conv(), ("BatchNormalization", [weight(3), weight(3), weight(3), weight(3) ** 2], {})),
    "relu before batch normalisation": (
        ("Relu", [], {}),
        ("BatchNormalization", [weight(2), weight(2), weight(2), weight(2) ** 2], {}),
    ),
    "preprocessing": (("Sub", [np.float32(0.4)], {}), ("Div", [CHANNEL], {}), conv()),
    "constant first": (("Mul", [CHANNEL], {}), ("Add", [CHANNEL], {}), conv()),
    "mean without padding": (conv(), ("AveragePool", [], {"kernel_shape": [3, 2], "pads": [1, 0, 1, 0]})),
    "mean with padding": (
        conv(),
        ("AveragePool", [], {"kernel_shape": [3, 3], "pads": [1] * 4, "strides": [2, 2], "count_include_pad": 1}),
    ),
    "ceil_mode without effect": (("AveragePool", [], {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),),
    "prelu": (conv(), ("PRelu", [np.array([[[0.1]], [[0.2]], [[0.3]]], np.float32)], {})),
    "identity": (("Identity", [], {}), ("Dropout", [], {}), ("Cast", [], {"to": 1}), conv()),
    "clip": (conv(), ("Clip", [np.float32(0)], {})),
}


@pytest.mark.parametrize("steps", SAME.values(), ids=SAME.keys())
def test_operators_compute_what_onnx_says(steps: Any) -> None:
    assert_same(model(*steps))


def test_flat_layers_with_batch_normalisation_between_them() -> None:
    normal: Any = ("BatchNormalization", [weight(5), weight(5), weight(5), weight(5) ** 2], {})
    made = model(
        ("Flatten", [], {}), ("MatMul", [weight(72, 5)], {}), ("Add", [weight(5)], {}), normal, ("Relu", [], {}),
        normal, ("Gemm", [weight(5, 3), weight(3)], {"beta": 0.5}), out=2,
    )  # fmt: skip
    graph = from_onnx(made)
    assert_same(made)
    assert len(graph.of_kind(n.Affine)) == 3  # the first normalisation is folded, the one behind the ReLU is not


def test_one_axis() -> None:
    made = model(
        ("Conv", [weight(4, 2, 3), weight(4)], {"pads": [2, 0], "strides": [2]}), ("Relu", [], {}),
        ("AveragePool", [], {"kernel_shape": [2]}), ("GlobalAveragePool", [], {}), ("Squeeze", [np.array([2])], {}),
        ("Gemm", [weight(3, 4)], {"transB": 1}), shape=(1, 2, 11), out=2,
    )  # fmt: skip
    assert_same(made)


def test_a_shape_worked_out_in_the_graph() -> None:
    """As exporters write x.view(x.size(0), -1)."""
    make, real = onnx.helper, onnx.TensorProto.FLOAT
    constants = [
        onnx.numpy_helper.from_array(values, name)
        for name, values in (
            ("zero", np.array(0)), ("first", np.array([0])), ("rest", np.array([-1])), ("w", weight(72, 3)),
        )
    ]  # fmt: skip
    nodes = [
        make.make_node("Shape", ["input"], ["shape"]),
        make.make_node("Gather", ["shape", "zero"], ["batch"]),
        make.make_node("Unsqueeze", ["batch", "first"], ["row"]),
        make.make_node("Concat", ["row", "rest"], ["wanted"], axis=0),
        make.make_node("Reshape", ["input", "wanted"], ["flat"]),
        make.make_node("MatMul", ["flat", "w"], ["output"]),
    ]
    graph = make.make_graph(
        nodes, "view", [make.make_tensor_value_info("input", real, ["n", 2, 6, 6])],
        [make.make_tensor_value_info("output", real, ["n", 3])], constants,
    )  # fmt: skip
    assert_same(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9))


def test_concatenation_and_addition_need_no_copies() -> None:
    make, real = onnx.helper, onnx.TensorProto.FLOAT
    constants = [
        onnx.numpy_helper.from_array(weight(*shape), name)
        for name, shape in (("a", (3, 2, 1, 1)), ("b", (4, 2, 3, 3)), ("c", (5, 7, 1, 1)))
    ]
    nodes = [
        make.make_node("Conv", ["input", "a"], ["one"]),
        make.make_node("Conv", ["input", "b"], ["two"], pads=[1] * 4),
        make.make_node("Concat", ["one", "two"], ["both"], axis=1),
        make.make_node("Relu", ["both"], ["active"]),
        make.make_node("Conv", ["active", "c"], ["output"]),
    ]
    graph = make.make_graph(
        nodes, "branches", [make.make_tensor_value_info("input", real, [1, 2, 6, 6])],
        [make.make_tensor_value_info("output", real, [1, 5, 6, 6])], constants,
    )  # fmt: skip
    made = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)
    assert_same(made)
    found = from_onnx(made)
    assert [node.weight.shape for node in found.nodes.values() if isinstance(node, n.Conv2d)] == [
        (3, 2, 1, 1), (4, 2, 3, 3), (5, 3, 1, 1), (5, 4, 1, 1),
    ]  # fmt: skip
    assert len(found.of_kind(Activation)) == 2


REFUSALS = [
    (("MaxPool", [], {"kernel_shape": [2, 2]}), r"/0/MaxPool \(MaxPool\): MaxPool is refused: .*AveragePool"),
    (("Softmax", [], {}), "export the network without it"),
    (("Sigmoid", [], {}), "is no ReLU"),
    (("Transpose", [], {"perm": [0, 2, 3, 1]}), "channels first"),
    (("Exp", [], {}), r"/0/Exp \(Exp\): Exp has no counterpart"),
    (("Clip", [np.float32(0), np.float32(6)], {}), r"clips to \[0.0, 6.0\]"),
    (("Clip", [np.float32(-1)], {}), r"clips to \[-1.0, None\]"),
    (("Mul", ["input"], {}), "multiplies two values that change"),
    (("Div", [np.float32(0)], {}), "divides by 0"),
    (("Add", [weight(1, 2, 6, 6)], {}), "differs from place to place"),
    (("Flatten", [], {"axis": 2}), "axis is 2, expected 1"),
    (("Reshape", [np.array([1, 6, 12])], {}), r"makes \[1, 6, 12\] of \[1, 2, 6, 6\]"),
    (("Concat", ["input"], {"axis": 2}), "axis is 2, expected 1"),
    (("Cast", [], {"to": 7}), "casts to type 7"),
    (("AveragePool", [], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}), "ceil_mode adds a window"),
    (("AveragePool", [], {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1]}), "alike on both sides"),
    (("AveragePool", [], {"kernel_shape": [9, 9]}), "larger than its padded input"),
    (("Conv", [weight(3, 3, 3, 3)], {}), "on 2 channels"),
    (("Conv", ["input"], {}), "W depends on an input"),
    (("Conv", [np.full((1, 2, 1, 1), np.nan, np.float32)], {}), "W is not finite"),
    (("MatMul", [weight(6, 3)], {}), r"reads \(2, 6, 6\), its weight takes \(6,\)"),
    (("Gemm", [weight(72, 3)], {"transA": 1}), "transA is 1"),
]  # fmt: skip


@pytest.mark.parametrize(("step", "match"), REFUSALS, ids=lambda x: x[0] if isinstance(x, tuple) else "")
def test_what_has_no_counterpart_is_refused_by_name(step: Any, match: str) -> None:
    with pytest.raises(ConvertError, match=match):
        from_onnx(model(step))


@pytest.mark.parametrize(
    ("shape", "match"),
    [((2, 2, 6, 6), "expected a batch of 1"), ((1, 2, "h", 6), "known sizes"), ((6,), "expected a batch of")],
)
def test_inputs_without_a_known_shape_are_refused(shape: Any, match: str) -> None:
    with pytest.raises(ConvertError, match=match):
        from_onnx(model(("Relu", [], {}), shape=shape))


def test_an_output_that_is_constant_is_refused() -> None:
    made = model(("Relu", [], {}))
    made.graph.initializer.append(onnx.numpy_helper.from_array(weight(1), "fixed"))
    made.graph.output[0].name = "fixed"
    with pytest.raises(ConvertError, match="'fixed' is a constant"):
        from_onnx(made)


def test_files_that_are_no_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match="no such file"):
        read_onnx(tmp_path / "absent.onnx")
    for damaged in (b"", b"not a model", b"\x08\x09" * 40):
        path = tmp_path / "damaged.onnx"
        path.write_bytes(damaged)
        with pytest.raises(ConvertError, match="not a readable ONNX model"):
            read_onnx(path)


def test_a_stored_model_is_read(tmp_path: Path) -> None:
    made = model(conv(), ("Relu", [], {}))
    onnx.save(made, tmp_path / "net.onnx")
    assert read_onnx(tmp_path / "net.onnx") == from_onnx(made)
