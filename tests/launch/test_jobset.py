"""The JobSet: valid by its schemas, the right size, restarts and secrets as they should be.

With $FLAN_T5X_JOBSET_CRD naming jobset.x-k8s.io_jobsets.yaml of a JobSet release, manifests are
checked against that as well: its schema has the whole of a Job and its pods in it.
"""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from flan_t5x import errors
from flan_t5x.errors import UserError
from launch import gke
from launch.jobset import FOR_GOOD, jobset, jobset_yaml
from launch.spec import CAPACITIES
from tests.launch import schema
from tests.launch.specs import ACCELERATORS, spec

CRD = os.environ.get("FLAN_T5X_JOBSET_CRD")
COMBINATIONS = list(itertools.product(ACCELERATORS, CAPACITIES, (1, 3)))


def pod(made: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = job(made)["template"]["spec"]
    return found


def job(made: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = made["spec"]["replicatedJobs"][0]["template"]["spec"]
    return found


@pytest.mark.parametrize(("accelerator", "capacity", "slices"), COMBINATIONS)
def test_valid(accelerator: str, capacity: str, slices: int) -> None:
    one = spec(accelerator, capacity, slices, service_account="runner")
    text = jobset_yaml(one, queue="queue-1", priority="high")
    assert list(schema.problems(yaml.safe_load(text), schema.ours())) == []


@pytest.mark.skipif(CRD is None, reason="set FLAN_T5X_JOBSET_CRD to JobSet's own schema")
def test_valid_by_the_schema_of_a_release() -> None:
    crd = schema.of_crd(Path(CRD or ""))
    for accelerator, capacity, slices in COMBINATIONS:
        text = jobset_yaml(spec(accelerator, capacity, slices), queue="q", priority="high")
        assert list(schema.problems(yaml.safe_load(text), crd)) == []
        broken = jobset(spec(accelerator, capacity, slices))
        job(broken)["backofLimit"] = 0
        assert list(schema.problems(broken, crd))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda made: job(made).update(backofLimit=1), "no field backofLimit"),
        (lambda made: job(made).update(parallelism="4"), "'4' is no integer"),
        (lambda made: made["metadata"].update(name="A b"), "does not match"),
        (lambda made: made["spec"]["failurePolicy"].update(maxRestarts=-1), "below 0"),
        (lambda made: pod(made).pop("containers"), "containers is missing"),
        (lambda made: pod(made).update(restartPolicy="Always"), "none of"),
    ],
)
def test_the_schema_finds_mistakes(change: Any, words: str) -> None:
    made = json.loads(json.dumps(jobset(spec())))
    change(made)
    (found,) = schema.problems(made, schema.ours())
    assert words in found


@pytest.mark.parametrize("slices", [1, 4])
def test_a_pod_for_every_host_and_its_chips(slices: int) -> None:
    one = spec("v5p-4x4x8", slices=slices)
    made = jobset(one)
    assert made["spec"]["replicatedJobs"][0]["replicas"] == slices
    assert (job(made)["parallelism"], job(made)["completions"]) == (32, 32)
    (container,) = pod(made)["containers"]
    assert container["resources"]["limits"] == {"google.com/tpu": 4}
    assert one.processes == 32 * slices
    assert pod(made)["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5p-slice",
        "cloud.google.com/gke-tpu-topology": "4x4x8",
    }


def test_what_is_started_again() -> None:
    """Exit codes of a configuration that is wrong fail the whole; all others start again."""
    made = jobset(spec(max_restarts=7, grace_seconds=900))
    (rule,) = job(made)["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"]["values"] == [errors.EXIT_BAD_INPUT, errors.EXIT_NON_FINITE]
    assert not {errors.EXIT_PREEMPTED, errors.EXIT_STALLED, errors.EXIT_DISCONNECTED} & {*FOR_GOOD}
    assert rule["onExitCodes"]["containerName"] == pod(made)["containers"][0]["name"]
    assert job(made)["backoffLimit"] == 0
    assert pod(made)["restartPolicy"] == "Never"  # what a pod failure policy asks for
    policy = made["spec"]["failurePolicy"]
    assert policy["maxRestarts"] == 7
    assert policy["rules"][0]["action"] == "FailJobSet"
    assert policy["rules"][0]["onJobFailureReasons"] == ["PodFailurePolicy"]
    assert pod(made)["terminationGracePeriodSeconds"] == 900


def test_a_single_host_does_not_wait_for_others() -> None:
    (alone,) = pod(jobset(spec("v5e-4")))["containers"]
    assert not any("--join_seconds" in word for word in alone["command"])
    (one_of_two,) = pod(jobset(spec("v5e-4", slices=2)))["containers"]
    assert "--join_seconds=600" in one_of_two["command"]


@pytest.mark.parametrize("reference", ["hf_value", "a/b/c", "/key", "name/"])
def test_a_secret_is_a_reference(reference: str) -> None:
    with pytest.raises(UserError, match="SECRET/KEY") as caught:
        jobset(spec(secrets={"HF_TOKEN": reference}))
    assert reference not in str(caught.value)


LINE = ["--name=mine", "--accelerator=v6e-64", "--project=p", "--zone=us-east5-a", "--image=i"]


def test_up_prints_and_does_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert gke.main(["up", *LINE, "--queue=q", "train", "--gin_file=smoke.gin"]) == 0
    out = capsys.readouterr().out
    assert "kubectl --namespace=default apply --filename=-" in out
    assert "kueue.x-k8s.io/queue-name: q" in out
    assert "# watch:  kubectl" in out
    assert "# delete: kubectl --namespace=default delete jobset/mine" in out


def test_show_is_a_manifest_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert gke.main(["show", *LINE, "train"]) == 0
    made = yaml.safe_load(capsys.readouterr().out)
    assert list(schema.problems(made, schema.ours())) == []


def test_execute_hands_the_manifest_to_kubectl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = tmp_path / "kubectl"
    fake.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/words\ncat > {tmp_path}/manifest\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert gke.main(["up", *LINE, "--execute", "train"]) == 0
    assert (tmp_path / "words").read_text().split() == list(gke.apply())[1:]
    made = yaml.safe_load((tmp_path / "manifest").read_text())
    assert made["metadata"]["name"] == "mine"
    fake.write_text("#!/bin/sh\necho 'error: no cluster' >&2\nexit 1\n")
    assert gke.main(["up", *LINE, "--execute", "train"]) == errors.EXIT_BAD_INPUT
    assert "failed with exit code 1: error: no cluster" in capsys.readouterr().err


def test_pools_need_a_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    assert gke.main(["pools", *LINE, "train"]) == errors.EXIT_BAD_INPUT
    assert "give --cluster" in capsys.readouterr().err
    assert gke.main(["pools", *LINE, "--slices=2", "--cluster=c", "train"]) == 0
    out = capsys.readouterr().out
    assert out.count("node-pools create mine-slice-") == 2
    assert "--location=us-east5" in out
    assert out.count("# delete: gcloud container node-pools delete") == 2
