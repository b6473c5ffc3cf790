# SPDX-License-Identifier: Apache-2.0
"""Commands on a real QEMU: names and pids, writing, dumps that pause, and programs that are killed."""
import os
import signal
import subprocess
import time
import unittest

import qemu
from support import CliTest, guards, pattern, soon


@unittest.skipUnless(qemu.PROGRAM, "there is no qemu-system-x86_64 on this machine")
class LiveTest(CliTest):
    def setUp(self):
        super().setUp()
        self.name = f"cli live {os.getpid()}"  # with spaces, and nobody else's
        self.guest = qemu.Qemu(self.folder, self.name)
        self.addCleanup(self.guest.stop)

    def test_scan_shows_it_and_how_to_open_it(self):
        rows = [one for one in self.ok("scan", "--json").json if one["pid"] == self.guest.pid]
        self.assertEqual([set(one) for one in rows],
                         [{"driver", "connector", "vm_name", "pid", "running", "vcpus", "facts",
                           "params"}] * len(rows))
        self.assertEqual([(one["driver"], one["connector"], one["vm_name"]) for one in rows],
                         [("qemu", None, self.name), ("memflow", "qemu-procfs", self.name)])
        self.assertEqual((rows[0]["vcpus"], rows[0]["facts"]["accelerator"]), (1, "tcg"))
        # Unknown is allowed while the machine is too busy for a monitor's 20 ms.
        self.assertTrue(soon(lambda: self.ok("scan", "--json", "--pid", self.guest.pid)
                             .json[0]["running"] is True))
        options = [f"--{key.replace('.', '-')}={value}" for key, value in rows[0]["params"].items()]
        opened = self.ok("info", "--json", "--driver", rows[0]["driver"], *options).json
        self.assertEqual((opened["pid"], opened["vm_name"]), (self.guest.pid, self.name))
        table = self.ok("scan").text
        self.assertIn(f"microvmi info {self.guest.pid}", table)
        self.assertEqual(len(self.ok("scan", "--json", "--pid", self.guest.pid).json), len(rows))

    def test_scan_hides_what_the_command_line_alone_leaves_out(self):
        def pids(*args):
            return {one["pid"] for one in self.ok("scan", "--json", *args).json}
        self.file(".config/microvmi/config.toml", "vm-name = 'another'\n")
        self.env["MICROVMI_PARAM_PID"] = "1"
        self.assertIn(self.guest.pid, pids())
        self.assertEqual(pids("--vm-name", self.name), {self.guest.pid})
        self.assertEqual(pids("--pid", self.guest.pid), {self.guest.pid})
        self.assertEqual(pids("--pid", self.guest.pid, "--vm-name=another"), set())

    def test_it_says_which_guest_was_taken_where_none_is_named(self):
        taken = self.run_tool("info", "--json")
        self.assertEqual(taken.code, 0)
        self.assertIn(f"no guest is named; this is process {taken.json['pid']}", taken.err)
        self.assertEqual(self.ok("info", "--json", self.guest.pid).err, "")

    def test_info_by_name_pid_options_and_url(self):
        asked = [[self.name], [self.guest.pid], ["--pid", self.guest.pid], ["--vm-name", self.name],
                 [f"vmi://memflow/?qemu-procfs.pid={self.guest.pid}"]]
        for target in asked:
            info = self.ok("info", "--json", *target).json
            self.assertEqual((info["pid"], info["vm_name"], info["connector"]),
                             (self.guest.pid, self.name, "qemu-procfs"))
            self.assertEqual(info["end_of_memory"], 64 << 20)
            self.assertEqual(info["vcpus"], 1)
            self.assertIn("memory_write", info["capabilities"])
        # Until the firmware has copied itself there, its ROM hides the RAM at 0xc0000 to 0xfffff.
        self.assertTrue(soon(lambda: sum(
            one["size"] for one in self.ok("info", "--json", self.name).json["map"]) == 64 << 20))
        text = self.ok("info", self.name).text
        self.assertIn(self.name, text)
        self.fails(1, "info", "--pid", self.guest.pid, "--vm-name", "another")

    def test_the_guest_of_the_command_line_is_not_that_of_a_file(self):
        path = self.file("config.toml", "[qemu]\npid = 1\n[kvm]\nunix-socket = '/tmp/none'\n")
        info = self.ok("info", "--json", f"--config={path}", self.guest.pid).json
        self.assertEqual((info["driver"], info["pid"]), ("qemu", self.guest.pid))
        path.write_text("[qemu]\nvm-name = 'another'\n")
        info = self.ok("info", "--json", f"--config={path}", "--vm-name", self.name).json
        self.assertEqual(info["pid"], self.guest.pid)

    def test_ambiguity_between_a_file_and_a_vm(self):
        self.file(self.name, b"x")
        self.fails(2, "info", self.name, says=["--vm-name " + self.name, "./" + self.name])
        self.assertEqual(self.ok("info", "--json", "--vm-name", self.name).json["pid"], self.guest.pid)

    def test_writing_is_seen_by_the_monitor(self):
        data = pattern(3 << 20)[5:]
        said = self.ok("write", "16M", self.name, stdin=data)
        self.assertEqual(said.text, f"wrote {len(data)} bytes at 0x1000000\n")
        self.assertEqual(self.guest.memory(16 << 20, len(data), self.path("truth")), data)
        self.assertEqual(self.ok("write", "0x2000001", "--hex", "de ad:BEef", "--json", self.name).json,
                         {"gpa": 0x2000001, "written": 4})
        self.assertEqual(self.guest.memory(0x2000000, 6, self.path("truth")),
                         b"\0\xde\xad\xbe\xef\0")
        self.assertEqual(self.ok("read", "16M", len(data), self.name, "--raw").out, data)

    def test_a_write_that_fails_says_how_far_it_got(self):
        self.guest.ask("stop")  # its firmware writes there while it boots
        start = (64 << 20) - 4096
        result = self.fails(1, "write", start, self.name, stdin=pattern(8192), says="0x4000000")
        written = int(result.err.split(" bytes were written")[0].split()[-1])
        self.assertIn(written, (0, 4096))
        truth = self.guest.memory(start, 4096, self.path("truth"))
        self.assertEqual(truth[:written], pattern(8192)[:written])
        self.fails(1, "write", "64M", self.name, "--hex=00", says=["0x4000000", "0 bytes"])
        self.fails(1, "write", 0, self.name, stdin=b"", says="nothing was written")

    def test_a_dump_with_pause_is_one_moment_and_the_guest_runs_again(self):
        report = self.ok("dump", "--pause", "--format=raw", "--json", "-o", "out.raw", self.name).json
        self.assertTrue(report["paused"])
        self.assertTrue(self.guest.running())
        self.assertTrue(soon(lambda: not guards(self.folder)))
        self.guest.ask("stop")
        truth = self.guest.memory(1 << 20, 63 << 20, self.path("truth"))
        self.ok("dump", "--pause", "--format=raw", "-o", "out.raw", self.name)
        self.assertFalse(self.guest.running(), "a guest found paused stays paused")
        self.assertEqual(self.path("out.raw").read_bytes()[1 << 20:], truth)

    def paused_dump(self):
        return self.start("dump", "--pause", "-o", "out.elf", self.name, start_new_session=True)

    def test_a_dump_killed_at_any_moment_leaves_no_guest_stopped_and_no_guard(self):
        for delay in range(0, 200, 9):
            tool = self.paused_dump()
            time.sleep(delay / 1000)
            tool.kill()
            tool.communicate()
            self.assertTrue(soon(lambda: not guards(self.folder)), f"a guard is left after {delay} ms")
            self.assertTrue(self.guest.running(), f"killed after {delay} ms")

    def stopped_in_pause(self):
        """A dump that was itself stopped while the guest was paused, so that it cannot go on."""
        for _ in range(200):
            tool = self.paused_dump()
            end = time.monotonic() + 10
            while tool.poll() is None and time.monotonic() < end:
                if not self.guest.running():
                    tool.send_signal(signal.SIGSTOP)
                    time.sleep(0.05)
                    if not self.guest.running():
                        return tool
                    tool.send_signal(signal.SIGCONT)
            tool.communicate()
        raise unittest.SkipTest("no dump was slow enough to be caught in its pause")

    def test_killed_for_certain_while_the_guest_is_paused(self):
        tool = self.stopped_in_pause()
        self.assertEqual(len(guards(self.folder)), 1)
        tool.kill()
        tool.communicate()
        self.assertTrue(soon(self.guest.running))
        self.assertTrue(soon(lambda: not guards(self.folder)))

    def test_signals_during_a_paused_dump(self):
        for number, times in ((signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGINT, 3)):
            tool = self.stopped_in_pause()
            for _ in range(times):
                os.killpg(tool.pid, number)  # as Ctrl-C does: the whole group hears it
            tool.send_signal(signal.SIGCONT)
            tool.communicate(timeout=20)
            self.assertIn(tool.returncode, (0, 1, -number))
            self.assertTrue(soon(self.guest.running))
            self.assertTrue(soon(lambda: not guards(self.folder)))

    def test_a_guest_that_dies_is_disconnected(self):
        tool = self.start("read", 0, "64M", self.name, "--raw", stdout=subprocess.PIPE)
        tool.stdout.read(1 << 20)
        self.guest.process.kill()
        self.guest.process.wait()
        _, err = tool.communicate(timeout=20)
        self.assertEqual(tool.returncode, 1)
        self.assertIn(b"disconnected", err)
        self.fails(1, "info", self.guest.pid)

    def test_two_guests_of_one_name_are_listed(self):
        (self.path("second")).mkdir()
        second = qemu.Qemu(self.path("second"), self.name)
        self.addCleanup(second.stop)
        self.fails(1, "info", self.name, says=[str(self.guest.pid), str(second.pid)])


if __name__ == "__main__":
    unittest.main()
