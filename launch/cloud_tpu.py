"""Runs one `flan-t5x` command on Cloud TPU slices, got as a queued resource through `gcloud`.

    python -m launch.cloud_tpu up --name=mine --accelerator=v5p-256 --project=P --zone=Z \\
        --image=IMAGE --bucket=B train --gin_file=... --gin.MODEL_DIR=/gcs/runs/mine

prints what it would do; with ``--execute`` it asks for the machines, waits, starts the command in
a container on every host, waits for its end, and starts again what was preempted (the run goes on
from its checkpoint) or failed in a way that may pass. Exit codes 2 and 3 of the command (bad
input, loss not finite) are not tried again. The machines stay until ``delete``; ``--help`` lists
the actions that take one step at a time.

Commands are functions of a `LaunchSpec`; `launch.cloud_tpu_up` runs them.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from collections.abc import Sequence

from flan_t5x.errors import EXIT_BAD_INPUT, UserError
from flan_t5x.parallel.tpu import topologies
from launch.commands import Argv, must, run, shown
from launch.spec import (
    BUCKET_FOLDER,
    FLEX_START,
    RESERVATION,
    SPOT,
    LaunchSpec,
    Run,
    add_arguments,
    add_run_arguments,
    run_from,
    spec_from,
)

HELP = {
    "up": "ask for machines, run the command to its end, again after a preemption",
    "create": "ask for the machines",
    "run": "start the command on all hosts, which goes on without this launcher",
    "status": "state of the request",
    "logs": "follow the output of the first host",
    "delete": "give the machines back",
}
CONTAINER = "flan-t5x"
"""Name of the container on every host."""

_GROUP = ("compute", "tpus", "queued-resources")
_TYPES_WITH_TOPOLOGY = ("v4",)  # what `--type` takes


def create(spec: LaunchSpec) -> Argv:
    """Asks for the machines; returns once the request is in the queue.

    Raises:
        UserError: a generation, topology or secret that queued resources do not have.
    """
    runtime = spec.tpu.generation.runtime_version
    if runtime is None:
        raise UserError(
            f"{spec.accelerator} is not offered as a queued resource: use `python -m launch.gke`"
        )
    nodes = (
        (f"--node-id={spec.name}",)
        if spec.slices == 1
        else (f"--node-count={spec.slices}", f"--node-prefix={spec.name}")
    )
    account = (f"--service-account={spec.service_account}",) if spec.service_account else ()
    # A flag of the alpha track makes the whole command one of it.
    track = ("alpha",) if spec.capacity in (RESERVATION, FLEX_START) else ()
    return (
        "gcloud",
        *track,
        *_GROUP,
        "create",
        spec.name,
        *_where(spec),
        *_size(spec),
        f"--runtime-version={runtime}",
        *nodes,
        *_capacity(spec),
        *account,
        f"--labels=flan-t5x={spec.name}",
        "--async",
        "--quiet",
    )


def state(spec: Run) -> Argv:
    """Prints the request's state, e.g. ACTIVE."""
    return ("gcloud", *_GROUP, "describe", spec.name, *_where(spec), "--format=value(state.state)")


def details(spec: Run) -> Argv:
    """Prints all about the request; where it failed, the reason."""
    return ("gcloud", *_GROUP, "describe", spec.name, *_where(spec), "--format=yaml(state)")


def delete(spec: Run) -> Argv:
    """Gives the machines back, whatever they do; returns when they are gone."""
    return ("gcloud", *_GROUP, "delete", spec.name, *_where(spec), "--force", "--quiet")


def on_all_hosts(spec: Run, command: str) -> Argv:
    """Runs a shell command on every host of every slice, and waits for all."""
    return (
        "gcloud",
        *_GROUP,
        "ssh",
        spec.name,
        *_where(spec),
        "--node=all",
        "--worker=all",
        f"--command={command}",
    )


def start(spec: LaunchSpec) -> Argv:
    """Starts the command on all hosts, in containers that live on without us."""
    return on_all_hosts(spec, start_script(spec))


def ended(spec: Run) -> Argv:
    """Waits for the command on all hosts; each prints ``exit=<code>``."""
    return on_all_hosts(spec, f'echo "exit=$(sudo docker wait {CONTAINER})"')


def logs(spec: Run) -> Argv:
    """Follows the output of the first host, which is the one that speaks."""
    return (
        "gcloud",
        *_GROUP,
        "ssh",
        spec.name,
        *_where(spec),
        "--node=0",
        "--worker=0",
        f"--command=sudo docker logs --follow {CONTAINER}",
    )


def start_script(spec: LaunchSpec) -> str:
    """What a host does to start: fetch secrets, mount the bucket, run the container.

    A secret is read on the host, from Secret Manager, by the host's own service account; its
    value goes into the container's environment and is in no command that anyone else sees.
    """
    registry = spec.image.split("/")[0]
    lines = ["set -eu"]
    if "." in registry:
        lines.append(f"sudo gcloud auth configure-docker {shlex.quote(registry)} --quiet")
    docker = [
        f"sudo docker run --detach --name={CONTAINER} --privileged --net=host --shm-size=16g",
        f"--stop-timeout={spec.grace_seconds}",
    ]
    if spec.bucket is not None:
        lines += [
            f"sudo mkdir -p {BUCKET_FOLDER}",
            f"mountpoint -q {BUCKET_FOLDER} || sudo gcsfuse --implicit-dirs -o allow_other "
            f"{shlex.quote(spec.bucket)} {BUCKET_FOLDER}",
        ]
        docker.append(f"--volume={BUCKET_FOLDER}:{BUCKET_FOLDER}")
    docker += [f"--env={shlex.quote(f'{name}={value}')}" for name, value in spec.variables.items()]
    for name, reference in spec.secrets.items():
        secret, version = _secret(name, reference)
        read = f"gcloud secrets versions access {version} --secret={secret}"
        lines.append(f'{name}="$({read} --project={shlex.quote(spec.project)})"; export {name}')
        docker.append(f"--env={name}")
    if spec.secrets:  # sudo drops the environment but for these
        docker[0] = docker[0].replace("sudo ", f"sudo --preserve-env={','.join(spec.secrets)} ", 1)
    lines.append(f"sudo docker rm --force {CONTAINER} >/dev/null 2>&1 || true")
    lines.append(" ".join([*docker, shlex.quote(spec.image), shlex.join(spec.program)]))
    return "\n".join(lines)


def _where(spec: Run) -> tuple[str, str]:
    return f"--project={spec.project}", f"--zone={spec.zone}"


def _size(spec: LaunchSpec) -> tuple[str, ...]:
    tpu = spec.tpu
    if tpu.topology in topologies(tpu.generation):
        return (f"--accelerator-type={tpu.accelerator_type}",)
    if tpu.generation.name in _TYPES_WITH_TOPOLOGY:
        return (f"--type={tpu.generation.name}", f"--topology={tpu.topology_name}")
    default = next(t for t in topologies(tpu.generation) if math.prod(t) == tpu.chips)
    raise UserError(
        f"{spec.accelerator}: queued resources give {tpu.generation.name} slices of {tpu.chips} "
        f"chips the topology {'x'.join(map(str, default))} only; ask for {tpu.name}, or use GKE"
    )


def _capacity(spec: LaunchSpec) -> tuple[str, ...]:
    if spec.capacity == SPOT:
        return ("--spot",)
    if spec.capacity == RESERVATION:
        return ("--reserved", f"--reservation={spec.reservation}")
    if spec.capacity == FLEX_START:
        return ("--provisioning-model=flex-start", f"--max-run-duration={spec.max_run_duration}")
    return ()


def _secret(name: str, reference: str) -> tuple[str, str]:
    """Secret Manager's name and version of ``SECRET`` or ``SECRET/VERSION``."""
    secret, _, version = reference.partition("/")
    word = all(
        part.replace("-", "").replace("_", "").isalnum() for part in (secret, version or "1")
    )
    if not word:
        raise UserError(
            f"--secret {name}=...: give the name of a secret in Secret Manager, SECRET or "
            "SECRET/VERSION, not its value"
        )
    return secret, version or "latest"


def plan(action: str, options: argparse.Namespace) -> list[Argv]:
    """The commands of an action, in order.

    Raises:
        UserError: flags that make no `Run` or `LaunchSpec`.
    """
    if action in FINDING:
        place = run_from(options)
        return [{"status": details, "logs": logs, "delete": delete}[action](place)]
    spec = spec_from(options)
    asked, started = create(spec), start(spec)
    if action == "up":
        return [asked, state(spec), started, ended(spec)]
    return [asked if action == "create" else started]


STARTING, FINDING = ("up", "create", "run"), ("status", "logs", "delete")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m launch.cloud_tpu",
        description=__doc__.partition("\n")[0],
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name in (*STARTING, *FINDING):
        action = actions.add_parser(name, help=HELP[name], allow_abbrev=False)
        add_run_arguments(action)
        if name in STARTING:
            add_arguments(action, secret="SECRET[/VERSION]")
    options = parser.parse_args(arguments)
    try:
        commands = plan(options.action, options)
        code = _do(options, commands) if options.execute else _print(commands)
        place = run_from(options)
    except UserError as error:
        print(f"launch.cloud_tpu: error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    if options.action in STARTING:
        print(f"# watch:  {shown(logs(place))}\n# delete: {shown(delete(place))}")
    return code


def _print(commands: Sequence[Argv]) -> int:
    print("# would run (--execute does it):")
    for argv in commands:
        print(shown(argv))
    return 0


def _do(options: argparse.Namespace, commands: Sequence[Argv]) -> int:
    if options.action == "up":
        from launch.cloud_tpu_up import up

        return up(spec_from(options), say=lambda text: print(text, flush=True))
    if options.action in ("status", "logs"):
        return run(commands[0], capture=False).code
    print(must(commands[0]).out, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
