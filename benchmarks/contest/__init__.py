"""Let quantizers compete: the same network, calibration data and test data for each.

A contestant is a module here with three functions: `convert` takes a torch module into its
framework, `quantize` makes it int8, `predictor` returns something to call with images. `table`
lists who takes part, `runner` gives each a process of its own, `report` says who won.
"""
