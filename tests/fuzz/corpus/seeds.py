# SPDX-License-Identifier: Apache-2.0
"""Writes seeds for a fuzzer: TARGET.py calls write(FOLDER, SEEDS)."""
import pathlib
import sys


def write(seeds):
    """Each seed (str or bytes) into a file of the folder that the command line names."""
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(seeds):
        data = seed.encode() if isinstance(seed, str) else seed
        (folder / f"seed-{index:03}").write_bytes(data)
