# SPDX-License-Identifier: Apache-2.0
"""Completion: what the program answers, and the shells themselves made to complete a line."""
import os
import pty
import re
import select
import shutil
import subprocess
import time
import unittest

from support import TOOL, CliTest

EXPECTED = [  # line typed, words that must be among the candidates, words that must not
    ("microvmi ", ["scan", "read", "completion"], ["--json"]),
    ("microvmi re", ["read"], ["scan"]),
    ("microvmi dump --fo", ["--format="], ["--json"]),
    ("microvmi dump --format=", ["elf", "raw"], []),
    ("microvmi dump --format r", ["raw"], ["elf"]),
    ("microvmi info --driver ", ["xen", "kvm", "qemu", "memflow"], []),
    ("microvmi info --memflow-connector=p", ["pcileech"], ["coredump"]),
    ("microvmi info --kvm-un", ["--kvm-unix-socket="], []),
    ("microvmi info --memflow-coredump-filepath=mem", ["memory.raw"], []),
    ("microvmi info --memflow-coredump-filepath mem", ["memory.raw"], []),
    ("microvmi info mem", ["memory.raw"], []),
    ("microvmi read 0 16 mem", ["memory.raw"], []),
    ("microvmi drivers m", ["memflow"], ["xen"]),
    ("microvmi completion ", ["bash", "zsh", "fish"], []),
]

PROMPT = r"[\r\n]> $"  # alone at the start of a line, as the shell is told to show it


class CompleteTest(CliTest):
    def setUp(self):
        super().setUp()
        self.file("memory.raw", b"x")

    def candidates(self, *words):
        lines = self.ok("__complete", *words).text.splitlines()
        return [line.split("\t")[0] for line in lines]

    def test_every_option_of_every_row_is_offered(self):
        offered = self.candidates("info", "--")
        for row in self.ok("params", "--json").json:
            self.assertIn(row["option"] + ("" if row["type"] == "flag" else "="), offered)
        self.assertIn("--config=", offered)
        self.assertIn("--json", offered)
        self.assertNotIn("--raw", offered)
        self.assertIn("--raw", self.candidates("read", "--"))

    def test_choices_of_every_row_are_offered(self):
        for row in self.ok("params", "--json").json:
            if row["choices"]:
                self.assertEqual(set(self.candidates("info", row["option"] + "=")),
                                 {row["option"] + "=" + one for one in row["choices"]})
                self.assertEqual(set(self.candidates("info", row["option"], "")),
                                 set(row["choices"]))

    def test_nothing_is_ever_said_on_stderr(self):
        for words in ([], [""], ["nonsense", ""], ["read", "0", "1", "2", "3", ""], ["--pid"],
                      ["info", "--no-such="], ["info", "--pid", "--pid", "-"]):
            self.ok("__complete", *words)

    def test_help_tells_each_candidate(self):
        lines = dict(line.split("\t") for line in self.ok("__complete", "").text.splitlines())
        self.assertEqual(set(lines), {"drivers", "scan", "info", "read", "write", "translate", "dump",
                                      "convert",
                                      "regs", "pause", "resume", "events", "params", "completion"})
        self.assertTrue(all(lines.values()))


class ShellTest(CliTest):
    def setUp(self):
        super().setUp()
        self.file("memory.raw", b"x")
        self.env["PATH"] = os.path.dirname(TOOL) + ":" + self.env["PATH"]

    def check(self, complete):
        for line, wanted, unwanted in EXPECTED:
            found = complete(line)
            with self.subTest(line=line):
                for word in wanted:
                    self.assertTrue(any(one.rstrip() in (word, line.split()[-1].partition("=")[0] +
                                                         "=" + word) for one in found), found)
                for word in unwanted:
                    self.assertNotIn(word, found)

    def test_bash(self):
        def complete(line):
            # What readline does: split at its word breaks, call the function, show COMPREPLY.
            script = f"""source <(microvmi completion bash)
            COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}
            COMP_WORDS=({" ".join(repr(one) for one in split_like_bash(line))})
            COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
            _microvmi microvmi; printf '%s\\n' "${{COMPREPLY[@]}}" """
            done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True,
                                  env=self.env, cwd=self.folder, check=False, timeout=30)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            return done.stdout.splitlines()

        self.check(complete)

    def test_bash_on_a_terminal(self):
        screen = self.type_in(["bash", "--norc", "--noprofile", "-i"],
                              [("PS1='> '; source <(microvmi completion bash)\n", PROMPT),
                               ("microvmi info --memflow-coredump-for\t", "mat="), ("r\t", "raw"),
                               (" mem\t", "memory")])
        self.assertIn("microvmi info --memflow-coredump-format=raw  memory.raw", screen)

    @unittest.skipUnless(shutil.which("zsh"), "zsh is not installed")
    def test_zsh_on_a_terminal(self):
        screen = self.type_in(["zsh", "-f", "-i"],
                              [("PS1='> '; autoload -Uz compinit; compinit -u -D\n", PROMPT),
                               ("source <(microvmi completion zsh)\n", PROMPT),
                               ("microvmi info --memflow-coredump-for\t", "mat="), ("r\t", "raw"),
                               ("mem\t", "memory")])
        self.assertRegex(screen, r"--memflow-coredump-format=raw +memory\.raw")

    @unittest.skipUnless(shutil.which("fish"), "fish is not installed")
    def test_fish(self):
        def complete(line):
            script = f"microvmi completion fish | source; complete -C {line!r}"
            done = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True,
                                  text=True, env=self.env, cwd=self.folder, check=False, timeout=30)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            return [one.split("\t")[0] for one in done.stdout.splitlines()]

        self.check(complete)

    def type_in(self, shell, keys):
        """Types into an interactive shell, each when what the one before shows is there; the screen."""
        parent, child = pty.openpty()
        with subprocess.Popen(shell, stdin=child, stdout=child, stderr=child, env=self.env,
                              cwd=self.folder, start_new_session=True) as running:
            os.close(child)
            screen = b""
            for text, wanted in keys:
                os.write(parent, text.encode())
                screen += self.wait_for(parent, wanted)
            running.kill()
        os.close(parent)
        return as_shown(screen)

    @staticmethod
    def wait_for(parent, wanted):
        """What comes until that is shown, or 60 seconds are over, and then what follows at once."""
        out = b""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            is_there = re.search(wanted, as_shown(out))
            if not select.select([parent], [], [], 0.2)[0]:
                if is_there:
                    break
                continue
            try:
                out += os.read(parent, 65536)
            except OSError:
                break
        return out


def as_shown(output):
    """What a terminal shows of this, as far as these shells move on it."""
    text = output.decode(errors="replace")
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\x07", "", text)
    while "\x08" in text:
        text = re.sub("[^\x08]\x08|^\x08", "", text, count=1)
    return text


def split_like_bash(line):
    """COMP_WORDS for the usual COMP_WORDBREAKS, in which = stands as a word of its own."""
    words = []
    for part in line.split(" "):
        words += [one for one in re.split(r"([=:])", part) if one] or [""]
        if part.endswith(("=", ":")):
            words.append("")
    return words


if __name__ == "__main__":
    unittest.main()
