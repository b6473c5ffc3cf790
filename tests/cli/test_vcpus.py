# SPDX-License-Identifier: Apache-2.0
"""regs, events, translate and --gva on a live guest, which says itself what its registers are."""
import json
import os
import pathlib
import signal
import unittest

import qemu
from support import CliTest, guards, soon

KERNEL = os.environ.get("MICROVMI_TINY_GUEST", "")


@unittest.skipUnless(qemu.PROGRAM, "there is no qemu-system-x86_64 on this machine")
@unittest.skipUnless(KERNEL and pathlib.Path(KERNEL).is_file(), "the tiny guest is not built here")
class VcpusTest(CliTest):
    def setUp(self):
        super().setUp()
        serial = self.path("serial")
        self.guest = qemu.Qemu(self.folder, f"cli vcpus {os.getpid()}", "-serial", f"file:{serial}",
                               "-kernel", KERNEL, "-append", "seed=0x77")
        self.addCleanup(self.guest.stop)
        self.assertTrue(soon(lambda: serial.exists() and "\nready" in serial.read_text()))
        lines = [line.split() for line in serial.read_text().splitlines()]
        self.reg = {words[1]: int(words[2], 16) for words in lines if words[0] == "reg"}
        self.va = [[int(word, 16) for word in words[1:]] for words in lines if words[0] == "va"]
        self.loop = next([int(word, 16) for word in words[1:]] for words in lines
                         if words[0] == "loop")
        self.counter = next(int(words[1], 16) for words in lines if words[0] == "counter")
        self.target = ["--driver=qemu", self.guest.pid]

    def count(self):
        return int.from_bytes(self.guest.memory(self.counter, 8, self.path("count")), "little")

    def runs(self):
        before = self.count()
        return self.guest.running() and soon(lambda: self.count() != before)

    def lines(self, *args):
        return [json.loads(line) for line in self.ok("events", "--json", *args, *self.target)
                .text.splitlines()]

    def test_regs_are_what_the_guest_says_and_it_runs_on(self):
        [vcpu] = self.ok("regs", "--json", *self.target).json
        self.assertEqual(vcpu["vcpu"], 0)
        flat = {}
        for name, value in vcpu["registers"].items():
            group = value if isinstance(value, dict) else {"": value}
            flat |= {f"{name}_{key}".removesuffix("_selector").rstrip("_"): one
                     for key, one in group.items()}
        moving = ("rax", "rdx", "rip", "rflags")
        for name, value in self.reg.items():
            if name not in moving and name in flat:
                self.assertEqual(flat[name], value, name)
        for name in ("rbx", "cr3", "cr4", "efer", "fs_base", "gdt_base"):
            self.assertIn(name, flat)
        self.assertTrue(self.loop[0] <= flat["rip"] <= self.loop[1])
        for name in vcpu["unknown"]:
            self.assertNotIn(name.replace(".", "_").removesuffix("_selector"), flat)
        self.assertTrue(self.runs())

    def test_a_register_is_written_and_read_back(self):
        self.ok("pause", *self.target)
        said = self.ok("regs", "--set", "r15=0x1234", "--set", "rbx=7", "--json", *self.target).json
        self.assertEqual((said[0]["registers"]["r15"], said[0]["registers"]["rbx"]), (0x1234, 7))
        self.assertIn("R15=0000000000001234", self.guest.ask(
            "human-monitor-command", **{"command-line": "info registers"}))
        self.assertFalse(self.guest.running(), "what was paused stays so")
        self.ok("resume", *self.target)
        self.assertTrue(self.guest.running())

    def test_translate_and_read_as_the_vcpu_does(self):
        for gva, gpa, size in self.va:
            found = self.ok("translate", hex(gva), "--json", *self.target).json
            self.assertEqual((found["gpa"], found["page_size"]), (gpa, size))
            named = self.ok("translate", hex(gva), "--cr3", hex(self.reg["cr3"]), "--json",
                            *self.target).json
            self.assertEqual(named, found)
            # Behind the first word, which may be the counter.
            read = self.ok("read", "--gva", hex(gva + 8), 64, "--raw", *self.target).out
            self.assertEqual(read, self.guest.memory(gpa + 8, 64, self.path("truth")))

    def test_a_breakpoint_is_told_and_leaves_no_trace(self):
        code = self.guest.memory(self.loop[0] & ~0xfff, 4096, self.path("truth"))
        for more in ([], ["--hardware"]):
            events = self.lines("--breakpoint", hex(self.loop[0]), "--count=25", "--timeout=100",
                                *more)
            self.assertEqual(len(events), 25)
            for one in events:
                self.assertEqual(set(one), {"vcpu", "kind", "gva", "gpa", "registers"})
                self.assertEqual((one["vcpu"], one["kind"], one["gva"], one["registers"]["rip"]),
                                 (0, "breakpoint", self.loop[0], self.loop[0]))
            self.assertTrue(self.runs())
        self.assertEqual(self.guest.memory(self.loop[0] & ~0xfff, 4096, self.path("truth")), code)

    def test_a_watchpoint_tells_each_write(self):
        events = self.lines("--watch", f"{self.counter:#x}:8:w", "--count=10", "--timeout=100")
        self.assertEqual([(one["kind"], one["gva"], one["gpa"]) for one in events],
                         [("watchpoint", self.counter, self.counter)] * 10)
        self.assertTrue(self.runs())

    def test_steps_follow_each_other_in_the_loop(self):
        events = self.lines("--step", "--count=50", "--timeout=100")
        self.assertEqual({one["kind"] for one in events}, {"single_step"})
        self.assertTrue(all(self.loop[0] <= one["gva"] <= self.loop[1] for one in events))
        self.assertGreater(len({one["gva"] for one in events}), 1)
        self.assertTrue(self.runs())

    def test_signals_end_it_and_the_guest_runs_on(self):
        for number, code in ((signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGKILL, -9)):
            tool = self.start("events", "--breakpoint", hex(self.loop[0]), "--json", *self.target,
                              start_new_session=True)
            self.assertIn(b"breakpoint", tool.stdout.readline())
            os.killpg(tool.pid, number)
            _, err = tool.communicate(timeout=100)
            self.assertEqual(tool.returncode, code, err)
            # Of a tool that was killed it is the guard that lets the guest run.
            self.assertTrue(soon(lambda: not guards(self.folder)), number)
            self.assertTrue(self.runs(), number)

    def test_fewer_events_than_asked_for_are_a_failure(self):
        result = self.run_tool("events", "--watch", "0x100000:8:w", "--count=1", "--timeout=0.3",
                               *self.target)
        self.assertEqual((result.code, result.out), (1, b""), result)
        self.assertIn("timed_out: 0 events came of 1", result.err)
        self.ok("events", "--watch", "0x100000:8:w", "--timeout=0.3", *self.target)
        self.assertTrue(self.runs())


if __name__ == "__main__":
    unittest.main()
