"""How many processes there are, by what SLURM, Open MPI, GKE and Cloud TPU say."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from flan_t5x.parallel import cluster

SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "node[1-4]",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
}
# As documented for GKE and as jax reads them.
GKE = {"TPU_WORKER_HOSTNAMES": "a.svc,b.svc,c.svc,d.svc", "TPU_WORKER_ID": "2"}
SLICES = {"MEGASCALE_NUM_SLICES": "2", "MEGASCALE_SLICE_ID": "1"}
NOTHING: dict[str, str] = {}


@pytest.mark.parametrize(
    ("environment", "count"),
    [
        (NOTHING, 1),
        (SLURM, 4),
        ({**SLURM, "SLURM_NTASKS": "1"}, 1),
        # In a batch script, outside of srun, only some are set: one process.
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, 1),
        (GKE, 4),
        ({**GKE, **SLICES}, 8),
        ({"TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"}, 1),
        ({"TPU_WORKER_HOSTNAMES": "localhost", **SLICES}, 2),
        ({"TPU_PROCESS_ADDRESSES": "a:8471,b:8471", "TPU_WORKER_HOSTNAMES": "a"}, 2),
        ({"OMPI_MCA_orte_hnp_uri": "1.0;tcp://10.0.0.1:3", "OMPI_COMM_WORLD_SIZE": "3"}, 3),
    ],
)
def test_from_the_environment(environment: Mapping[str, str], count: int) -> None:
    assert cluster.process_count({"JAX_PLATFORMS": "cpu", **environment}) == count


@pytest.mark.parametrize(
    ("attributes", "count"),
    [
        ({}, 1),
        ({"worker-network-endpoints": "10.0.0.2"}, 1),
        ({"worker-network-endpoints": "unknown:a:10.0.0.2,unknown:b:10.0.0.3"}, 2),
        (
            {
                "worker-network-endpoints": "10.0.0.2,10.0.0.3",
                "tpu-env": "ACCELERATOR_TYPE: 'v4-16'\nMEGASCALE_NUM_SLICES: '3'\n",
            },
            6,
        ),
    ],
)
def test_from_the_metadata_server(attributes: Mapping[str, str], count: int) -> None:
    assert cluster.process_count({}, metadata=attributes.get) == count


@pytest.fixture
def server() -> Iterator[str]:
    """A metadata server with one attribute."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            right = self.path.endswith("/attributes/worker-network-endpoints")
            self.send_response(200 if right and self.headers["Metadata-Flavor"] else 404)
            self.end_headers()
            self.wfile.write(b"10.0.0.2,10.0.0.3" if right else b"")

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{running.server_port}"
        running.shutdown()


def test_reading_an_attribute(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_IP", server)
    assert cluster.read_metadata("worker-network-endpoints") == "10.0.0.2,10.0.0.3"
    assert cluster.read_metadata("tpu-env") is None
    assert cluster.process_count({}, metadata=cluster.read_metadata) == 2
    monkeypatch.setenv("GCE_METADATA_IP", "127.0.0.1:9")
    assert cluster.read_metadata("tpu-env") is None
