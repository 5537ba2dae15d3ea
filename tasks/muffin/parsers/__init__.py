"""From a TFDS row (a plain dictionary) to an `Example`, one function a data set.

The functions live at module level, so that sources pickle. They raise `RowError` for a row that
cannot be used; a missing key is reported by the source. Which fields each one offers to
templates is written at the head of its wordings (``templates/*.toml``).
"""
