"""What is started, on what: one `LaunchSpec` for every launcher of rented machines."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from flan_t5x.errors import UserError, nearest
from flan_t5x.parallel.tpu import TpuSlice, parse_slice

ON_DEMAND, SPOT, RESERVATION, FLEX_START = "on-demand", "spot", "reservation", "flex-start"
CAPACITIES = (ON_DEMAND, SPOT, RESERVATION, FLEX_START)

JOIN_SECONDS = 600
"""How long the processes wait for each other: one host may still be pulling the image."""

VARIABLES = {"JAX_PLATFORMS": "tpu,cpu", "PYTHONUNBUFFERED": "1"}
"""Without a TPU the run fails, instead of going on with the processor."""

BUCKET_FOLDER = "/gcs"
"""Where the bucket is mounted on every host."""

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_WORDS = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "API_KEY", "PRIVATE")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """Where a run is found.

    Attributes:
        name: of the run, and of all that is created for it.
        project: Google Cloud project.
        zone: of the machines.

    Raises:
        UserError: a part that is missing or cannot be a name.
    """

    name: str
    project: str
    zone: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UserError(
                f"name {self.name!r}: lower-case letters, digits and hyphens, a letter first, at "
                "most 40"
            )
        for field in ("project", "zone"):
            if not getattr(self, field):
                raise UserError(f"{field} is empty: give --{field}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaunchSpec(Run):
    """One run on rented TPUs. Nothing in here, or rendered from it, is a secret's value.

    Attributes:
        accelerator: one slice, as `flan_t5x.parallel.tpu` writes it: "v5p-256", "v6e-8x16".
        slices: how many of them; above 1 they train together over the data-centre network.
        capacity: one of `CAPACITIES`.
        reservation: its name; with capacity "reservation".
        max_run_duration: such as "20h", after which flex-start takes the machines back.
        image: container image with this package (`launch/Dockerfile`).
        command: the command line after ``flan-t5x``.
        env: plain variables of the processes.
        secrets: variable -> where its value lies; the launcher says in which form.
        bucket: mounted at `BUCKET_FOLDER`, so that model_dir and the token cache are shared.
        service_account: whose rights the processes have.
        grace_seconds: between SIGTERM and SIGKILL: a step and a save have to fit.
        max_restarts: how often the run is started again after a failure that may pass.

    Raises:
        UserError: a part that is missing, contradicts another, or does not exist.
    """

    accelerator: str
    image: str
    command: Sequence[str]
    slices: int = 1
    capacity: str = ON_DEMAND
    reservation: str | None = None
    max_run_duration: str | None = None
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    secrets: Mapping[str, str] = dataclasses.field(default_factory=dict)
    bucket: str | None = None
    service_account: str | None = None
    grace_seconds: int = 600
    max_restarts: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_slice(self.accelerator)
        if not self.image:
            raise UserError("image is empty: give --image, built from launch/Dockerfile")
        for field, least in (("slices", 1), ("grace_seconds", 0), ("max_restarts", 0)):
            if getattr(self, field) < least:
                raise UserError(f"{field} {getattr(self, field)}: at least {least} is needed")
        self._check_capacity()
        self._check_variables()
        if not self.command:
            raise UserError("nothing to run: add a command, e.g. `train --gin_file=smoke.gin`")

    def _check_capacity(self) -> None:
        if self.capacity not in CAPACITIES:
            hint = nearest(self.capacity, CAPACITIES) or f"known: {', '.join(CAPACITIES)}"
            raise UserError(f"capacity {self.capacity!r} does not exist; {hint}")
        if (self.reservation is not None) != (self.capacity == RESERVATION):
            raise UserError(
                f"--capacity={self.capacity} with --reservation={self.reservation}: a reservation "
                "has a name, and only capacity 'reservation' takes one"
            )
        if self.capacity == FLEX_START and self.max_run_duration is None:
            raise UserError(
                "--capacity=flex-start needs --max_run_duration, e.g. 20h (7 days most)"
            )
        if self.capacity != FLEX_START and self.max_run_duration is not None:
            raise UserError("--max_run_duration belongs to --capacity=flex-start")

    def _check_variables(self) -> None:
        for name in (*self.env, *self.secrets):
            if not _VARIABLE.fullmatch(name):
                raise UserError(f"{name!r} is no name of an environment variable")
        for name in self.env:
            if name in self.secrets:
                raise UserError(f"{name} is given by --env and by --secret: remove one of them")
            if any(word in name.upper() for word in _SECRET_WORDS):
                raise UserError(
                    f"--env {name}=...: that looks like a secret, and what is given here is "
                    f"written into commands and manifests; use --secret {name}=REFERENCE"
                )

    @property
    def variables(self) -> dict[str, str]:
        """Plain variables of every process: ours, then the user's."""
        return {**VARIABLES, **self.env}

    @property
    def tpu(self) -> TpuSlice:
        """One slice."""
        return parse_slice(self.accelerator)

    @property
    def processes(self) -> int:
        """Hosts of all slices: one process on each."""
        return self.tpu.hosts * self.slices

    @property
    def program(self) -> tuple[str, ...]:
        """What each host runs. Which process it is, it finds out by itself."""
        waiting = () if self.processes == 1 else (f"--join_seconds={JOIN_SECONDS}",)
        takes_it = self.command[0] in ("train", "eval", "infer")
        return ("flan-t5x", *self.command, *(waiting if takes_it else ()))


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of a `Run`, and ``--execute``."""
    parser.add_argument("--name", required=True, metavar="NAME", help="of the run")
    parser.add_argument("--project", default="", metavar="PROJECT")
    parser.add_argument("--zone", default="", metavar="ZONE")
    parser.add_argument(
        "--execute", action="store_true", help="do it; without this, commands are printed only"
    )


def add_arguments(parser: argparse.ArgumentParser, *, secret: str) -> None:
    """The flags of a `LaunchSpec` beside those of a `Run`.

    Args:
        parser: gets them.
        secret: the form of a reference, for the help.
    """
    parser.add_argument("--accelerator", required=True, metavar="TPU", help="v5p-256, v6e-8x16 ...")
    parser.add_argument("--slices", type=int, default=1, metavar="N", help="default 1")
    parser.add_argument("--capacity", default=ON_DEMAND, metavar="KIND", help=", ".join(CAPACITIES))
    parser.add_argument("--reservation", metavar="NAME", help="with --capacity=reservation")
    parser.add_argument("--max_run_duration", metavar="20h", help="with --capacity=flex-start")
    parser.add_argument("--image", default="", metavar="IMAGE", help="built from launch/Dockerfile")
    parser.add_argument("--bucket", metavar="BUCKET", help=f"mounted at {BUCKET_FOLDER}")
    parser.add_argument("--service_account", metavar="NAME")
    parser.add_argument("--grace_seconds", type=int, default=600, metavar="S", help="default 600")
    parser.add_argument("--max_restarts", type=int, default=10, metavar="N", help="default 10")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--secret", action="append", default=[], metavar=f"NAME={secret}")
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="COMMAND ...", help="as after `flan-t5x`"
    )


def run_from(options: argparse.Namespace) -> Run:
    """The run that the flags name."""
    return Run(name=options.name, project=options.project, zone=options.zone)


def spec_from(options: argparse.Namespace) -> LaunchSpec:
    """The spec that the flags give.

    Raises:
        UserError: see `LaunchSpec`.
    """
    names = [field.name for field in dataclasses.fields(LaunchSpec)]
    given: dict[str, Any] = {name: getattr(options, name, None) for name in names}
    given |= {"env": _pairs("--env", options.env), "secrets": _pairs("--secret", options.secret)}
    given["command"] = tuple(options.command)
    return LaunchSpec(**given)


def _pairs(flag: str, entries: Sequence[str]) -> dict[str, str]:
    found = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals or not value:
            raise UserError(f"{flag} {name}: write NAME=VALUE")
        found[name] = value
    return found
