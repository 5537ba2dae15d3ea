"""The toys' registry and a browser for every test of the page."""

from __future__ import annotations

from tests.data.explore.toys import toys  # noqa: F401
from tests.pages.chromium import chromium  # noqa: F401
