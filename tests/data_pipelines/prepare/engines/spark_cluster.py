"""A real standalone Spark cluster on loopback: a master and two workers, each in its own process."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path


def missing() -> str | None:
    """Why no cluster can be started here, or None."""
    try:
        import pyspark  # noqa: F401
    except ImportError:
        return "PySpark is not installed (extra: spark)"
    return None if shutil.which("java") else "there is no Java"


@contextlib.contextmanager
def cluster(directory: Path) -> Iterator[str]:
    """Yields the master's URL once two workers of one core each are registered."""
    import pyspark

    spark_class = Path(pyspark.__file__).parent / "bin" / "spark-class"
    environment = os.environ | {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    processes = []

    def start(name: str, *arguments: str) -> Path:
        log = directory / f"{name}.log"
        command = [str(spark_class), *arguments]
        processes.append(subprocess.Popen(command, env=environment, stdout=log.open("wb"), stderr=subprocess.STDOUT))
        return log

    try:
        master = ["org.apache.spark.deploy.master.Master", "--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
        log = start("master", *master)
        url = _wait_for(log, r"Starting Spark master at (spark://\S+)")
        page = _wait_for(log, r"Bound MasterWebUI to \S*?, and started at (http://\S+)")
        for name in ("worker1", "worker2"):
            worker = ["org.apache.spark.deploy.worker.Worker", "--cores", "1", "--memory", "2g", "--webui-port", "0"]
            start(name, *worker, "--work-dir", str(directory / name), url)
        deadline = time.monotonic() + 180
        while json.load(urllib.request.urlopen(f"{page}/json/"))["aliveworkers"] < 2:
            assert time.monotonic() < deadline, "the workers did not register"
            time.sleep(0.2)
        yield url
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=30)


def _wait_for(log: Path, pattern: str) -> str:
    deadline = time.monotonic() + 180
    while not (found := re.search(pattern, log.read_text())):
        assert time.monotonic() < deadline, f"{pattern} is not in {log.read_text()[-2000:]}"
        time.sleep(0.1)
    return found.group(1)
