# SPDX-License-Identifier: Apache-2.0
"""microvmi read: the view, the bytes, holes, and numbers in every spelling."""
import os
import pathlib
import subprocess

from support import RAW, CliTest, elf_core, pattern


class ReadTest(CliTest):
    def setUp(self):
        super().setUp()
        self.data = pattern(3 * 4096)  # whole pages: memory comes in no less
        self.file("memory.raw", self.data)

    def test_the_view_shows_address_hexadecimal_and_text(self):
        self.file("text.raw", b"Hello, guest!\x00\x7f\xffsecond".ljust(4096))
        self.assertEqual(
            self.ok("read", 0, 22, "text.raw", RAW).text,
            "000000000000  48 65 6c 6c 6f 2c 20 67  75 65 73 74 21 00 7f ff  |Hello, guest!...|\n"
            "000000000010  73 65 63 6f 6e 64                                 |second|\n")

    def test_the_view_holds_every_byte_from_any_start_and_over_any_length(self):
        self.file("big.raw", pattern(3 << 20))
        for start, length in ((0, 16), (5, 1), (4090, 40), (1, (2 << 20) + 17)):
            lines = self.ok("read", start, length, "big.raw", RAW).text.splitlines()
            shown = bytes.fromhex("".join(line[14:62] for line in lines))
            self.assertEqual(shown, pattern(3 << 20)[start:start + length])
            self.assertEqual([int(line[:12], 16) for line in lines],
                             list(range(start, start + length, 16)))

    def test_raw_gives_the_bytes_alone(self):
        self.assertEqual(self.ok("read", 10, 5000, "memory.raw", RAW, "--raw").out,
                         self.data[10:5010])

    def test_json_gives_hexadecimal(self):
        self.assertEqual(self.ok("read", "0x10", 20, "memory.raw", RAW, "--json").json,
                         {"gpa": 16, "length": 20, "hex": self.data[16:36].hex()})

    def test_numbers_are_decimal_hexadecimal_or_have_a_unit(self):
        for gpa, length in (("4096", "16"), ("0x1000", "0x10"), ("4K", "16"), ("0x1000", "16")):
            self.assertEqual(self.ok("read", gpa, length, "memory.raw", RAW, "--raw").out,
                             self.data[4096:4112])
        self.assertEqual(self.ok("read", 0, "1M", "memory.raw", RAW, "--raw", "--pad=0").out,
                         self.data.ljust(1 << 20, b"\0"))

    def test_wrong_numbers_are_usage_errors_told_together(self):
        result = self.fails(2, "read", "0xzz", "-5", "memory.raw", RAW)
        self.assertIn("GPA expects a number", result.err)
        for word in ("", "1.5", "4Q", "0x", "K", "1e3", "99999999999999999999", "17179869184G"):
            self.fails(2, "read", word, 1, "memory.raw", RAW, says="GPA")
            self.fails(2, "read", 0, word, "memory.raw", RAW, says="LENGTH")

    def test_what_is_missing_is_named(self):
        self.fails(2, "read", says=["GPA is required", "LENGTH is required"])
        self.fails(2, "read", 0, says="LENGTH is required")

    def test_length_zero_is_a_usage_error(self):
        self.fails(2, "read", 0, 0, "memory.raw", RAW, says="LENGTH expects at least 1")

    def test_a_hole_fails_with_its_first_address_and_nothing_is_printed(self):
        for options in ([], ["--raw"], ["--json"]):
            self.fails(1, "read", 12000, 1000, "memory.raw", RAW, *options,
                       says=["hole", hex(len(self.data)), "--pad"])
        self.fails(1, "read", "0x7000000000", 1, "memory.raw", RAW, says="0x7000000000")

    def test_memory_that_was_cut_off_is_no_hole(self):
        self.file("cut.elf", elf_core([(0, pattern(4 * 4096))])[:-8192])
        shown = self.fails(1, "read", 0x3000, 16, "cut.elf", says="io: cannot read").err
        self.assertNotIn("--pad", shown)
        self.fails(1, "read", 0x3000, 16, "cut.elf", "--pad", 0, says="io: cannot read")
        self.fails(1, "read", 0x8000, 16, "cut.elf", says="--pad BYTE")

    def test_lengths_that_no_guest_has(self):
        self.fails(1, "read", 0, 1 << 63, "memory.raw", RAW, says=hex(len(self.data)))
        self.fails(1, "read", (1 << 64) - 1, 1, "memory.raw", RAW, says="0xffffffffffffffff")
        self.fails(2, "read", (1 << 64) - 1, 2, "memory.raw", RAW, says="last address")

    def test_pad_fills_holes_with_that_byte(self):
        out = self.ok("read", 12000, 1000, "memory.raw", RAW, "--raw", "--pad", "0xa5").out
        self.assertEqual(out, self.data[12000:].ljust(1000, b"\xa5"))
        self.fails(2, "read", 0, 1, "memory.raw", RAW, "--pad", 256, says="--pad")

    def test_any_length_in_bounded_memory(self):
        os.truncate(self.path("memory.raw"), 1 << 30)
        tool = self.start("read", 0, "1G", "memory.raw", RAW, "--raw", stdout=subprocess.DEVNULL)
        peak = 0
        while tool.poll() is None:
            try:
                status = pathlib.Path(f"/proc/{tool.pid}/status").read_text()
            except FileNotFoundError:
                break
            # RssAnon: the pages of the mapped image are not the tool's own memory.
            peak = max([peak] + [int(line.split()[1]) for line in status.splitlines()
                                 if line.startswith("RssAnon")])
        self.assertEqual(tool.wait(60), 0)
        tool.stderr.close()
        self.assertLess(peak, 300 * 1024)

    def test_json_numbers_are_integers(self):
        self.assertNotIn(b".", self.ok("read", 0, 1, "memory.raw", RAW, "--json").out)
