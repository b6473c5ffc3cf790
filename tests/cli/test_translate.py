# SPDX-License-Identifier: Apache-2.0
"""microvmi translate and read --gva on an image with page tables written here, as the manual draws them."""
import struct
import unittest

from support import RAW, CliTest, pattern

PRESENT, WRITABLE, USER, LARGE, NX = 1, 2, 4, 0x80, 1 << 63
ALL = PRESENT | WRITABLE | USER


class TranslateTest(CliTest):
    def setUp(self):
        super().setUp()
        memory = bytearray(pattern(0x10000))
        entries = {0x1000: 0x2000 | ALL, 0x2000: 0x3000 | ALL, 0x3000: 0x4000 | ALL,
                   # Virtual pages 0, 1 and 3 of 4 KiB; 2 is missing; 2 MiB from 0x200000 on.
                   0x4000: 0x9000 | ALL, 0x4008: 0x7000 | PRESENT, 0x4010: 0,
                   0x4018: 0xfee00000 | ALL, 0x3008: LARGE | ALL | NX,
                   0x3010: 0x20000 | ALL, 0x1ff8: 0x2000 | ALL}
        for gpa, value in entries.items():
            memory[gpa:gpa + 8] = struct.pack("<Q", value)
        self.memory = bytes(memory)
        self.file("guest.raw", self.memory)

    def translate(self, gva, *more):
        return self.ok("translate", gva, "--cr3=0x1000", "--json", "guest.raw", RAW, *more).json

    def test_json_has_the_page_its_rights_and_every_level(self):
        self.assertEqual(self.translate("0x1abc"), {
            "gpa": 0x7abc, "page_size": 4096, "writable": False, "user": False, "executable": True,
            "levels": [{"level": 4, "gpa": 0x1000, "value": 0x2007},
                       {"level": 3, "gpa": 0x2000, "value": 0x3007},
                       {"level": 2, "gpa": 0x3000, "value": 0x4007},
                       {"level": 1, "gpa": 0x4008, "value": 0x7001}]})
        large = self.translate("2M")
        self.assertEqual((large["gpa"], large["page_size"], large["executable"]),
                         (0, 2 << 20, False))
        self.assertEqual(self.translate("0xffffff8000001abc")["gpa"], 0x7abc)

    def test_the_mode_may_be_said(self):
        found = self.translate(0, "--paging=2-level")  # 0x1000 holds 0x2007: a table at 0x2000
        self.assertEqual([one["level"] for one in found["levels"]], [2, 1])
        self.assertEqual(found["gpa"], 0x3000)
        self.fails(2, "translate", 0, "--cr3=0", "--paging=3-level", "guest.raw", RAW,
                   says="4-level")

    def test_text_for_people(self):
        text = self.ok("translate", "0x1abc", "--cr3", "4K", "guest.raw", RAW).text
        for part in ("0x1abc is at 0x7abc", "read-only", "supervisor", "4-level", "level 1",
                     "0x000000004008"):
            self.assertIn(part, text)

    def test_what_is_not_mapped_names_the_entry(self):
        self.fails(1, "translate", "0x2000", "--cr3=0x1000", "guest.raw", RAW,
                   says=["hole", "level 1 entry at 0x4010 is 0x0"])
        self.fails(1, "translate", "0x400000", "--cr3=0x1000", "guest.raw", RAW,
                   says=["level 1 entry at 0x20000", "no memory"])
        self.fails(1, "translate", 1 << 47, "--cr3=0x1000", "guest.raw", RAW,
                   says="no virtual address of 4-level")

    def test_without_registers_the_tables_have_to_be_named(self):
        self.fails(1, "translate", 0, "guest.raw", RAW, says="not_supported")
        self.fails(2, "translate", 0, "--cr3=1", "--vcpu=0", "guest.raw", RAW, says="excludes")
        self.fails(2, "translate", 0, "--paging=pae", "guest.raw", RAW, says="--cr3")
        self.fails(2, "translate", says="GVA is required")

    def test_read_by_virtual_address_crosses_pages(self):
        out = self.ok("read", "--gva", "0xff0", 32, "--cr3=0x1000", "--raw", "guest.raw", RAW).out
        self.assertEqual(out, self.memory[0x9ff0:0xa000] + self.memory[0x7000:0x7010])
        said = self.ok("read", "--gva", "0xff0", 32, "--cr3=0x1000", "--json", "guest.raw", RAW).json
        self.assertEqual(said, {"gva": 0xff0, "length": 32, "hex": out.hex()})
        view = self.ok("read", "0xff0", 16, "--gva", "--cr3=0x1000", "guest.raw", RAW).text
        self.assertTrue(view.startswith("000000000ff0  "))

    def test_a_page_that_is_missing_is_told_before_anything_is_printed(self):
        for form in ("--raw", "--json"):
            self.fails(1, "read", "--gva", "0x1ff0", 32, "--cr3=0x1000", form, "guest.raw", RAW,
                       says="0x2000")
        padded = self.ok("read", "--gva", "0x1ff0", 32, "--cr3=0x1000", "--raw", "--pad=7",
                         "guest.raw", RAW).out
        self.assertEqual(padded, self.memory[0x7ff0:0x8000] + b"\x07" * 16)
        self.fails(1, "read", "--gva", "0x3000", 1, "--cr3=0x1000", "--raw", "guest.raw", RAW,
                   says="0x3000")

    def test_the_options_of_page_tables_need_a_virtual_address(self):
        self.fails(2, "read", 0, 1, "--cr3=0x1000", "guest.raw", RAW, says="need --gva")
        self.fails(2, "write", 0, "--vcpu=0", "--hex=00", "guest.raw", RAW, says="need --gva")


class NoVcpusTest(CliTest):
    def setUp(self):
        super().setUp()
        self.file("guest.raw", bytes(8192))

    def test_what_an_image_has_not_is_an_error_that_says_so(self):
        for command in (["regs"], ["regs", "--set=rip=1"], ["events", "--breakpoint=0"],
                        ["events", "--step"], ["pause"], ["pause", "--for=1"], ["resume"]):
            self.fails(1, *command, "guest.raw", RAW, says="not_supported")

    def test_mistakes_are_told_before_anything_is_opened(self):
        for command, says in ((["regs", "--set=rpi=1"], "there is no register 'rpi'"),
                              (["regs", "--set=rip"], "NAME=VALUE"),
                              (["regs", "--set=cs=0x10000"], "16 bits"),
                              (["regs", "--vcpu=x"], "--vcpu"),
                              (["pause", "--for=soon"], "--for"),
                              (["pause", "--for=."], "--for"),
                              (["events"], "--breakpoint GVA"),
                              (["events", "--watch=0:0"], "length"),
                              (["events", "--watch=0xffffffffffffffff:2"], "last address"),
                              (["events", "--watch=0:4:x"], "GVA[:LEN]"),
                              (["events", "--watch=0:4:rw:"], "GVA[:LEN]"),
                              (["events", "--step", "--hardware"], "--hardware"),
                              (["events", "--step", "--count=x"], "--count"),
                              (["events", "--step", "--timeout=x"], "--timeout")):
            self.fails(2, *command, "guest.raw", RAW, says=says)


if __name__ == "__main__":
    unittest.main()
