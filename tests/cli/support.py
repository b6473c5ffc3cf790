# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command line share: running it apart from the user's settings, images."""
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest

# Ignored where a script or nohup started the tests, and then by all that they start.
for _number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(_number, signal.SIG_DFL)

TOOL = os.environ["MICROVMI_TOOL"]
RAW = "--memflow-coredump-format=raw"


@dataclasses.dataclass
class Result:
    code: int
    out: bytes
    err: str

    @property
    def text(self):
        return self.out.decode()

    @property
    def json(self):
        return json.loads(self.out)


def pattern(size):
    """Bytes of which no two aligned words are the same."""
    return b"".join(struct.pack("<Q", 0x5A00_0000_0000 + at) for at in range(0, size, 8))[:size]


def elf_core(segments):
    """An ELF64 core as the System V ABI's chapters 4 and 5 lay it out: [(gpa, bytes)]."""
    head = 64 + 56 * len(segments)
    ident = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)  # ELFCLASS64, ELFDATA2LSB, EV_CURRENT
    out = ident + struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56, len(segments), 0, 0, 0)
    offset = head
    for gpa, data in segments:
        out += struct.pack("<IIQQQQQQ", 1, 6, offset, 0, gpa, len(data), len(data), 0)
        offset += len(data)
    return out + b"".join(data for _, data in segments)


def soon(condition, seconds=60):
    """Whether it comes true; the time is generous, for a busy machine."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def guards(home):
    """The guard processes of the tools that this test ran, by their pids: other tests run beside it."""
    found = set()
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "exe").endswith("/microvmi-guard"):
                if f"HOME={home}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.add(int(entry.name))
        except OSError:
            pass
    return found


class CliTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="microvmi-cli-"))
        self.addCleanup(shutil.rmtree, self.folder)
        keep = ("PATH", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")
        self.env = {name: os.environ[name] for name in keep if name in os.environ}
        self.env.update(HOME=str(self.folder), LC_ALL="C.UTF-8", TERM="xterm")

    def path(self, name):
        return self.folder / name

    def file(self, name, content):
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def start(self, *args, **popen):
        popen = {"env": self.env, "cwd": self.folder, "stdin": subprocess.DEVNULL,
                 "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | popen
        return subprocess.Popen([TOOL, *map(str, args)], **popen)

    def run_tool(self, *args, stdin=b"", timeout=60, **popen):
        done = subprocess.run([TOOL, *map(str, args)], input=stdin, timeout=timeout, cwd=self.folder,
                              env=self.env, check=False, **{"capture_output": True} | popen)
        return Result(done.returncode, done.stdout or b"", (done.stderr or b"").decode())

    def ok(self, *args, **more):
        """Runs what must succeed without a word on stderr."""
        result = self.run_tool(*args, **more)
        self.assertEqual((result.code, result.err), (0, ""), result)
        return result

    def fails(self, code, *args, says=(), **more):
        """Runs what must fail, with nothing on stdout and each of the texts on stderr."""
        result = self.run_tool(*args, **more)
        self.assertEqual((result.code, result.out), (code, b""), result)
        for text in [says] if isinstance(says, str) else says:
            self.assertIn(text, result.err)
        return result
