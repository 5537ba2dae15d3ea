"""Runs one `flan-t5x` command on TPU slices of a GKE cluster, as a JobSet, queued by Kueue.

    python -m launch.gke up --name=mine --accelerator=v5p-256 --project=P --zone=Z --cluster=C \\
        --image=IMAGE --bucket=B train --gin_file=... --gin.MODEL_DIR=/gcs/runs/mine

prints what it would do; with ``--execute`` it does it, through `kubectl` and `gcloud` as they are
set up on this machine. ``--help`` lists the other actions.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from flan_t5x.errors import EXIT_BAD_INPUT, UserError
from launch.commands import Argv, must, run, shown
from launch.jobset import CONTAINER, LEAD, SLICE, jobset_yaml
from launch.spec import (
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

NAMESPACE = "default"
HELP = {
    "up": "apply the JobSet",
    "show": "print the JobSet alone, for other tools",
    "pools": "create a node pool for each slice, where the cluster does not make them itself",
    "status": "state and restarts",
    "logs": "follow the output of the first host",
    "delete": "delete the JobSet; node pools stay",
}


def apply(namespace: str = NAMESPACE) -> Argv:
    """Creates what it reads from its standard input."""
    return ("kubectl", f"--namespace={namespace}", "apply", "--filename=-")


def status(spec: Run, namespace: str = NAMESPACE) -> Argv:
    """State and restarts, and the pods with the hosts they are on."""
    return ("kubectl", f"--namespace={namespace}", "get", f"jobset/{spec.name}", "--output=wide")


def logs(spec: Run, namespace: str = NAMESPACE) -> Argv:
    """Follows the output of the first host of the first slice, which is the one that speaks."""
    return (
        "kubectl",
        f"--namespace={namespace}",
        "logs",
        f"--selector=jobset.sigs.k8s.io/jobset-name={spec.name},{LEAD}",
        f"--container={CONTAINER}",
        "--follow",
        "--tail=-1",
    )


def delete(spec: Run, namespace: str = NAMESPACE) -> Argv:
    """Deletes the JobSet with its pods; they get SIGTERM and the grace time to save."""
    return ("kubectl", f"--namespace={namespace}", "delete", f"jobset/{spec.name}")


def pool_name(spec: LaunchSpec, index: int) -> str:
    """A node pool's name: at most 40 letters."""
    end = f"-{SLICE}-{index}"
    return f"{spec.name[: 40 - len(end)].rstrip('-')}{end}"


def create_pools(spec: LaunchSpec, cluster: str) -> list[Argv]:
    """A node pool for each slice.

    Args:
        spec: the run.
        cluster: a regional or zonal cluster in the zone's region.
    """
    tpu = spec.tpu
    topology = (f"--tpu-topology={tpu.topology_name}",) if tpu.hosts > 1 else ()
    return [
        (
            "gcloud",
            "container",
            "node-pools",
            "create",
            pool_name(spec, index),
            f"--project={spec.project}",
            f"--location={spec.zone.rpartition('-')[0]}",
            f"--cluster={cluster}",
            f"--node-locations={spec.zone}",
            f"--machine-type={tpu.machine_type}",
            *topology,
            *_pool_capacity(spec),
            "--quiet",
        )
        for index in range(spec.slices)
    ]


def delete_pools(spec: LaunchSpec, cluster: str) -> list[Argv]:
    """Deletes what `create_pools` created."""
    return [
        (
            "gcloud",
            "container",
            "node-pools",
            "delete",
            pool_name(spec, index),
            f"--project={spec.project}",
            f"--location={spec.zone.rpartition('-')[0]}",
            f"--cluster={cluster}",
            "--quiet",
        )
        for index in range(spec.slices)
    ]


def _pool_capacity(spec: LaunchSpec) -> tuple[str, ...]:
    hosts = spec.tpu.hosts
    if spec.capacity == FLEX_START:  # nodes come when pods ask for them, all of a slice at once
        return (
            "--flex-start",
            "--enable-autoscaling",
            "--num-nodes=0",
            "--min-nodes=0",
            f"--max-nodes={hosts}",
            "--reservation-affinity=none",
            "--no-enable-autorepair",
            f"--max-run-duration={spec.max_run_duration}",
        )
    nodes = f"--num-nodes={hosts}"
    if spec.capacity == SPOT:
        return (nodes, "--spot")
    if spec.capacity == RESERVATION:
        return (nodes, "--reservation-affinity=specific", f"--reservation={spec.reservation}")
    return (nodes,)


def plan(action: str, options: argparse.Namespace) -> list[Argv]:
    """The commands of an action, in order.

    Raises:
        UserError: flags that make no `Run` or `LaunchSpec`; ``pools`` without a cluster.
    """
    if action in FINDING:
        command = {"status": status, "logs": logs, "delete": delete}[action]
        return [command(run_from(options), options.namespace)]
    if action == "pools":
        if options.cluster is None:
            raise UserError("node pools belong to a cluster: give --cluster")
        return create_pools(spec_from(options), options.cluster)
    return [apply(options.namespace)]


STARTING, FINDING = ("up", "show", "pools"), ("status", "logs", "delete")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        commands = plan(options.action, options)
        manifest = ""
        if options.action in ("up", "show"):
            spec = spec_from(options)
            manifest = jobset_yaml(spec, queue=options.queue, priority=options.priority)
        if options.action == "show":
            print(manifest, end="")
            return 0
        do = _do if options.execute else _print
        code = do(options.action, commands, manifest)
    except UserError as error:
        print(f"launch.gke: error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    if options.action == "pools":
        for argv in delete_pools(spec_from(options), options.cluster):
            print(f"# delete: {shown(argv)}")
    elif options.action == "up":
        print(f"# watch:  {shown(logs(spec, options.namespace))}")
        print(f"# delete: {shown(delete(spec, options.namespace))}")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m launch.gke", description=__doc__.partition("\n")[0], allow_abbrev=False
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name in (*STARTING, *FINDING):
        action = actions.add_parser(name, help=HELP[name], allow_abbrev=False)
        add_run_arguments(action)
        action.add_argument("--namespace", default=NAMESPACE, metavar="NAME", help="'default'")
        if name in STARTING:
            action.add_argument("--cluster", metavar="NAME", help="for the node pools")
            action.add_argument("--queue", metavar="NAME", help="Kueue's LocalQueue, if any")
            action.add_argument("--priority", metavar="NAME", help="Kubernetes PriorityClass")
            add_arguments(action, secret="SECRET/KEY")
    return parser


def _print(action: str, commands: Sequence[Argv], manifest: str) -> int:
    print("# would run (--execute does it):")
    for argv in commands:
        print(shown(argv))
    if action == "up":
        print(f"# with this on its standard input:\n{manifest}", end="")
    return 0


def _do(action: str, commands: Sequence[Argv], manifest: str) -> int:
    if action in ("status", "logs"):
        return run(commands[0], capture=False).code
    for argv in commands:
        print(must(argv, stdin=manifest if action == "up" else None).out, end="", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
