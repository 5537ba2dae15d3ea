"""The toys' registry for every test of the page."""

from __future__ import annotations

from tests.data.explore.toys import toys  # noqa: F401
