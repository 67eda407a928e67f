"""Converters: a trained ReLU network becomes a sigma-delta network or a rate-coded spiking one.

network = read_onnx("model.onnx")                            # nets.convert.onnx_file; or built: nets.convert.layers
found = fit(network, {"input": frames}, error=0.04)          # nets.convert.levels: found.graph runs in tectum
work = count(found, {"input": frames})                       # nets.convert.work: operations beside a dense pass
rate = to_rate(network, {"input": frames}, ticks=16)         # nets.convert.rate
nets.nir.write("model.nir", found.graph)
"""
