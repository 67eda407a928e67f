"""Sigma-delta networks: each layer caches its pre-activation, and only quantised changes travel.

A trained network of products, convolutions, pooling and ReLU becomes a graph of the same nodes with a `SigmaDelta`
(`nets.sigma_delta.node`) where each activation stood, and one right behind each Input, its quantiser. A sigma-delta
network equals the *rounding network*, in which every activation is rounded to whole quanta, whatever the order its
input arrived in (O'Connor & Welling 2016, arXiv 1611.02024).

    graph = Graph(
        {
            "camera": Input((1, 64, 64)),
            "camera_q": SigmaDelta(levels=levels_for_noise(0.01), slope=1.0),    # the input's quantiser
            "conv": Conv2d(...),                                                 # products, pools: NIR's own nodes
            "relu": SigmaDelta(levels=8.0),                                      # a ReLU: slope 0
            "flatten": Flatten(0, -1),
            "fc": Affine(weight, bias),
            "output": Output((2,)),                                              # behind a product: the exact sum
        },
        [("camera", "camera_q"), ("camera_q", "conv"), ("conv", "relu"), ...],
    )
    engine = SigmaDeltaEngine(graph)

Rules of the representation:

- Input -> (Flatten) -> SigmaDelta, exactly one behind each Input, with nothing else into it. Its slope is 1 for a
  signed or non-negative measurement. Behind it anything may follow, for several layers at once.
- A layer is a path of Linear, Affine, Scale, Conv1d, Conv2d, AvgPool2d, SumPool2d, Flatten from one SigmaDelta to the
  next; paths and biases into one SigmaDelta add up. Addition is two edges into it; concatenation is one product for
  each part, whose results add up. Batch normalisation is folded into the product before it.
- An Output behind a SigmaDelta gives its quantised activation; behind a product, the sum itself, without rounding.
- No cycles, Delay, Threshold, MaxPool2d or spiking node: refused by name.
- An Input that brings changes, such as an event camera, has a `Surface` for its quantiser.

Written by `nets.nir.write`, a SigmaDelta is an IF with r = levels, v_threshold = 1, v_reset = 0 and the metadata
`tectum` = {version: 1, op: "SigmaDelta", parameters: {levels, slope, hysteresis, leak_per_s}}; a Surface is the same
with op "Surface". The graph carries the flag `needs_tectum`.
"""
