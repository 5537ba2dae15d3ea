"""A browser for every test of the page."""

from __future__ import annotations

from tests.pages.chromium import chromium  # noqa: F401
