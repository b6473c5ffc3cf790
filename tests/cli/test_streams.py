# SPDX-License-Identifier: Apache-2.0
"""stdout holds the result alone; what does not arrive is an error; colours are for terminals."""
import os
import pty
import signal
import subprocess
import time

from support import RAW, TOOL, CliTest, pattern, soon


class StreamsTest(CliTest):
    def setUp(self):
        super().setUp()
        self.file("memory.raw", pattern(1 << 20))

    def test_a_full_disk_behind_stdout_is_a_failure(self):
        for command in (["read", 0, 16, "memory.raw", RAW], ["drivers"], ["scan", "--json"],
                        ["params"], ["--help"], ["--version"], ["completion", "bash"],
                        ["read", 0, "1M", "memory.raw", RAW, "--raw"]):
            with open("/dev/full", "wb") as full:
                result = self.run_tool(*command, capture_output=False, stdout=full,
                                       stderr=subprocess.PIPE)
            self.assertEqual(result.code, 1, command)
            self.assertIn("No space left on device", result.err)

    def test_a_closed_stdout_is_a_failure_and_is_nobody_elses_file(self):
        shell = f'"{TOOL}" dump -o out.raw --format raw memory.raw {RAW} >&-'
        done = subprocess.run(["bash", "-c", shell], cwd=self.folder, env=self.env, check=False,
                              capture_output=True)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(self.path("out.raw").read_bytes(), pattern(1 << 20))

    def test_a_reader_that_has_enough_is_no_failure(self):
        for command in (f"read 0 1M memory.raw {RAW}", f"read 0 64G memory.raw {RAW} --raw --pad 0"):
            shell = f'set -o pipefail; "{TOOL}" {command} | head -c 5'
            done = subprocess.run(["bash", "-c", shell], cwd=self.folder, env=self.env, check=False,
                                  capture_output=True, timeout=30)
            self.assertEqual((done.returncode, len(done.stdout), done.stderr), (0, 5, b""))

    def test_verbose_lines_go_to_stderr(self):
        quiet = self.ok("info", "--json", "memory.raw", RAW)
        for flag in ("-v", "-vv", "--verbose"):
            loud = self.run_tool("info", "--json", "memory.raw", RAW, flag)
            self.assertEqual((loud.code, loud.out), (0, quiet.out))
            self.assertIn("memflow: opened by coredump", loud.err)

    def test_no_colours_where_there_is_no_terminal(self):
        for command in (["drivers"], ["info", "memory.raw", RAW], ["params", "--explain"]):
            self.assertNotIn(b"\x1b", self.ok(*command).out)

    def on_terminal(self, *args, env=None):
        parent, child = pty.openpty()
        with subprocess.Popen([TOOL, *map(str, args)], cwd=self.folder, env=env or self.env,
                              stdin=subprocess.DEVNULL, stdout=child, stderr=child) as tool:
            os.close(child)
            out = b""
            try:
                while block := os.read(parent, 65536):
                    out += block
            except OSError:  # EIO: the last one closed the terminal
                pass
            os.close(parent)
            return tool.wait(30), out

    def test_colours_on_a_terminal_unless_unwanted(self):
        code, out = self.on_terminal("drivers")
        self.assertEqual(code, 0)
        self.assertIn(b"\x1b[", out)
        for unwanted in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            _, out = self.on_terminal("drivers", env=self.env | unwanted)
            self.assertNotIn(b"\x1b[", out)

    def test_progress_on_a_terminal_alone(self):
        self.file("big.raw", pattern(64) * (1 << 20))
        code, out = self.on_terminal("dump", "-o", "a.elf", "big.raw", RAW)
        self.assertEqual(code, 0)
        self.assertIn(b"100%  64.0 MiB of 64.0 MiB", out)
        self.assertEqual(self.ok("dump", "-o", "b.elf", "big.raw", RAW).err, "")

    def test_names_cannot_play_tricks_on_the_terminal(self):
        result = self.fails(1, "info", "--vm-name", "a\x1b[2Jb")
        self.assertNotIn("\x1b", result.err)

    def interrupted(self, signal_number, *args, times=1, **popen):
        tool = self.start(*args, **popen)
        time.sleep(0.5)
        self.assertIsNone(tool.poll(), "it ended before the signal")
        for _ in range(times):
            tool.send_signal(signal_number)
            time.sleep(0.2)
        _, err = tool.communicate(timeout=20)
        return tool.returncode, err.decode()

    def waiting_for_its_reader(self, **popen):
        tool = self.start("read", 0, "1G", "memory.raw", RAW, "--raw", "--pad", 0, **popen)
        os.read(tool.stdout.fileno(), 1)
        return tool

    def test_signals_end_a_command_with_exit_code_1(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with open("/dev/null", "wb") as null:
                code, err = self.interrupted(number, "read", 0, 1 << 62, "memory.raw", RAW, "--raw",
                                             "--pad", 0, stdout=null)
            self.assertEqual((code, err), (1, "microvmi: interrupted\n"))

    def test_one_signal_that_comes_twice_is_one(self):
        """As timeout(1) sends it, to the child and then to the group."""
        tool = self.waiting_for_its_reader()
        for number in (signal.SIGINT, signal.SIGTERM):
            tool.send_signal(number)
        _, err = tool.communicate(timeout=20)
        self.assertEqual((tool.returncode, err), (1, b"microvmi: interrupted\n"))

    def test_ignored_signals_stay_ignored(self):
        """As nohup and the background jobs of scripts have it."""
        def ignore():
            for number in (signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
        tool = self.waiting_for_its_reader(preexec_fn=ignore)
        for number in (signal.SIGHUP, signal.SIGINT):
            tool.send_signal(number)
        time.sleep(0.3)
        self.assertIsNone(tool.poll())
        tool.send_signal(signal.SIGTERM)
        _, err = tool.communicate(timeout=20)
        self.assertEqual((tool.returncode, err), (1, b"microvmi: interrupted\n"))

    def test_a_signal_while_the_guest_is_opened(self):
        # Where no QEMU comes, the driver listens until its deadline.
        tool = self.start("info", "--driver=kvm", "--kvm-unix-socket=listens")
        self.assertTrue(soon(self.path("listens").exists))
        tool.send_signal(signal.SIGINT)
        _, err = tool.communicate(timeout=20)
        self.assertEqual((tool.returncode, err.splitlines()[1:]), (1, [b"microvmi: interrupted"]))

    def test_a_signal_ends_a_command_whose_reader_sleeps(self):
        reader, writer = os.pipe()
        code, err = self.interrupted(signal.SIGINT, "read", 0, "1G", "memory.raw", RAW, "--raw",
                                     "--pad", 0, stdout=writer)
        os.close(reader)
        os.close(writer)
        self.assertEqual((code, err), (1, "microvmi: interrupted\n"))
