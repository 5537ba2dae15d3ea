"""The JobSet of a run: one Job per slice, one pod per host, restarted together.

What happens to a pod's exit code (`flan_t5x.errors`):

| code       | meaning                    | the JobSet                                    |
|------------|----------------------------|-----------------------------------------------|
| 0          | done                       | completes                                     |
| 2, 3       | bad input, loss not finite | fails at once: the pod failure policy fails   |
|            |                            | the Job, and the failure policy the JobSet    |
| all others | stopped, lost, stalled ... | all Jobs start again, up to `max_restarts`    |

GKE tells TPU pods of a JobSet which worker and slice they are (TPU_WORKER_HOSTNAMES,
TPU_WORKER_ID, MEGASCALE_*), from which jax finds the others.
"""

from __future__ import annotations

from typing import Any

import yaml

from flan_t5x.errors import EXIT_BAD_INPUT, EXIT_NON_FINITE, UserError
from launch.spec import BUCKET_FOLDER, FLEX_START, RESERVATION, SPOT, LaunchSpec

CONTAINER = "flan-t5x"
SLICE = "slice"
"""Name of the replicated job."""

LEAD = "jobset.sigs.k8s.io/job-index=0,batch.kubernetes.io/job-completion-index=0"
"""Labels of the first host of the first slice."""

FOR_GOOD = (EXIT_BAD_INPUT, EXIT_NON_FINITE)
"""Exit codes that another start would only meet again."""

_SHARED_MEMORY = "shared-memory"
_BUCKET = "bucket"
_TPU = "google.com/tpu"


def jobset_yaml(spec: LaunchSpec, *, queue: str | None = None, priority: str | None = None) -> str:
    """The JobSet as text for `kubectl apply`."""
    made = jobset(spec, queue=queue, priority=priority)
    return str(yaml.safe_dump(made, sort_keys=False, width=100))


def jobset(
    spec: LaunchSpec, *, queue: str | None = None, priority: str | None = None
) -> dict[str, Any]:
    """The JobSet (jobset.x-k8s.io/v1alpha2).

    Args:
        spec: the run.
        queue: Kueue's LocalQueue, which starts it when there is room; None starts at once.
        priority: a PriorityClass of the cluster.

    Raises:
        UserError: a secret's reference that is not of the form SECRET/KEY.
    """
    queued = {"kueue.x-k8s.io/queue-name": queue} if queue else {}
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {
            "name": spec.name,
            "labels": {"app": "flan-t5x", **queued},
            # One slice of machines for each Job, never two halves.
            "annotations": {
                "alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"
            },
        },
        "spec": {
            "failurePolicy": {
                "maxRestarts": spec.max_restarts,
                "rules": [
                    {
                        "name": "failsForGood",
                        "action": "FailJobSet",
                        "onJobFailureReasons": ["PodFailurePolicy"],
                    }
                ],
            },
            "replicatedJobs": [
                {"name": SLICE, "replicas": spec.slices, "template": {"spec": _job(spec, priority)}}
            ],
        },
    }


def _job(spec: LaunchSpec, priority: str | None) -> dict[str, Any]:
    hosts = spec.tpu.hosts
    return {
        "parallelism": hosts,
        "completions": hosts,
        "completionMode": "Indexed",
        "backoffLimit": 0,  # one pod alone cannot start again: the JobSet starts them all
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "FailJob",
                    "onExitCodes": {
                        "containerName": CONTAINER,
                        "operator": "In",
                        "values": list(FOR_GOOD),
                    },
                }
            ]
        },
        "template": _pod(spec, priority),
    }


def _pod(spec: LaunchSpec, priority: str | None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"labels": {"app": "flan-t5x", "run": spec.name}}
    mounts = [{"name": _SHARED_MEMORY, "mountPath": "/dev/shm"}]
    volumes: list[dict[str, Any]] = [{"name": _SHARED_MEMORY, "emptyDir": {"medium": "Memory"}}]
    if spec.bucket is not None:
        metadata["annotations"] = {"gke-gcsfuse/volumes": "true"}
        mounts.append({"name": _BUCKET, "mountPath": BUCKET_FOLDER})
        volumes.append(
            {
                "name": _BUCKET,
                "csi": {
                    "driver": "gcsfuse.csi.storage.gke.io",
                    "volumeAttributes": {
                        "bucketName": spec.bucket,
                        "mountOptions": "implicit-dirs",
                    },
                },
            }
        )
    account = {"serviceAccountName": spec.service_account} if spec.service_account else {}
    chips = spec.tpu.chips_per_host
    return {
        "metadata": metadata,
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": spec.grace_seconds,
            "hostNetwork": True,
            "dnsPolicy": "ClusterFirstWithHostNet",
            **account,
            **({"priorityClassName": priority} if priority else {}),
            "nodeSelector": _node_selector(spec),
            "tolerations": [{"key": _TPU, "operator": "Exists", "effect": "NoSchedule"}],
            "containers": [
                {
                    "name": CONTAINER,
                    "image": spec.image,
                    "command": list(spec.program),
                    "env": _variables(spec),
                    "resources": {"limits": {_TPU: chips}, "requests": {_TPU: chips}},
                    "volumeMounts": mounts,
                }
            ],
            "volumes": volumes,
        },
    }


def _node_selector(spec: LaunchSpec) -> dict[str, str]:
    capacity = {
        SPOT: {"cloud.google.com/gke-spot": "true"},
        FLEX_START: {"cloud.google.com/gke-flex-start": "true"},
        RESERVATION: {"cloud.google.com/reservation-name": spec.reservation or ""},
    }
    return {
        "cloud.google.com/gke-tpu-accelerator": spec.tpu.generation.gke_accelerator,
        "cloud.google.com/gke-tpu-topology": spec.tpu.topology_name,
        **capacity.get(spec.capacity, {}),
    }


def _variables(spec: LaunchSpec) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "value": value} for name, value in spec.variables.items()
    ]
    for name, reference in spec.secrets.items():
        secret, _, key = reference.partition("/")
        if not secret or not key or "/" in key:
            raise UserError(
                f"--secret {name}=...: give SECRET/KEY, the name of a Kubernetes Secret and of a "
                "key in it, not the value"
            )
        found.append({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
    return found
