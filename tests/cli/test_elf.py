# SPDX-License-Identifier: Apache-2.0
"""ELF cores through the command line: holes between segments, high addresses, hostile files."""
import os

from support import CliTest, elf_core, pattern


class ElfTest(CliTest):
    def setUp(self):
        super().setUp()
        self.data = pattern(8192)
        self.file("core.elf", elf_core([(0, self.data[:4096]), (1 << 32, self.data[4096:])]))

    def test_a_hole_between_two_regions(self):
        self.assertEqual(self.ok("read", 1 << 32, 16, "core.elf", "--raw").out, self.data[4096:4112])
        self.fails(1, "read", 4000, 200, "core.elf", says="0x1000")
        padded = self.ok("read", 4000, 200, "core.elf", "--raw", "--pad", 1).out
        self.assertEqual(padded, self.data[4000:4096] + b"\1" * 104)
        info = self.ok("info", "--json", "core.elf").json
        self.assertEqual(info["end_of_memory"], (1 << 32) + 4096)
        self.assertEqual([(one["gpa"], one["size"]) for one in info["map"]],
                         [(0, 4096), (1 << 32, 4096)])

    def test_json_numbers_are_integers_beyond_two_to_the_63(self):
        top = (1 << 63) + (1 << 40)
        self.file("high.elf", elf_core([(top, bytes(4096))]))
        result = self.run_tool("info", "--json", "high.elf")
        if result.code != 0:
            self.skipTest("the image reader refuses addresses that high: " + result.err)
        self.assertEqual(result.json["map"][0]["gpa"], top)

    def test_cut_off_and_absurd_files_are_errors(self):
        whole = self.path("core.elf").read_bytes()
        for size in (4, 16, 63, 64, 100, 176, 4000, len(whole) - 1):
            self.file("cut.elf", whole[:size])
            self.fails(1, "read", 0x1_0000_0000, 4096, "cut.elf")
        absurd = bytearray(whole)
        absurd[64 + 32:64 + 40] = (1 << 63).to_bytes(8, "little")  # p_filesz of the first segment
        self.file("absurd.elf", bytes(absurd))
        self.fails(1, "read", 0, 4096 * 3, "absurd.elf")
        self.file("doubled.elf", elf_core([(0, bytes(8192)), (4096, bytes(8192))]))
        self.assertIn(self.run_tool("info", "doubled.elf").code, (0, 1))

    def test_a_dump_of_a_dump_is_the_same_memory(self):
        self.ok("dump", "-o", "again.elf", "core.elf")
        for gpa in (0, 1 << 32):
            self.assertEqual(self.ok("read", gpa, 4096, "again.elf", "--raw").out,
                             self.ok("read", gpa, 4096, "core.elf", "--raw").out)
        self.assertEqual(self.ok("info", "--json", "again.elf").json["map"],
                         self.ok("info", "--json", "core.elf").json["map"])

    def test_a_raw_dump_says_that_holes_became_zeros(self):
        result = self.run_tool("dump", "--format=raw", "-o", "flat.raw", "core.elf")
        self.assertEqual(result.code, 0, result)
        self.assertIn("became zeros", result.err)
        self.assertEqual(self.path("flat.raw").stat().st_size, (1 << 32) + 4096)
        self.assertLess(self.path("flat.raw").stat().st_blocks * 512, 1 << 20)
        with open(self.path("flat.raw"), "rb") as flat:
            self.assertEqual(flat.read(4096), self.data[:4096])
            os.lseek(flat.fileno(), 1 << 32, os.SEEK_SET)
            self.assertEqual(os.read(flat.fileno(), 4096), self.data[4096:])
