# SPDX-License-Identifier: Apache-2.0
"""The pages on the command line say what the program says, and their examples do what they show."""
import os
import pathlib
import re
import shutil
import subprocess
import unittest

from support import TOOL, CliTest

DOCS = pathlib.Path(__file__).parent.parent.parent / "docs"


def examples(page):
    """[(command, what it shows)] of a page's console blocks."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.S):
        for line in block.splitlines(keepends=True):
            if line.startswith("$ "):
                found.append((line[2:].rstrip("\n"), ""))
            else:
                found[-1] = (found[-1][0], found[-1][1] + line)
    return found


class HowToTest(CliTest):
    def check_page(self, name):
        self.env["PATH"] = os.path.dirname(TOOL) + ":" + self.env["PATH"]
        commands = examples(DOCS / "how-to" / name)
        self.assertTrue(commands)
        for command, shown in commands:
            done = subprocess.run(["bash", "-c", command], cwd=self.folder, env=self.env,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, check=False, timeout=60)
            self.assertEqual(done.stdout.decode().rstrip("\n"), shown.rstrip("\n"), command)

    def test_look_at_an_image(self):
        self.check_page("look-at-an-image.md")

    def test_translate_addresses(self):
        self.check_page("translate-addresses.md")

    @unittest.skipUnless(shutil.which("qemu-system-x86_64"), "there is no qemu-system-x86_64")
    def test_pause_and_watch_a_guest(self):
        self.addCleanup(self.end_guest)
        self.check_page("pause-and-watch-a-guest.md")

    @unittest.skipUnless(shutil.which("qemu-system-x86_64"), "there is no qemu-system-x86_64")
    def test_read_and_write_a_guest(self):
        self.addCleanup(self.end_guest)
        self.check_page("read-and-write-a-guest.md")

    def end_guest(self):
        try:
            os.kill(int(self.path("qemu.pid").read_text()), 9)
        except (OSError, ValueError):
            pass


class ReferenceTest(CliTest):
    def setUp(self):
        super().setUp()
        self.page = (DOCS / "reference" / "cli.md").read_text()

    def test_every_command_and_every_option_of_its_own_is_told(self):
        top = self.ok("--help").text
        names = re.findall(r"^  (\w+) {2,}", top.split("Subcommands:")[1].split("\n\n")[0], re.M)
        self.assertEqual(len(names), 14)
        for name in names:
            row = re.search(rf"^\| `{name}[ `].*$", self.page, re.M)
            self.assertTrue(row, name)
            own = self.ok(name, "--help").text.split("Options of every command:")[0]
            for option in re.findall(r"^  (?:-\w,)?(--[\w-]+)", own, re.M):
                self.assertIn(option, row[0], name)
        for option in re.findall(r"^  (?:-\w,)?(--[\w-]+)",
                                 top.split("Options of every command:")[1].split("\n\n")[0], re.M):
            self.assertIn(option, self.page)

    def test_no_command_or_option_is_told_that_does_not_exist(self):
        for row in re.findall(r"^\| `(\w+)[^\n]*\|([^|\n]*(?:\\\|[^|\n]*)*)\|$",
                              self.page.split("Options of every command")[0], re.M):
            shown = self.ok(row[0], "--help").text
            for option in re.findall(r"`(-[\w-]+)", row[1]):
                self.assertIn(option, shown)


if __name__ == "__main__":
    unittest.main()
