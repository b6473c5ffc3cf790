# SPDX-License-Identifier: Apache-2.0
"""A real QEMU for the tests of the command line, and the truth about it from its own monitor."""
import json
import shutil
import socket
import subprocess
import time

PROGRAM = shutil.which("qemu-system-x86_64")


class Qemu:
    """A guest of 64 MiB that runs its firmware, with a monitor for microvmi and one for the test."""

    def __init__(self, folder, name, *more):
        sockets = [folder / "tool.sock", folder / "truth.sock"]
        command = [PROGRAM, "-machine", "pc,accel=tcg", "-m", "64M", "-nodefaults", "-display", "none",
                   "-name", f"guest={name}", *more]
        for path in sockets:
            command += ["-qmp", f"unix:{path},server=on,wait=off"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self.pid = self.process.pid
        self.monitor = socket.socket(socket.AF_UNIX)
        self.monitor.settimeout(20)
        for _ in range(400):
            try:
                self.monitor.connect(str(sockets[1]))
                break
            except OSError:
                time.sleep(0.05)
        self.lines = self.monitor.makefile("rw")
        self.lines.readline()  # the greeting
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        self.lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.lines.flush()
        while True:
            line = self.lines.readline()
            if not line:
                raise RuntimeError(f"QEMU is gone, with code {self.process.wait(10)}")
            answer = json.loads(line)
            if "error" in answer:
                raise RuntimeError(answer["error"])
            if "return" in answer:
                return answer["return"]

    def running(self):
        return self.ask("query-status")["running"]

    def memory(self, gpa, size, file):
        self.ask("pmemsave", val=gpa, size=size, filename=str(file))
        return file.read_bytes()

    def stop(self):
        self.lines.close()
        self.monitor.close()
        self.process.kill()
        self.process.wait()
