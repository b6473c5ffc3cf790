# SPDX-License-Identifier: Apache-2.0
"""run.py [OPTIONS] PROGRAM...: boots a real Xen in QEMU and runs inside.sh with these programs in dom0.

What it prints comes out here, and its exit status; 77 where this machine cannot, with the reason."""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
SKIPPED = 77
# What Xen and TCG together need to be without; README.md says why.
CPU = ("EPYC-v1,+svm,+npt,-monitor,-smap,-rdtscp,-rdseed,-sha-ni,-fxsr-opt,-misalignsse,"
       "-3dnowprefetch,-osvw,-topoext,-nrip-save,-xsave,-avx,-avx2,-f16c,-fma")
XEN = ("com1=115200,8n1 console=com1 dom0_mem=512M,max:512M dom0_max_vcpus=1 loglvl=all "
       "guest_loglvl=all conring_size=1m spec-ctrl=no bootscrub=0 cpuidle=0")
DOM0 = "console=hvc0 panic=1 quiet"
END = re.compile(r"dom0: end status=(\d+)")


def skip(why):
    print("Skipped\n" + why)
    sys.exit(SKIPPED)


def refuse(why):
    """As other tests do it: CI insists on its QEMU."""
    if os.environ.get("MICROVMI_REQUIRE_QEMU"):
        sys.exit("run.py: " + why)
    skip(why)


def host_folder():
    made = subprocess.run([HERE / "make-host"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False, timeout=900)
    if made.returncode == SKIPPED:
        refuse(made.stderr.strip())
    if made.returncode != 0:
        sys.exit(f"run.py: no Xen could be made:\n{made.stderr}")
    return pathlib.Path(made.stdout.strip())


def libraries(program):
    listed = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True).stdout
    if "not found" in listed:
        sys.exit(f"run.py: {program} needs a library that is not here:\n{listed}")
    return re.findall(r"(/\S+)", listed)


def make_payload(folder, arguments):
    """The programs without their symbols, and every library that they need."""
    root = folder / "root"
    for name in ("payload/bin", "payload/lib"):
        (root / name).mkdir(parents=True)
    for program in arguments.programs:
        wanted = {program: "bin"} | {library: "lib" for library in libraries(program)}
        for path, where in wanted.items():
            to = root / "payload" / where / os.path.basename(path)
            if not to.exists():
                subprocess.run(["strip", "-o", to, os.path.realpath(path)], check=True)
                to.chmod(0o755)
    shutil.copy(arguments.script, root / "payload" / "run.sh")
    (root / "payload" / "settings").write_text(
        "".join(f"export {setting}\n" for setting in arguments.set))
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    with open(folder / "payload.cpio", "wb") as out:
        subprocess.run(["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet"], cwd=root,
                       input=names.encode(), stdout=out, check=True)


def command(host, folder):
    return ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", CPU, "-smp", "1",
            "-m", "1280", "-kernel", str(host / "xen"), "-append", XEN,
            "-initrd", f"{host / 'vmlinuz'} {DOM0},{folder / 'initrd'}",
            "-serial", f"file:{folder / 'console'}", "-serial", "stdio"]


def boot(host, folder, seconds):
    """Prints what dom0 says as it comes; the status that it ended with, None if it did not."""
    with subprocess.Popen(command(host, folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as qemu:
        timer = threading.Timer(seconds, qemu.kill)
        timer.start()
        status = None
        try:
            for line in qemu.stdout:
                text = line.decode(errors="replace").rstrip("\r\n")
                print(text, flush=True)
                if (end := END.search(text)) is not None:
                    status = int(end[1])
                    break
        finally:
            timer.cancel()
            qemu.kill()
    return status


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("programs", nargs="+")
    parser.add_argument("--script", default=HERE / "inside.sh", help="what dom0 runs")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--seconds", type=float, default=800, help="until all has to be done")
    parser.add_argument("--console", help="a file for what Xen and dom0's kernel said")
    return parser.parse_args()


def main():
    asked = arguments()
    for program in ("qemu-system-x86_64", "setpriv", "cpio", "strip", "ldd"):
        if shutil.which(program) is None:
            refuse(f"no {program}: run scripts/install-packages demo test")
    host = host_folder()
    with tempfile.TemporaryDirectory(prefix="microvmi-xen-") as name:
        folder = pathlib.Path(name)
        make_payload(folder, asked)
        with open(folder / "initrd", "wb") as out:
            for part in (host / "dom0.cpio", folder / "payload.cpio"):
                with open(part, "rb") as source:
                    shutil.copyfileobj(source, out)
        start = time.monotonic()
        status = boot(host, folder, asked.seconds)
        console = (folder / "console").read_text(errors="replace") \
            if (folder / "console").exists() else ""
        if asked.console:
            pathlib.Path(asked.console).write_text(console)
        print(f"run.py: status {status} after {time.monotonic() - start:.0f} s")
        if status != 0:
            print("run.py: the end of Xen's console:\n" + "\n".join(console.splitlines()[-60:]))
        if status is None:
            sys.exit("run.py: dom0 did not come to an end")
        sys.exit(status)


if __name__ == "__main__":
    main()
