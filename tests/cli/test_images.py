# SPDX-License-Identifier: Apache-2.0
"""Images of other programs through the command line: what is known of them, what is in them."""
import re
import struct
import time
import unittest

from qemu import PROGRAM, Qemu
from support import CliTest, elf_core, pattern

PAGE = 4096


def lime(records):
    """Records of LiME, doc/README.md: [(gpa, bytes)]."""
    return b"".join(b"EMiL" + struct.pack("<IQQQ", 1, gpa, gpa + len(data) - 1, 0) + data
                    for gpa, data in records)


def crash_dump(runs, data):
    """A full dump of 64-bit Windows by DUMP_HEADER64 of the WDK: [(frame, pages)]."""
    out = bytearray(b"PAGE" * 0x800)
    out[:8] = b"PAGEDU64"
    struct.pack_into("<IIQ", out, 8, 15, 19041, 0x1AD002)
    struct.pack_into("<III", out, 0x30, 0x8664, 4, 0x7E)
    struct.pack_into("<Q", out, 0x80, 0xFFFFF80001234000)
    struct.pack_into("<I", out, 0x88, len(runs))
    struct.pack_into("<Q", out, 0x90, sum(pages for _, pages in runs))
    for index, run in enumerate(runs):
        struct.pack_into("<QQ", out, 0x98 + 16 * index, *run)
    struct.pack_into("<I", out, 0x348 + 0x30, 0x10000F)
    struct.pack_into("<Q", out, 0x348 + 0xF8, 0xFFFFF80001000000)
    struct.pack_into("<I", out, 0xF98, 1)
    return bytes(out) + data


def checkpoint(pages):
    """A .vmss of VMware by crash's vmware_vmss.h: groups, then tags of flags, a name and a number."""
    def tag(name, indices, number, size):
        return (bytes([len(indices) << 6 | size, len(name)]) + name.encode()
                + b"".join(struct.pack("<I", index) for index in indices)
                + number.to_bytes(size, "little"))
    groups = {"cpu": tag("cpu:numVCPUs", [], 1, 4) + tag("rip", [0], 0xFFFFFFFF81000000, 8)
                     + tag("rax", [0], 0xA, 8) + tag("CR64", [0, 3], 0x1AC000, 8),
              "memory": tag("regionsCount", [], 1, 4) + tag("regionPageNum", [0], 0, 4)
                        + tag("regionPPN", [0], 0, 4) + tag("regionSize", [0], pages, 4)}
    head, body = struct.pack("<III", 0xBED2BED2, 8, len(groups)), b""
    start = len(head) + 80 * len(groups)
    for name, tags in groups.items():
        head += struct.pack("<64sQQ", name.encode(), start + len(body), len(tags) + 2)
        body += tags + b"\0\0"
    return head + body


def monitor_registers(guest):
    """What QEMU's own monitor says: rax to r15, rip and the control registers, as far as it does."""
    text = guest.ask("human-monitor-command", **{"command-line": "info registers"})
    found = re.findall(r"\b([ER])(AX|BX|CX|DX|SI|DI|BP|SP|IP)=([0-9a-f]+)|\b(CR[0234])=([0-9a-f]+)",
                       text)
    return {("r" + name if name else control).lower(): int(value or control_value, 16)
            for _, name, value, control, control_value in found}


class ImagesTest(CliTest):
    def test_lime_is_told_read_and_dumped_again(self):
        data = pattern(3 * PAGE)
        self.file("guest.lime", lime([(PAGE, data[:PAGE]), (1 << 32, data[PAGE:])]))
        info = self.ok("info", "--json", "guest.lime").json
        self.assertEqual(info["facts"]["format"], "lime")
        self.assertEqual([(one["gpa"], one["size"]) for one in info["map"]],
                         [(PAGE, PAGE), (1 << 32, 2 * PAGE)])
        self.assertEqual(self.ok("read", 1 << 32, 2 * PAGE, "--raw", "guest.lime").out, data[PAGE:])
        self.ok("dump", "-o", "again.elf", "guest.lime")
        self.assertEqual(self.ok("read", PAGE, PAGE, "--raw", "again.elf").out, data[:PAGE])

    def test_parts_of_pages_are_no_silent_loss(self):
        self.file("guest.lime", lime([(PAGE, pattern(2 * PAGE - 0x400)), (1 << 20, pattern(PAGE))]))
        facts = self.ok("info", "--json", "guest.lime").json["facts"]
        self.assertEqual(facts["bytes_in_parts_of_pages"], PAGE - 0x400)
        for command in (("convert", "guest.lime", "out.elf", "--verify"),
                        ("dump", "-o", "out.raw", "--format=raw", "guest.lime")):
            done = self.run_tool(*command)
            self.assertEqual(done.code, 0, done)
            self.assertIn("only a part: 3072 bytes are not in this dump", done.err)

    def test_a_crash_dump_tells_where_to_begin(self):
        data = pattern(3 * PAGE)
        self.file("memory.dmp", crash_dump([(1, 1), (16, 2)], data))
        info = self.ok("info", "--json", "memory.dmp").json
        self.assertEqual(info["vcpus"], 4)
        self.assertIn("registers", info["capabilities"])
        facts = info["facts"]
        self.assertEqual((facts["format"], facts["dtb"], facts["kdbg"], facts["bugcheck"]),
                         ("windows64", "0x1ad000", "0xfffff80001234000", "0x7e"))
        self.assertEqual(facts["cr3"], "0x1ad002")
        self.assertEqual(self.ok("read", 16 * PAGE, 2 * PAGE, "--raw", "memory.dmp").out, data[PAGE:])
        self.assertIn("bugcheck", self.ok("info", "memory.dmp").text)
        first = self.ok("regs", "--json", "--vcpu", 0, "memory.dmp").json[0]["registers"]
        self.assertEqual((first["rip"], first["cr3"]), (0xFFFFF80001000000, 0x1AD002))
        self.assertNotIn("cr4", first)

    def test_registers_of_a_checkpoint(self):
        self.file("guest.vmss", checkpoint(2))
        self.file("guest.vmem", pattern(2 * PAGE))
        [vcpu] = self.ok("regs", "--json", "guest.vmss").json
        self.assertEqual({name: vcpu["registers"][name] for name in ("rip", "rax", "cr3")},
                         {"rip": 0xFFFFFFFF81000000, "rax": 0xA, "cr3": 0x1AC000})
        self.assertIn("ffffffff81000000", self.ok("regs", "guest.vmem").text)

    def test_registers_that_no_image_has(self):
        self.file("guest.lime", lime([(0, pattern(PAGE))]))
        self.fails(1, "regs", "guest.lime", says="not_supported")

    def test_what_is_cut_off_is_told_and_cannot_be_read(self):
        self.file("cut.dmp", crash_dump([(0, 3)], pattern(3 * PAGE))[:-PAGE])
        info = self.run_tool("info", "--json", "cut.dmp")
        self.assertEqual((info.code, info.json["facts"]["missing_bytes"]), (0, PAGE))
        self.fails(1, "read", 2 * PAGE, 16, "cut.dmp", says="0x2000")

    def test_what_is_not_read_says_what_opens_it(self):
        for magic, says in ((b"MDMP", "WinDbg"), (b"HIBR", "MemProcFS"), (b"HPAK", "Volatility 2"),
                            (b"\x14\x20\x28\x01", "MemProcFS"), (b"\x1f\x8b", "unpack it first")):
            self.file("other", magic.ljust(PAGE, b"\0"))
            self.fails(1, "info", "other", says=(says, "this build reads elf"))

    def test_a_forced_format_is_the_users_word(self):
        self.file("guest.lime", lime([(0, pattern(PAGE))]))
        result = self.run_tool("info", "--json", "--memflow-coredump-format=raw", "guest.lime")
        self.assertEqual(result.json["facts"]["format"], "raw")
        self.file("core.elf", elf_core([(0, bytes(PAGE))]))
        self.fails(1, "info", "--memflow-coredump-format=lime", "core.elf", says="LiME")

    @unittest.skipUnless(PROGRAM, "no qemu-system-x86_64")
    def test_a_migration_stream_is_what_pmemsave_says(self):
        guest = Qemu(self.folder, "streamed")
        self.addCleanup(guest.stop)
        time.sleep(1)  # some firmware in memory
        guest.ask("stop")
        guest.ask("migrate", uri=f"exec:exec cat > {self.path('guest.stream')}")
        for _ in range(600):
            if guest.ask("query-migrate").get("status") == "completed":
                break
            time.sleep(0.1)
        info = self.ok("info", "--json", "guest.stream").json
        self.assertEqual(info["facts"]["format"], "migration")
        self.assertIn("pc-i440fx", info["facts"]["machine"])
        self.assertEqual((info["vcpus"], info["end_of_memory"]), (1, 64 << 20))
        for region in info["map"]:
            ours = self.ok("read", region["gpa"], region["size"], "--raw", "guest.stream").out
            truth = guest.memory(region["gpa"], region["size"], self.path("truth"))
            self.assertTrue(ours == truth, f"at {region['gpa']:#x}")
        self.check_registers(guest)

    def check_registers(self, guest):
        truth = monitor_registers(guest)
        self.assertGreaterEqual(len(truth), 13)
        for shape, more in (("elf", {}), ("kdump", {"format": "kdump-zlib"})):
            guest.ask("dump-guest-memory", paging=False, protocol=f"file:{self.path('guest')}.{shape}",
                      **more)
        for image in ("guest.stream", "guest.elf", "guest.kdump"):
            [vcpu] = self.ok("regs", "--json", image).json
            self.assertEqual({name: vcpu["registers"][name] for name in truth}, truth, image)


if __name__ == "__main__":
    unittest.main()
