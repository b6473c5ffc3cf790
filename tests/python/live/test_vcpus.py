# SPDX-License-Identifier: Apache-2.0
"""The bindings on a live guest: registers, page tables, breakpoints, watchpoints, steps."""
import os
import pathlib
import shutil
import tempfile
import time
import unittest

import microvmi
import qemu

KERNEL = os.environ["MICROVMI_TINY_GUEST"]
SECONDS = 60  # for what takes a moment


@unittest.skipUnless(qemu.PROGRAM, "there is no qemu-system-x86_64 on this machine")
@unittest.skipUnless(pathlib.Path(KERNEL).is_file(), "the tiny guest is not built here")
class VcpusTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="microvmi-python-"))
        self.addCleanup(shutil.rmtree, self.folder)
        serial = self.folder / "serial"
        self.guest = qemu.Qemu(self.folder, f"python {os.getpid()}", "-serial", f"file:{serial}",
                               "-kernel", KERNEL, "-append", "seed=0x77")
        self.addCleanup(self.guest.stop)
        end = time.monotonic() + SECONDS
        while not (serial.exists() and "\nready" in serial.read_text()):
            self.assertLess(time.monotonic(), end, "the guest is not ready")
            time.sleep(0.02)
        self.said = [line.split() for line in serial.read_text().splitlines()]
        self.vm = microvmi.Vm("qemu", pid=self.guest.pid)
        self.addCleanup(self.vm.close)

    def numbers(self, word):
        return [[int(one, 16) for one in line[1:]] for line in self.said if line[0] == word]

    def events(self, what, count, vcpu=microvmi.EVERY_VCPU):
        self.vm.intercept(what, vcpu)
        for _ in range(count):
            event = self.vm.next_event(SECONDS)
            self.assertIsNotNone(event)
            with event:
                yield event
        self.vm.release(what, vcpu)

    def test_registers_are_those_that_the_guest_said(self):
        known = self.vm.read_registers()
        said = {line[1]: int(line[2], 16) for line in self.said if line[0] == "reg"}
        for name in set(said) & set(known) - {"rax", "rdx", "rip", "rflags"}:
            self.assertEqual(known[name], said[name], name)
        self.assertLessEqual({"rbx", "cr3", "efer", "cs", "gdt_base"}, set(known))

    def test_addresses_through_the_page_tables_of_the_vcpu(self):
        space = self.vm.space()
        self.assertEqual(space.paging, microvmi.Paging.FOUR_LEVEL)
        for gva, gpa, size in self.numbers("va"):
            found = self.vm.translate(space, gva)
            self.assertEqual((found.gpa, found.page_size), (gpa, size))
            # Behind the first word, which may be the counter.
            self.assertEqual(self.vm.read_virtual(space, gva + 8, 64),
                             self.guest.memory(gpa + 8, 64, self.folder / "truth"))

    def test_events_come_and_the_guest_runs_on(self):
        start, end = self.numbers("loop")[0]
        counter = self.numbers("counter")[0][0]
        for event in self.events(f"breakpoint:{start:#x}", 20):
            self.assertEqual((event.kind, event.vcpu, event.fields["gva"], event.registers["rip"]),
                             ("breakpoint", 0, start, start))
            event.reply("proceed")
            with self.assertRaisesRegex(microvmi.Error, "answered before"):
                event.reply("proceed")
        for event in self.events(f"watchpoint:{counter:#x}:8:w", 3):
            self.assertEqual((event.kind, event.fields["gpa"]), ("watchpoint", counter))
            with self.assertRaisesRegex(microvmi.Error, "takes no such reply"):
                event.reply("refuse")
        seen = {event.registers["rip"] for event in self.events("single_step", 20, 0)}
        self.assertTrue(len(seen) > 1 and min(seen) >= start and max(seen) <= end)
        self.assertIsNone(self.vm.next_event(0.1))
        self.vm.close()
        self.assertTrue(self.guest.running())


if __name__ == "__main__":
    unittest.main()
