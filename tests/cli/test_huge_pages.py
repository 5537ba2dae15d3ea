"""Huge pages: asked for where the kernel waits to be asked, and really given."""

import os
import subprocess
import sys

import pytest

from flan_t5x.cli.huge_pages import KERNEL_SETTING, TUNABLE, VARIABLE, with_huge_pages

ON_REQUEST = "always [madvise] never\n"
PROGRAM = """
import os
from flan_t5x.cli.huge_pages import start_again_with_huge_pages
print("started", os.getpid(), flush=True)
start_again_with_huge_pages()
import jax.numpy as jnp
array = jnp.ones(2**25).block_until_ready()
smaps = open("/proc/self/smaps_rollup").read()
print("huge", next(l.split()[1] for l in smaps.splitlines() if l.startswith("AnonHugePages")))
"""


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, f"{TUNABLE}=1"),
        ({VARIABLE: ""}, f"{TUNABLE}=1"),
        ({VARIABLE: "glibc.malloc.check=3"}, f"glibc.malloc.check=3:{TUNABLE}=1"),
        ({VARIABLE: f"{TUNABLE}=0"}, None),
        ({VARIABLE: f"{TUNABLE}=2:glibc.malloc.check=3"}, None),
    ],
)
def test_a_users_own_choice_stays(chosen: dict[str, str], expected: str | None) -> None:
    assert with_huge_pages(chosen, setting=ON_REQUEST, glibc=(2, 36)) == expected


@pytest.mark.parametrize(
    ("setting", "glibc"),
    [
        ("[always] madvise never\n", (2, 36)),
        ("always madvise [never]\n", (2, 36)),
        ("", (2, 36)),  # no such file
        (ON_REQUEST, (2, 34)),
        (ON_REQUEST, ()),  # another C library
    ],
)
def test_nothing_is_done_where_nothing_is_gained(setting: str, glibc: tuple[int, ...]) -> None:
    assert with_huge_pages({}, setting=setting, glibc=glibc) is None


@pytest.mark.parametrize("declined", [False, True])
def test_the_process_starts_again_and_has_them(*, declined: bool) -> None:
    if not KERNEL_SETTING.exists() or "[madvise]" not in KERNEL_SETTING.read_text():
        pytest.skip("the kernel here gives huge pages to all or to none")
    environment = {k: v for k, v in os.environ.items() if k != VARIABLE}
    if declined:
        environment[VARIABLE] = f"{TUNABLE}=0"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    *starts, huge = (line.split()[1] for line in done.stdout.splitlines())
    assert len(starts) == (1 if declined else 2)
    assert len(set(starts)) == 1, "another process number: signals would not reach it"
    assert (int(huge) >= 2**17) is not declined, f"{huge} kB of huge pages for an array of 128 MiB"
