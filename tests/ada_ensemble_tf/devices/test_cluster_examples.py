"""The guide's examples for SLURM and Kubernetes give every machine a TF_CONFIG that the trainer reads."""

import os
import re
import subprocess
from pathlib import Path

import yaml

from ada_ensemble_tf.devices.cluster import Cluster, read_cluster

GUIDE = (Path(__file__).parents[3] / "docs" / "guides" / "distributed.md").read_text()


def block(language: str) -> str:
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    return text


def clusters(script: str, folder: Path, monkeypatch, **environment: str) -> list[Cluster]:
    """What the trainer reads in each training that a script starts, where commands are replaced by small ones."""
    made = {
        "scontrol": 'test "$*" = "show hostnames node[7-8]" && printf "node7\\nnode8\\n"',
        "srun": 'SLURM_NODEID=0 "$@" && SLURM_NODEID=1 "$@"',
        "ada-ensemble": 'test "$1" = train && echo "$TF_CONFIG"',
    }
    for name, body in made.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)
    path = {"PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-eu", "-c", script], env=path | environment, capture_output=True, text=True, check=True
    )
    found = []
    for line in done.stdout.splitlines():
        monkeypatch.setenv("TF_CONFIG", line)
        found.append(read_cluster())
    return found


def test_slurm(tmp_path, monkeypatch):
    script = block("bash")
    assert script.startswith("#!/bin/bash\n#SBATCH")
    found = clusters(script, tmp_path, monkeypatch, SLURM_JOB_NODELIST="node[7-8]")
    assert found == [Cluster(("node7:2222", "node8:2222"), worker) for worker in (0, 1)]


def test_kubernetes(tmp_path, monkeypatch):
    service, job = yaml.safe_load_all(block("yaml"))
    pod, name = job["spec"]["template"]["spec"], job["metadata"]["name"]
    (container,) = pod["containers"]
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 2
    assert service["spec"]["selector"] == {"job-name": name}
    addresses = tuple(f"{name}-{i}.{service['metadata']['name']}:2222" for i in range(2))
    assert pod["subdomain"] == service["metadata"]["name"] and container["command"] == ["bash", "-c"]
    assert container["ports"] == [{"containerPort": 2222}]
    for worker in (0, 1):
        (script,) = container["args"]
        (found,) = clusters(script, tmp_path, monkeypatch, JOB_COMPLETION_INDEX=str(worker))
        assert found == Cluster(addresses, worker)
