"""A believable Livepeer network from a seed: loaded in bulk, or posted live.

`network` is the world, `results` what its job testers report, `bulk` and `live` where that goes.
"""
