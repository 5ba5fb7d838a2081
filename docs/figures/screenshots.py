"""Makes the guides' screenshots again, with Chromium:

python docs/figures/screenshots.py --run=runs/synthetic/ada_ensemble --compare=runs/frappe/compare

The run and the comparison have their report.html (`ada-ensemble report`). A logistic regression beside the run is in
its report. The pictures that are here show a table of films that people liked, whose label, bins and weekdays a schema
file declares.
"""

import argparse
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).parent
WIDTH, HEIGHT = 1200, 900
COLORS = 128
DEADLINE_SECONDS = 300.0


def screenshot(url: str, name: str, height: int = HEIGHT) -> None:
    """Saves a page, as it is after some seconds, as NAME.png."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("error: there is no Chromium; install it (apt-get install chromium)")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=30000"]
    target = FOLDER / f"{name}.png"
    target.unlink(missing_ok=True)
    subprocess.run(
        [chromium, *options, f"--window-size={WIDTH},{height}", f"--screenshot={target}", url],
        check=True, timeout=DEADLINE_SECONDS, capture_output=True,
    )  # fmt: skip
    if not target.exists():
        sys.exit(f"error: {url}: Chromium made no picture of it")
    # Of few colours, which text and lines need no more of: a third of the size.
    picture = Image.open(target).convert("RGB")
    picture.quantize(COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(target, optimize=True)
    print(f"{target}: {target.stat().st_size / 1024:.0f} KiB")


def free_port() -> int:
    """A port that nothing listens to."""
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]


def tensorboard(run: Path) -> None:
    """Saves TensorBoard's charts of a run."""
    port, deadline = free_port(), time.monotonic() + DEADLINE_SECONDS
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={run}", f"--port={port}", "--load_fast=false"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            with socket.socket() as one:
                if one.connect_ex(("localhost", port)) == 0:
                    break
            if time.monotonic() > deadline or server.poll() is not None:
                sys.exit(f"error: TensorBoard did not start; try {' '.join(command)}")
            time.sleep(0.5)
        screenshot(f"http://localhost:{port}/#custom_scalars", "tensorboard")
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    """Makes those that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a training's directory: report.png and tensorboard.png")
    parser.add_argument("--compare", type=Path, help="a comparison's directory: comparison.png")
    parser.add_argument("--height", type=int, default=1500, help="of the pages' heads, in pixels")
    arguments = parser.parse_args()
    for folder, name in ((arguments.run, "report"), (arguments.compare, "comparison")):
        if folder and not (folder / "report.html").is_file():
            parser.error(f"{folder}: no report.html; make it with ada-ensemble report")
        if folder:
            screenshot((folder / "report.html").absolute().as_uri(), name, arguments.height)
    if arguments.run:
        tensorboard(arguments.run)


if __name__ == "__main__":
    main()
