# SPDX-License-Identifier: Apache-2.0
"""The kvm driver from the command line, against a simulated QEMU and kernel."""
import os
import subprocess

from support import CliTest, pattern

PEER = os.environ["MICROVMI_KVMI_PEER"]


class SimulatedKvmiTest(CliTest):
    def setUp(self):
        super().setUp()
        self.socket = self.path("kvmi")
        self.url = f"vmi://kvm/?unix-socket={self.socket}&timeout=30s"
        self.peer = subprocess.Popen([PEER, self.socket, "win10"], stdin=subprocess.PIPE,
                                     stderr=subprocess.PIPE)

    def tearDown(self):
        _, said = self.peer.communicate(timeout=60)
        self.assertEqual((self.peer.returncode, said), (0, b""))

    def test_info_names_the_guest(self):
        info = self.run_tool("info", "--json", self.url)
        self.assertEqual(info.code, 0, info)
        self.assertEqual((info.json["vm_name"], info.json["vcpus"]), ("win10", 2))

    def test_read_gives_bytes_over_pages_and_tells_holes(self):
        read = self.run_tool("read", 0x10005, 0x3000, self.url, "--raw")
        self.assertEqual((read.code, read.out), (0, pattern(0x4000)[5:0x3005]), read.err)
        # KVMi has no map; nothing is printed before the whole range was tried.
        for length, form in ((0x200, "--raw"), (0x200, "--json"), (2 << 20, "--raw")):
            hole = self.run_tool("read", 0x9ff00, length, self.url, form)
            self.assertEqual((hole.code, hole.out), (1, b""))
            self.assertIn("0xa0000", hole.err)

    def test_regs_gives_those_of_the_vcpu(self):
        regs = self.run_tool("regs", "--json", self.url)
        self.assertEqual(regs.code, 0, regs)
        self.assertIn("rip", regs.text)

    def test_a_wrong_name_is_told(self):
        wrong = self.run_tool("info", f"vmi://kvm/?unix-socket={self.socket}&timeout=300ms"
                              "&kvm.vm-name=other")
        self.assertEqual(wrong.code, 1, wrong)
        self.assertIn("win10", wrong.err)
