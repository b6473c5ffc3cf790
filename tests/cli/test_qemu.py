# SPDX-License-Identifier: Apache-2.0
"""vCPUs of a real guest from the command line: registers, breakpoints, and programs that are killed."""
import json
import os
import pathlib
import subprocess
import time
import unittest

import qemu
from support import CliTest
from test_live import guards, soon

KERNEL = os.environ.get("MICROVMI_TINY_GUEST", "")


def stub_folders():
    """Those that hold the socket of a stub."""
    return {str(one) for place in ("/run", "/tmp") for one in pathlib.Path(place).glob("microvmi-gdb.*")}


@unittest.skipUnless(qemu.PROGRAM, "there is no qemu-system-x86_64 on this machine")
@unittest.skipUnless(KERNEL and pathlib.Path(KERNEL).is_file(), "the tiny guest is not built here")
class QemuTest(CliTest):
    def setUp(self):
        super().setUp()
        self.folders = stub_folders()
        self.name = f"cli vcpus {os.getpid()}"
        serial = self.path("serial")
        self.guest = qemu.Qemu(self.folder, self.name, "-kernel", KERNEL, "-serial", f"file:{serial}",
                               "-append", "seed=1 stride=16", "-smp", "2")
        self.addCleanup(self.guest.stop)
        self.assertTrue(soon(lambda: "\nready\n" in serial.read_text()))
        lines = [line.split() for line in serial.read_text().splitlines()]
        self.printed = {one[1]: int(one[2], 16) for one in lines if one[0] == "reg"}
        self.loop = next(one[1] for one in lines if one[0] == "loop")
        self.counter = int(next(one[1] for one in lines if one[0] == "counter"), 16)

    def grows(self):
        """Whether the guest counts, as its own memory says."""
        first = self.guest.memory(self.counter, 8, self.path("count"))
        return soon(lambda: self.guest.memory(self.counter, 8, self.path("count")) != first)

    def has_stub(self):
        return any(one["label"] == "gdb" for one in self.guest.ask("query-chardev"))

    def left_in_order(self):
        self.assertTrue(soon(self.guest.running))
        self.assertTrue(self.grows())
        self.assertTrue(soon(lambda: not self.has_stub()), "the stub was not ended")
        self.assertTrue(soon(lambda: not guards(self.folder)))
        self.assertTrue(soon(lambda: not stub_folders() - self.folders), "a folder was left")

    def test_registers_are_those_that_the_guest_printed(self):
        vcpus = self.ok("regs", "--json", self.name).json
        self.assertEqual([one["vcpu"] for one in vcpus], [0, 1])
        known = vcpus[0]["registers"]
        for name in ("rbx", "r8", "r15", "cr0", "cr3", "cr4", "efer", "dr0"):
            self.assertEqual(known[name], self.printed[name], name)
        self.assertIn("lstar", vcpus[0]["unknown"])
        self.assertTrue(self.guest.running())
        self.ok("regs", "--vcpu", "0", "--set", "r9=0x1234", self.name)
        self.assertEqual(self.ok("regs", "--vcpu", "0", "--json", self.name).json[0]["registers"]["r9"],
                         0x1234)
        self.left_in_order()

    def test_breakpoints_are_told_and_taken_back(self):
        told = self.ok("events", "--breakpoint", self.loop, "--count", "25", "--json", self.name).text
        events = [json.loads(line) for line in told.splitlines()]
        self.assertEqual(len(events), 25)
        for one in events:
            self.assertEqual((one["vcpu"], one["kind"], one["gva"], one["gpa"]),
                             (0, "breakpoint", int(self.loop, 16), int(self.loop, 16)))
            self.assertEqual(one["registers"]["rip"], int(self.loop, 16))
        self.left_in_order()

    def test_killed_in_a_storm_of_breakpoints_and_of_steps(self):
        for what in (["--breakpoint", self.loop], ["--step"]):
            tool = self.start("events", *what, "--json", self.name, stdout=subprocess.PIPE)
            for _ in range(30):
                self.assertTrue(tool.stdout.readline())
            tool.kill()
            tool.communicate()
            self.left_in_order()

    def test_killed_while_registers_are_written(self):
        seen = 0
        for _ in range(10):
            tool = self.start("regs", "--vcpu", "0", "--set", "r9=0x1234", self.name)
            while tool.poll() is None and not self.has_stub():
                pass
            tool.kill()
            seen += tool.wait(10) < 0
            tool.communicate()
            self.left_in_order()
        self.assertGreater(seen, 0, "it was never killed while it had its stub")

    def test_killed_at_any_moment(self):
        # Close together where a quick program starts the stub, further on for a slow one.
        for delay in [*range(0, 60, 4), *range(60, 420, 40)]:
            tool = self.start("events", "--breakpoint", self.loop, self.name)
            time.sleep(delay / 1000)
            tool.kill()
            tool.communicate()
            self.left_in_order()


if __name__ == "__main__":
    unittest.main()
