"""flan_t5x: instruction tuning of encoder-decoders in JAX, from SeqIO tasks to a chosen checkpoint.

Importing this package loads nothing heavy: no jax, no TensorFlow. See README.md, "Architecture".
"""

__version__ = "0.1.0"
