# SPDX-License-Identifier: Apache-2.0
"""microvmi dump and write on images: what is written, what is kept, what is told."""
import os
import subprocess

from support import RAW, TOOL, CliTest, elf_core, pattern


class DumpTest(CliTest):
    def setUp(self):
        super().setUp()
        self.data = pattern(3 << 20)
        self.file("memory.raw", self.data)

    def test_raw_is_the_memory_itself(self):
        shown = self.ok("dump", "-o", "out.raw", "--format", "raw", "memory.raw", RAW).text
        self.assertEqual(self.path("out.raw").read_bytes(), self.data)
        self.assertIn("out.raw", shown)
        self.assertIn("3.0 MiB", shown)
        self.assertFalse(self.path("out.raw.partial").exists())

    def test_elf_is_the_default_and_an_independent_reader_finds_the_memory(self):
        self.ok("dump", "--output=out.elf", "memory.raw", RAW)
        core = self.path("out.elf").read_bytes()
        self.assertEqual(core[:6], b"\x7fELF\x02\x01")
        self.assertEqual(int.from_bytes(core[16:18], "little"), 4)  # ET_CORE
        start = int.from_bytes(core[32:40], "little")  # e_phoff
        count = int.from_bytes(core[56:58], "little")  # e_phnum
        memory = {}
        for at in range(start, start + 56 * count, 56):
            kind = int.from_bytes(core[at:at + 4], "little")
            offset, gpa = (int.from_bytes(core[at + i:at + i + 8], "little") for i in (8, 24))
            size = int.from_bytes(core[at + 32:at + 40], "little")
            if kind == 1:  # PT_LOAD
                memory[gpa] = core[offset:offset + size]
        self.assertEqual(memory, {0: self.data})

    def test_json(self):
        report = self.ok("dump", "-o", "out.raw", "--format=raw", "--json", "memory.raw", RAW).json
        self.assertEqual(set(report), {"file", "format", "bytes", "file_size", "padded", "unreadable",
                                       "reused", "first_unreadable", "vcpus", "vmcoreinfo", "paused",
                                       "milliseconds"})
        self.assertIsInstance(report["milliseconds"], int)  # as every number in JSON
        self.assertEqual({key: report[key] for key in ("file", "format", "bytes", "file_size",
                                                       "padded", "unreadable", "paused")},
                         {"file": "out.raw", "format": "raw", "bytes": len(self.data),
                          "file_size": len(self.data), "padded": 0, "unreadable": 0,
                          "paused": False})

    def test_a_series_takes_both_options_and_a_guest_that_tells_written_pages(self):
        for code, says, *more in ((2, "go together", "--every", "1s"),
                                  (2, "go together", "--count", "2"),
                                  (2, "--count expects", "--every", "1s", "--count", "0"),
                                  (1, "no dirty_pages", "--every", "1s", "--count", "2")):
            self.fails(code, "dump", "-o", "x", *more, "memory.raw", RAW, says=says)
        self.assertFalse(self.path("x").exists())

    def test_an_existing_file_is_replaced_when_the_new_one_is_whole(self):
        self.file("out.raw", b"old")
        self.ok("dump", "-o", "out.raw", "--format=raw", "memory.raw", RAW)
        self.assertEqual(self.path("out.raw").read_bytes(), self.data)
        self.file("out.raw", b"old")
        self.fails(1, "dump", "-o", "out.raw", "--format=raw", "absent/memory.raw", RAW)
        self.assertEqual(self.path("out.raw").read_bytes(), b"old")

    def test_what_is_no_place_for_a_dump(self):
        os.mkfifo(self.path("fifo"))
        (self.path("folder")).mkdir()
        for place in ("fifo", "folder", "absent/out.elf", "/dev/null", "/proc/out.elf"):
            self.fails(1, "dump", "-o", place, "memory.raw", RAW, timeout=10)

    def test_a_full_file_system(self):
        if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
            self.skipTest("this machine allows no user and mount namespaces")
        self.path("disk").mkdir()
        script = (f'mount -t tmpfs -o size=1m none disk && "{TOOL}" dump -o disk/out '
                  f'--format "$0" memory.raw {RAW}; echo "code $?"; ls disk; '
                  'stat -c %s disk/out.partial')
        for shape in ("elf", "raw"):
            done = subprocess.run(["unshare", "-rm", "sh", "-c", script, shape], cwd=self.folder,
                                  env=self.env, check=False, capture_output=True, timeout=60)
            words = done.stdout.decode().split()
            self.assertEqual(words[:3], ["code", "1", "out.partial"], done)
            self.assertLessEqual(int(words[3]), 1 << 20)
            for says in ("No space left on device", "'disk/out.partial' holds", "below 0x"):
                self.assertIn(says, done.stderr.decode())

    def test_a_size_limit_leaves_no_file_and_names_the_partial_one(self):
        limited = f'ulimit -f 1024; trap "" XFSZ; "{TOOL}" dump -o out.raw --format raw memory.raw {RAW}'
        done = subprocess.run(["bash", "-c", limited], cwd=self.folder, env=self.env, check=False,
                              capture_output=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn("out.raw.partial", done.stderr.decode())
        self.assertIn("File too large", done.stderr.decode())
        self.assertFalse(self.path("out.raw").exists())

    def test_wrong_use(self):
        self.fails(2, "dump", "memory.raw", RAW, says="-o FILE is required")
        self.fails(2, "dump", "-o", "", "memory.raw", RAW, says="-o FILE is required")
        self.fails(2, "dump", "-o", "x", "--format", "zip", "memory.raw", RAW, says="elf, raw")
        self.assertFalse(self.path("x").exists())

    def test_what_the_image_itself_lacks_is_told(self):
        self.file("odd.raw", self.data[:8192 + 100])
        shown = self.run_tool("dump", "-o", "out.raw", "--format=raw", "odd.raw", RAW)
        self.assertEqual(shown.code, 0, shown)
        self.assertIn("its last 100 bytes are not in this dump", shown.err)
        self.file("cut.elf", elf_core([(0, self.data[:1 << 20])])[:-8192])
        shown = self.run_tool("dump", "-o", "out.elf", "cut.elf")
        self.assertEqual(shown.code, 0, shown)
        self.assertIn("cut off: 8192 bytes of memory are not in it", shown.err)

    def test_an_image_cannot_be_paused(self):
        self.fails(1, "dump", "--pause", "-o", "x", "memory.raw", RAW, says="run_control")
        self.assertFalse(self.path("x").exists())


class WriteTest(CliTest):
    def setUp(self):
        super().setUp()
        self.file("memory.raw", bytes(8192))

    def test_an_image_is_read_only(self):
        self.fails(1, "write", 0, "memory.raw", RAW, stdin=b"abc", says="read_only")
        self.fails(1, "write", 0, "memory.raw", RAW, "--hex=00", says="read_only")
        self.assertEqual(self.path("memory.raw").read_bytes(), bytes(8192))

    def test_wrong_use_is_told_at_once(self):
        self.fails(2, "write", "here", "memory.raw", RAW, "--hex=0g",
                   says=["GPA expects", "hexadecimal digits"])
        self.fails(2, "write", 0, "memory.raw", RAW, "--hex=abc", says="two digits")
        self.fails(2, "write", 0, "memory.raw", RAW, "--hex=", says="at least one byte")
        self.fails(2, "write", says="GPA is required")
