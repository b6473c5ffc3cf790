# SPDX-License-Identifier: Apache-2.0
"""thread_local_test.py OBJECT: what the SIGBUS handler and each copy look at lies in the thread's own
static block. Reached through a call, the first touch could allocate, within a signal handler."""
import platform
import subprocess
import sys

NAMES = ("t_copy_guard", "t_copied_to")
STATIC = ("R_X86_64_GOTTPOFF", "R_X86_64_TPOFF32", "R_X86_64_TPOFF64")


def ways(text):
    """{name: types of the relocations by which code reaches it}"""
    found, in_code = {name: set() for name in NAMES}, False
    for line in text.splitlines():
        if line.startswith("Relocation section"):
            in_code = ".text" in line
        for name in NAMES:
            # A wrapper or a section is reached by an ordinary relocation.
            if in_code and name in line and ("TLS" in line.split()[2] or "TPOFF" in line.split()[2]):
                found[name].add(line.split()[2])
    return found


def main():
    if platform.machine() != "x86_64":
        return 0  # the relocations of others have other names
    shown = subprocess.run(["readelf", "-rW", sys.argv[1]], capture_output=True, text=True, check=True)
    status = 0
    for name, types in ways(shown.stdout).items():
        if not types or not types <= set(STATIC):
            print(f"{name} is reached by {sorted(types)}, not by one of {STATIC}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
