# SPDX-License-Identifier: Apache-2.0
"""microvmi pause and resume on a real QEMU, asked of its other monitor."""
import os
import signal
import subprocess
import unittest

import qemu
from support import CliTest, soon


@unittest.skipUnless(qemu.PROGRAM, "there is no qemu-system-x86_64 on this machine")
class PauseTest(CliTest):
    def setUp(self):
        super().setUp()
        self.guest = qemu.Qemu(self.folder, f"cli pause {os.getpid()}")
        self.addCleanup(self.guest.stop)

    def test_paused_for_good_and_resumed(self):
        said = self.ok("pause", "--json", self.guest.pid).json
        self.assertEqual(said, {"was_running": True, "running": False})
        self.assertFalse(self.guest.running())
        self.assertIn("already", self.ok("pause", self.guest.pid).text)
        said = self.ok("resume", "--json", self.guest.pid).json
        self.assertEqual(said, {"was_running": False, "running": True})
        self.assertTrue(self.guest.running())
        self.assertIn("already", self.ok("resume", self.guest.pid).text)

    def test_paused_for_a_time(self):
        tool = self.start("pause", "--for", "2", self.guest.pid)
        self.assertTrue(soon(lambda: not self.guest.running()))
        out, err = tool.communicate(timeout=60)
        self.assertEqual((tool.returncode, err), (0, b""))
        self.assertIn(b"paused for 2 s", out)
        self.assertTrue(self.guest.running())

    def test_a_time_without_end_is_long(self):
        tool = self.start("pause", "--for", f"{(1 << 63) - 1}ms", self.guest.pid)
        self.assertTrue(soon(lambda: not self.guest.running()))
        with self.assertRaises(subprocess.TimeoutExpired):
            tool.wait(0.5)
        tool.send_signal(signal.SIGINT)
        _, err = tool.communicate(timeout=60)
        self.assertEqual((tool.returncode, self.guest.running()), (1, True), err)

    def test_a_guest_found_paused_stays_so(self):
        self.guest.ask("stop")
        self.assertIn("still is", self.ok("pause", "--for=0.01", self.guest.pid).text)
        self.assertFalse(self.guest.running())
        self.ok("resume", self.guest.pid)
        self.assertTrue(self.guest.running())

    def test_whatever_ends_it_early_lets_the_guest_run(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            tool = self.start("pause", "--for=600", self.guest.pid, start_new_session=True)
            self.assertTrue(soon(lambda: not self.guest.running()))
            os.killpg(tool.pid, number)
            tool.communicate(timeout=60)
            self.assertEqual(tool.returncode, -number if number == signal.SIGKILL else 1)
            self.assertTrue(soon(self.guest.running), number)


if __name__ == "__main__":
    unittest.main()
