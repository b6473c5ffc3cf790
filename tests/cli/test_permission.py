# SPDX-License-Identifier: Apache-2.0
"""What another user is told of a guest that it may not read: exactly what is missing."""
import os
import pathlib
import unittest

import qemu
from support import TOOL, CliTest, elf_core

NOBODY = 65534
IS_REACHED = all(one.stat().st_mode & 1 for one in pathlib.Path(TOOL).resolve().parents)


@unittest.skipUnless(qemu.PROGRAM, "there is no qemu-system-x86_64 on this machine")
@unittest.skipUnless(os.geteuid() == 0, "only root can become another user")
@unittest.skipUnless(IS_REACHED, "the build is in a folder that is closed to other users")
class PermissionTest(CliTest):
    def setUp(self):
        super().setUp()
        self.guest = qemu.Qemu(self.folder, "line\nbreak")
        self.addCleanup(self.guest.stop)
        self.env["HOME"] = "/nonexistent"
        self.other = {"user": NOBODY, "group": NOBODY, "extra_groups": []}

    def test_opening_names_the_users_and_the_capability(self):
        shown = self.fails(1, "info", "--pid", self.guest.pid, **self.other, says=[
            "permission_denied", "belongs to user 0, this is user 65534", "CAP_SYS_PTRACE"]).err
        self.assertIn(f"pid {self.guest.pid} (line\\nbreak)", shown)

    def test_scan_does_not_call_it_absent(self):
        asked = ["scan", "--pid", self.guest.pid]
        self.assertEqual(self.ok(*asked, "--json", **self.other).json, [])
        shown = self.ok(*asked, **self.other).text
        self.assertIn("no guest that could be opened", shown)
        self.assertIn(f"pid {self.guest.pid} (line\\nbreak)", shown)
        self.assertIn("belongs to user 0", shown)
        self.assertEqual(self.ok(*asked, "--json").json[0]["vm_name"], "line\nbreak")

    def test_the_settings_of_another_user_are_not_looked_at(self):
        """As where a service gave up being root and kept its HOME."""
        self.file(".config/microvmi/config.toml", "nonsense")
        self.file("memory.elf", elf_core([(0, bytes(4096))])).chmod(0o644)
        self.folder.chmod(0o711)
        self.path(".config").chmod(0o700)
        self.env["HOME"] = str(self.folder)
        shown = self.run_tool("info", self.path("memory.elf"), **self.other)
        self.assertEqual(shown.code, 0, shown)
        self.assertIn("config.toml, which is in a folder closed to this user", shown.err)
        self.path(".config").chmod(0o755)
        self.path(".config/microvmi/config.toml").chmod(0)
        self.fails(2, "info", self.path("memory.elf"), **self.other, says="config.toml: Permission")

    def test_an_image_of_another_user(self):
        self.file("memory.raw", bytes(4096)).chmod(0)
        self.folder.chmod(0o755)
        self.fails(1, "info", self.path("memory.raw"), **self.other,
                   says=["permission_denied", "memory.raw: Permission denied"])
