# SPDX-License-Identifier: Apache-2.0
"""microvmi convert: images into every format that is written, and read again."""
from support import RAW, CliTest, elf_core, pattern

FORMATS = ("elf", "lime", "kdump-zlib", "kdump-zstd")


def lime_record(at, data):
    numbers = ((1, 4), (at, 8), (at + len(data) - 1, 8), (0, 8))
    return b"EMiL" + b"".join(number.to_bytes(size, "little") for number, size in numbers) + data


class ConvertTest(CliTest):
    def setUp(self):
        super().setUp()
        self.low, self.high = pattern(1 << 20), pattern(3 << 18)
        self.file("in.elf", elf_core([(0, self.low), (1 << 32, self.high)]))

    def test_every_format_holds_the_same_and_keeps_the_hole(self):
        for shape in FORMATS:
            out = self.ok("convert", "in.elf", f"out.{shape}", "--format", shape, "--verify").text
            self.assertIn("and read it again", out)
            read = self.ok("read", 1 << 32, len(self.high), "--raw", f"out.{shape}").out
            self.assertEqual(read, self.high, shape)
            self.fails(1, "read", 1 << 20, 1, f"out.{shape}", says="hole")

    def test_lime_byte_by_byte(self):
        self.ok("convert", "in.elf", "out.lime", "--format=lime")
        self.assertEqual(self.path("out.lime").read_bytes(),
                         lime_record(0, self.low) + lime_record(1 << 32, self.high))

    def test_firmware_behind_the_end_of_ram_is_where_the_format_has_it(self):
        firmware = pattern(1 << 18)
        self.file("pc.elf", elf_core([(0, self.low), (0xFFFC0000, firmware)]))
        for shape in (*FORMATS, "raw"):
            self.ok("convert", "pc.elf", f"pc.{shape}", "--format", shape, "--verify")
            read = ("read", 0xFFFC0000, len(firmware), "--raw", f"pc.{shape}")
            if shape in ("elf", "lime"):
                self.assertEqual(self.ok(*read).out, firmware, shape)
            elif shape != "raw":
                self.fails(1, *read, says="hole")
        self.assertEqual(self.path("pc.raw").read_bytes(), self.low)

    def test_and_back_again(self):
        self.ok("convert", "in.elf", "out.kdump", "--format=kdump-zlib")
        report = self.ok("convert", "out.kdump", "back.elf", "--json", "--verify").json
        self.assertEqual(report["bytes"], len(self.low) + len(self.high))
        self.assertIs(report["verified"], True)
        self.assertEqual(report["format"], "elf")

    def test_a_raw_image_is_named_as_one(self):
        self.file("memory", self.low)
        self.ok("convert", "memory", "out.kdump", "--format=kdump-zstd", RAW)
        self.assertEqual(self.ok("read", 0, len(self.low), "--raw", "out.kdump").out, self.low)

    def test_wrong_use(self):
        self.fails(2, "convert", says="IN is required")
        self.fails(2, "convert", "in.elf", says="OUT is required")
        self.fails(2, "convert", "in.elf", "x", "--format=zip", says="kdump-zlib")
        self.fails(1, "convert", "absent", "x", says="absent")
        self.assertFalse(self.path("x").exists())
