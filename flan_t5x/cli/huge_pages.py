"""Arrays in huge pages, where the kernel gives them to those who ask.

jax on a CPU, numpy and torch take their arrays from malloc. glibc asks for transparent huge pages
when `GLIBC_TUNABLES` says so, and reads it as a process starts; so the command starts once more.
A matrix is then read with a five-hundredth of the page faults and address translations (figures:
PERFORMANCE.md). Where the kernel gives huge pages to all or to none, nothing is to be done.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "GLIBC_TUNABLES"
TUNABLE = "glibc.malloc.hugetlb"
FIRST_GLIBC = (2, 35)
"""The first version that knows the tunable."""
KERNEL_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def start_again_with_huge_pages() -> None:
    """Replaces this process by itself with huge pages; returns where there is nothing to gain.

    To be called before anything was done: the new process begins from the same command line, with
    the same number and the same open files.
    """
    tunables = with_huge_pages(os.environ, setting=_kernel_setting(), glibc=_glibc())
    if tunables is None or not sys.executable:
        return
    os.environ[VARIABLE] = tunables
    try:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    except OSError:
        return  # go on as we are: slower, with the same results


def with_huge_pages(
    environment: Mapping[str, str], *, setting: str, glibc: tuple[int, ...]
) -> str | None:
    """What `GLIBC_TUNABLES` has to be, or None where it should stay as it is.

    Args:
        environment: a user's own choice in it stays (``glibc.malloc.hugetlb=0`` declines).
        setting: the kernel's, as its file shows it, e.g. ``always [madvise] never``.
        glibc: its version; empty for another C library.
    """
    if "[madvise]" not in setting or glibc < FIRST_GLIBC:
        return None
    chosen = environment.get(VARIABLE, "")
    if TUNABLE in chosen:
        return None
    return ":".join(filter(None, (chosen, f"{TUNABLE}=1")))


def _kernel_setting() -> str:
    try:
        return KERNEL_SETTING.read_text()
    except OSError:
        return ""


def _glibc() -> tuple[int, ...]:
    try:
        version = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, OSError, ValueError):  # not glibc
        return ()
    return tuple(int(number) for number in re.findall(r"\d+", version))
