# SPDX-License-Identifier: Apache-2.0
"""The pcileech connector from outside, with the stand-in for LeechCore; memflow without a connector."""
import os
import unittest

from support import CliTest, pattern

LEECHCORE = os.environ["MICROVMI_SIMULATED_LEECHCORE"]
SIZE = 16 << 20  # LeechCore opens no smaller file


class PcileechSimulatedTest(CliTest):
    def setUp(self):
        super().setUp()
        memory = self.path("memory")
        with memory.open("wb") as out:
            out.write(pattern(1 << 16))
            out.truncate(SIZE)
        self.options = [f"--memflow-pcileech-library={LEECHCORE}",
                        f"--memflow-pcileech-device=file://file={memory}"]

    def test_info_and_read(self):
        info = self.ok("info", "--json", *self.options).json
        self.assertEqual((info["driver"], info["connector"]), ("memflow", "pcileech"))
        self.assertEqual(info["end_of_memory"], SIZE)
        read = self.ok("read", "0x1ffe", "4100", "--raw", *self.options)
        self.assertEqual(read.out, pattern(1 << 16)[0x1ffe:0x1ffe + 4100])

    def test_a_map_in_a_file(self):
        self.file("map.txt", "0 ffff\n100000 1fffff 0\n")
        self.options.append("--memflow-pcileech-memap=map.txt")
        read = self.ok("read", "0x101000", "4096", "--raw", *self.options)
        self.assertEqual(read.out, pattern(1 << 16)[0x1000:0x2000])
        self.file("map.txt", "0 ffff\nf000 1ffff\n")
        self.fails(1, "info", *self.options, says="overlap")

    def test_its_words_are_in_the_log_alone(self):
        self.options[1] += ",print=create"
        self.ok("info", *self.options)
        shown = self.run_tool("info", "--verbose", *self.options)
        self.assertIn("pcileech: LeechCore: DEVICE: about to create", shown.err)
        self.assertIn("memflow: opened by pcileech", shown.err)

    def test_a_page_that_cannot_be_read(self):
        self.options[1] += ",bad=3000"
        result = self.run_tool("read", "0x3000", "16", "--raw", *self.options)
        self.assertEqual((result.code, result.out), (1, b""))
        self.assertIn("0x3000", result.err)


class NoConnectorTest(CliTest):
    def test_every_connector_says_why_not_in_the_order_of_trial(self):
        error = self.fails(1, "info", "--driver=memflow", "--vm-name=no-such-guest-anywhere").err
        places = [error.find(f"\n    {name}: ") for name in
                  ("qemu-procfs", "kvm", "coredump", "pcileech")]
        self.assertNotIn(-1, [error.find(name) for name in ("qemu-procfs", "kvm", "coredump")], error)
        self.assertEqual(places, sorted(places), error)
        self.assertIn("memflow.coredump.filepath is not given", error)
        self.assertIn("pcileech: not_applicable: none of its own parameters is given", error)


if __name__ == "__main__":
    unittest.main()
