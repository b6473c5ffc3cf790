# SPDX-License-Identifier: Apache-2.0
"""Images of a Linux guest that QEMU and makedumpfile write, against pmemsave; ours, opened by crash,
makedumpfile and readelf.

MICROVMI_TEST_MAKEDUMPFILE names another makedumpfile than the installed one: Debian's has neither
snappy nor zstd, and what a makedumpfile does not have cannot be asked of it."""
import os
import pathlib
import shutil
import struct
import subprocess
import time
import unittest

import libkdumpfile
from qemu import PROGRAM, Qemu
from support import RAW, CliTest

GUEST = pathlib.Path(__file__).parent.parent.parent / "scripts" / "linux-guest"
MAKEDUMPFILE = os.environ.get("MICROVMI_TEST_MAKEDUMPFILE", "makedumpfile")
NEEDED = (MAKEDUMPFILE, "crash", "readelf")
BOOT_SECONDS = 240
WRITTEN = ("elf", "kdump-zlib", "kdump-zstd")
COMPRESSIONS = {"none": [], "zlib": ["-c"], "lzo": ["-l"], "snappy": ["-p"], "zstd": ["-z"]}


def compressions():
    """Those that this makedumpfile has; of an option for another it only says that it ignores it."""
    told = subprocess.run([MAKEDUMPFILE, "-v"], capture_output=True, text=True, check=True)
    lines = [line.split() for line in (told.stdout + told.stderr).splitlines()]
    return {name: option for name, option in COMPRESSIONS.items()
            if name in ("none", "zlib") or [name, "enabled"] in lines}


def memory_with_a_log(text):
    """A kernel before 5.10 as crash's --log knows it: VMCOREINFO names four variables, the first of
    which points to the text. x86-64 maps its kernel at 0xffffffff80000000."""
    at, virtual = 0x1000000, 0xffffffff80000000
    out = bytearray(32 << 20)
    struct.pack_into("<QQQQ", out, at, virtual + at + 0x1000, len(text), 4096, len(text))
    out[at + 0x1000:at + 0x1000 + len(text)] = text
    names = ("log_buf", "log_end", "log_buf_len", "logged_chars")
    lines = ["OSRELEASE=4.9.0-made-up", "PAGESIZE=4096", "NUMBER(phys_base)=0",
             f"SYMBOL(_stext)={virtual + at:x}"]
    lines += [f"SYMBOL({name})={virtual + at + 8 * i:x}" for i, name in enumerate(names)]
    info = "\n".join([*lines, ""]).encode()
    note = struct.pack("<III", 11, len(info), 0) + b"VMCOREINFO\0\0" + info
    out[0x3000:0x3000 + len(note)] = note
    return bytes(out)


class ToolTest(CliTest):
    def setUp(self):
        super().setUp()
        for tool in NEEDED:
            if not shutil.which(tool):
                self.skipTest(f"{tool} is not installed")
        if not libkdumpfile.NAME:
            self.skipTest("libkdumpfile is not installed")

    def run_other(self, *command, **more):
        done = subprocess.run([str(word) for word in command], cwd=self.folder, timeout=100,
                              capture_output=True, check=False, **more)
        self.assertEqual(done.returncode, 0, done)
        return done.stdout


class LogTest(ToolTest):
    def test_crash_reads_the_log_of_what_we_write(self):
        self.file("guest.raw", memory_with_a_log(b"hello from the log\nsecond line\n"))
        for shape in WRITTEN:
            self.ok("convert", "guest.raw", f"ours.{shape}", f"--format={shape}", RAW)
            # Of a compressed dump without registers it warns first that there are no processors.
            release = self.run_other("crash", "--osrelease", f"ours.{shape}").decode()
            self.assertEqual(release.splitlines()[-1], "4.9.0-made-up", shape)
            log = self.run_other("crash", "--log", f"ours.{shape}").decode()
            self.assertEqual(log.splitlines()[-2:], ["hello from the log", "second line"], shape)


class ImageToolsTest(ToolTest):
    def setUp(self):
        super().setUp()
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
        for shape in WRITTEN:
            told = self.run_other("crash", "--osrelease", f"ours.{shape}").decode().strip()
            self.assertRegex(told, r"^\d+\.\d+\.\d+")
            self.assertIn(told, release)
        for shape in WRITTEN:
            theirs = libkdumpfile.memory_of(self.path(f"ours.{shape}"), len(self.truth))
            self.assertTrue(theirs == self.truth, f"libkdumpfile reads other pages from {shape}")
        for shape in ("elf", "kdump-zlib", *(["kdump-zstd"] if "zstd" in compressions() else [])):
            self.run_other(MAKEDUMPFILE, "--dump-dmesg", f"ours.{shape}", f"dmesg.{shape}")
            self.assertIn(f"Linux version {told}", self.path(f"dmesg.{shape}").read_text())
        notes = self.run_other("readelf", "-n", "-W", "ours.elf").decode()
        for name in ("CORE", "QEMU", "VMCOREINFO", "MICROVMI"):
            self.assertIn(name, notes)

    def check_what_makedumpfile_writes(self):
        for name, option in compressions().items():
            self.run_other(MAKEDUMPFILE, *option, "-d", "0", "ours.elf", f"made.{name}")
            self.assertEqual(self.ok("info", "--json", f"made.{name}").json["facts"]["compression"], name)
            self.check_memory(f"made.{name}")
        self.run_other(MAKEDUMPFILE, "-c", "-d", "0", "--split", "ours.elf", "split.1", "split.2",
                       "split.3")
        self.check_memory("split.2")
        self.check_memory("split.1", "--memflow-coredump-parts=split.2",
                          "--memflow-coredump-parts=split.3")
        # Our compressed dump as its source: all pages, then without those that are zeros or unused.
        self.run_other(MAKEDUMPFILE, "-l", "-d", "0", "ours.kdump-zlib", "again")
        self.check_memory("again")
        self.run_other(MAKEDUMPFILE, "-c", "-d", "31", "ours.kdump-zlib", "filtered")
        self.assertLess(self.path("filtered").stat().st_size, self.path("again").stat().st_size)
        kept = self.ok("info", "--json", "filtered").json
        self.assertEqual(kept["facts"]["dump_level"], 31)
        flattened = self.run_other(MAKEDUMPFILE, "-l", "-d", "0", "-F", "ours.elf")
        self.file("flattened", flattened)
        self.check_memory("flattened")


if __name__ == "__main__":
    unittest.main()
