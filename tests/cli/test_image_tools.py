# SPDX-License-Identifier: Apache-2.0
"""Images of a Linux guest that QEMU and makedumpfile write, against pmemsave; ours, opened by crash,
makedumpfile and readelf."""
import pathlib
import shutil
import subprocess
import time
import unittest

from qemu import PROGRAM, Qemu
from support import CliTest

GUEST = pathlib.Path(__file__).parent.parent.parent / "scripts" / "linux-guest"
NEEDED = ("makedumpfile", "crash", "readelf")
BOOT_SECONDS = 240
COMPRESSIONS = {"none": [], "zlib": ["-c"], "lzo": ["-l"], "snappy": ["-p"]}


class ImageToolsTest(CliTest):
    def setUp(self):
        super().setUp()
        for tool in NEEDED:
            if not shutil.which(tool):
                self.skipTest(f"{tool} is not installed")
        if not PROGRAM:
            self.skipTest("qemu-system-x86_64 is not installed")
        made = subprocess.run([GUEST], capture_output=True, text=True, timeout=110, check=False)
        if made.returncode:
            self.skipTest(f"no Linux guest: {made.stdout}{made.stderr}")
        self.boot(pathlib.Path(made.stdout.split()[-1]))

    def boot(self, guest):
        serial = self.path("serial")
        self.qemu = Qemu(self.folder, "images", "-m", "128M", "-smp", "2", "-serial", f"file:{serial}",
                         "-kernel", guest / "vmlinuz", "-initrd", guest / "initramfs.gz", "-append",
                         "console=ttyS0 quiet panic=-1 microvmi.stamp=4")
        self.addCleanup(self.qemu.stop)
        end = time.monotonic() + BOOT_SECONDS
        while "guest: ready" not in (serial.read_text(errors="replace") if serial.exists() else ""):
            self.assertLess(time.monotonic(), end, "no guest")
            self.assertIsNone(self.qemu.process.poll(), "QEMU ended")
            time.sleep(0.2)
        self.qemu.ask("stop")
        self.truth = self.qemu.memory(0, 128 << 20, self.path("truth"))

    def run_other(self, *command, **more):
        done = subprocess.run([str(word) for word in command], cwd=self.folder, timeout=100,
                              capture_output=True, check=False, **more)
        self.assertEqual(done.returncode, 0, done)
        return done.stdout

    def check_memory(self, image, *options):
        self.ok("convert", image, "again.raw", "--format=raw", *options)
        again = self.path("again.raw").read_bytes()
        self.assertEqual(len(again), len(self.truth), image)
        different = sum(again[at:at + 4096] != self.truth[at:at + 4096]
                        for at in range(0, len(again), 4096))
        self.assertEqual(different, 0, f"pages of {image}")

    def test_one_guest_through_all_tools(self):
        self.qemu.ask("dump-guest-memory", paging=False, format="kdump-zlib",
                      protocol=f"file:{self.path('qemu.kdump')}")
        self.check_memory("qemu.kdump")
        for shape in ("elf", "kdump-zlib", "kdump-zstd", "lime"):
            report = self.ok("convert", "qemu.kdump", f"ours.{shape}", f"--format={shape}",
                             "--verify", "--json").json
            if shape != "lime":
                self.assertEqual((report["vcpus"], report["vmcoreinfo"]), (2, True))
        self.check_what_others_read()
        self.check_what_makedumpfile_writes()

    def check_what_others_read(self):
        release = self.ok("info", "ours.elf").text
        for shape in ("kdump-zlib", "kdump-zstd"):
            told = self.run_other("crash", "--osrelease", f"ours.{shape}").decode().strip()
            self.assertRegex(told, r"^\d+\.\d+\.\d+")
            self.assertIn(told, release)
        # Debian's makedumpfile knows no zstd.
        self.run_other("makedumpfile", "--dump-dmesg", "ours.kdump-zlib", "dmesg")
        self.assertIn(f"Linux version {told}", self.path("dmesg").read_text())
        notes = self.run_other("readelf", "-n", "-W", "ours.elf").decode()
        for name in ("CORE", "QEMU", "VMCOREINFO", "MICROVMI"):
            self.assertIn(name, notes)

    def check_what_makedumpfile_writes(self):
        for name, option in COMPRESSIONS.items():
            self.run_other("makedumpfile", *option, "-d", "0", "ours.elf", f"made.{name}")
            self.check_memory(f"made.{name}")
        self.run_other("makedumpfile", "-c", "-d", "0", "--split", "ours.elf", "split.1", "split.2",
                       "split.3")
        self.check_memory("split.2")
        self.check_memory("split.1", "--memflow-coredump-parts=split.2",
                          "--memflow-coredump-parts=split.3")
        flattened = self.run_other("makedumpfile", "-l", "-d", "0", "-F", "ours.elf")
        self.file("flattened", flattened)
        self.check_memory("flattened")


if __name__ == "__main__":
    unittest.main()
