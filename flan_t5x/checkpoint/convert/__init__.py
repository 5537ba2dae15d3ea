"""Checkpoints that travel: T5X and Hugging Face, in and out.

The meeting point of all formats is T5X's unstacked tree, one layer at a time
(``encoder/layers_3/attention/query/kernel``, two dimensions). Readers offer their leaves with
their own names (`source`), `plan` maps those to the meeting point by the one table of names
(`table`), and writers take leaf by leaf from there. So no step holds more than one leaf of the
source and one of the target in memory.
"""
