# SPDX-License-Identifier: Apache-2.0
"""What users get wrong: each a clear error with the right exit code, all of them at once."""
import os

from support import RAW, CliTest


class UsageTest(CliTest):
    def test_unknown_words_name_the_nearest_known_one(self):
        self.fails(2, "scna", says=["there is no command 'scna'", "did you mean scan?"])
        self.fails(2, "scan", "--jsno", says=["there is no option --jsno", "did you mean --json?"])
        shown = self.fails(2, "inf", "first", says="did you mean info?").err
        self.assertNotIn("'first'", shown)
        self.fails(2, "info", "--kvm-unix-sokcet=/a", says="did you mean --kvm-unix-socket?")
        self.fails(2, "info", "--drvier=kvm", says="did you mean --driver?")
        self.fails(2, "info", "--zzzzzz", says="there is no option --zzzzzz")
        self.fails(2, "info", "-z", says="there is no option -z")
        self.fails(2, says="")
        self.fails(2, "read", 0, 1, "a", "b", says="one word too many: 'b'")

    def test_every_problem_at_once(self):
        self.fails(2, "read", "zero", "--kvm-timeout=soon", "--pid=-1", "--no-such=1",
                   "--kvm-unix-socket=/a", "--kvm-vsock-port=1", "--driver=vmware",
                   says=["GPA expects", "LENGTH is required", "kvm.timeout expects", "pid expects",
                         "there is no option --no-such", "kvm.unix-socket excludes kvm.vsock-port",
                         "--driver expects"])

    def test_wrong_values_of_parameters(self):
        for option, says in ((["--pid=abc"], "pid"), (["--pid=0"], "pid"),
                             (["--pid=99999999"], "pid"), (["--timeout=1y"], "--timeout"),
                             (["--memflow-connector=floppy"], "qemu-procfs, kvm, pcileech, coredump"),
                             (["--pid=1", "--pid=2"], "given twice"),
                             (["--memflow-kvm-pid=1", "--memflow-coredump-filepath=/a"], "excludes"),
                             (["--memflow-connector=coredump"], "memflow.coredump.filepath"),
                             (["--kvm-timeout=3s"], "required")):
            self.fails(2, "info", *option, says=says)

    def test_an_option_twice(self):
        for twice in (["--config=a", "--config", "b"], ["--driver=kvm", "--driver=xen"]):
            self.fails(2, "info", *twice, says=twice[0].split("=")[0] + " is given more than once")

    def test_a_wrong_length_is_one_problem(self):
        for length in ("8E", "18446744073709551616", "x"):
            shown = self.fails(2, "read", 0, length, says="LENGTH").err
            self.assertEqual(shown.count("LENGTH"), 1, shown)
        self.fails(2, "read", 0, 0, says="LENGTH expects at least 1")

    def test_an_option_without_its_value(self):
        self.fails(2, "info", "--pid")
        self.fails(2, "dump", "-o")

    def test_a_wrong_configuration_file(self):
        self.fails(2, "info", "--config", "absent.toml", says="absent.toml")
        self.fails(2, "info", "--config", "", says="")
        self.fails(2, "info", "--config", self.folder, says=str(self.folder))
        os.mkfifo(self.path("fifo.toml"))
        self.fails(2, "info", "--config", "fifo.toml", says="fifo.toml", timeout=10)
        self.file("broken.toml", "vm-name = \n")
        self.fails(2, "info", "--config", "broken.toml", says="broken.toml")
        self.file("wrong.toml", "vm-nam = 'a'\npid = 'x'\n[kvm]\nunix-socket = 1979-05-27\n")
        self.fails(2, "info", "--config=wrong.toml",
                   says=["vm-nam is not a parameter", "did you mean vm-name?", "pid expects",
                         "kvm.unix-socket", "wrong.toml"])

    def test_what_opens_no_guest_passes_the_users_own_file_over(self):
        path = self.file(".config/microvmi/config.toml", "vm-name = \n")
        for content, says in (("vm-name = \n", "config.toml:1"), ("pid = 'x'\nvm-nam = 'a'\n", "vm-nam")):
            path.write_text(content)
            for command in (["drivers"], ["drivers", "--json"], ["params"], ["params", "--json"]):
                result = self.run_tool(*command)
                self.assertEqual(result.code, 0, result)
                self.assertIn(says, result.err)
                self.assertIn("config.toml is passed over here" if "pid" in content else
                              "passed over here", result.err)
                self.assertIn("memflow", result.text)
                self.fails(2, *command, "--config", path, says=says)
            self.ok("completion", "bash")
            self.ok("__complete", "in")
            self.fails(2, "info", says=says)
            self.fails(2, "scan", says=says)
            self.fails(2, "params", "--explain", says=says)

    def test_a_completion_script_needs_no_right_environment(self):
        self.env["MICROVMI_PARAM_PID"] = "many"
        self.ok("completion", "zsh")
        self.fails(2, "completion", "zsh", "--timeout=1y", says="--timeout")
        self.fails(2, "completion", "zsh", "--no-such", says="--no-such")

    def test_a_wrong_environment(self):
        self.env["MICROVMI_PARAM_PID"] = "many"
        self.fails(2, "info", says=["pid expects", "MICROVMI_PARAM_PID"])
        self.env = self.env | {"MICROVMI_PARAM_PID": "1", "MICROVMI_PARAM_": "x"}
        self.fails(2, "info", says="'' is not a parameter (environment MICROVMI_PARAM_)")

    def test_a_file_to_write_is_no_stream(self):
        self.file("memory.raw", bytes(4096))
        self.fails(2, "dump", "-o", "-", "memory.raw", RAW, says="-o FILE expects a file")
        self.fails(2, "convert", "memory.raw", "-", RAW, says="OUT expects a file")
        self.fails(2, "dump", "-o", "--pause", "memory.raw", RAW, says="not '--pause'; ./--pause is")
        self.ok("dump", "-o", "./-", "memory.raw", RAW)
        self.assertTrue(self.path("-").exists())

    def test_completion_of_no_such_shell(self):
        self.fails(2, "completion", says="SHELL is required")
        self.fails(2, "completion", "cmd", says="bash, zsh or fish")


class OpenTest(CliTest):
    def test_images_that_are_none(self):
        self.file("locked.raw", bytes(4096)).chmod(0)
        os.mkfifo(self.path("fifo"))
        self.path("folder.raw").mkdir()
        self.file("empty.raw", b"")
        wrong = ["absent.d/memory.raw", "./fifo", "./folder.raw", "./empty.raw", "/dev/null"]
        for target in wrong + ([] if os.geteuid() == 0 else ["./locked.raw"]):
            self.fails(1, "info", target, RAW, timeout=10)

    def test_a_process_that_is_no_qemu(self):
        self.fails(1, "info", os.getpid(), says=str(os.getpid()))
        self.fails(1, "info", "--pid", os.getpid())
        self.fails(1, "info", 4194304, says="4194304")

    def test_a_driver_that_is_not_built(self):
        self.fails(1, "info", "--driver=xen", "a-domain", says=["xen"])

    def test_a_leechcore_that_is_not_there(self):
        self.fails(1, "info", "--memflow-pcileech-library=/nowhere/leechcore.so",
                   says=["there is no file /nowhere/leechcore.so", "memflow.pcileech.library"])

    def test_no_such_vm(self):
        self.fails(1, "info", "no-such-guest-here",
                   says=["no-such-guest-here", "taken for the name of a VM"])
        self.fails(1, "info", "no such/guest",
                   says=["taken for a file", "--vm-name 'no such/guest'"])


class TargetTest(CliTest):
    def setUp(self):
        super().setUp()
        self.file("memory.raw", b"\x42" * 4096)

    def rows(self, *args):
        shown = self.ok("params", "--explain", "--json", *args).json
        return {one["key"]: one["values"] for one in shown if one["values"] and one["origin"]
                and one["origin"]["source"] != "default"}

    def test_what_a_target_means(self):
        path = "memflow.coredump.filepath"
        self.assertEqual(self.rows("memory.raw"), {path: ["memory.raw"]})
        self.assertEqual(self.rows("absent/memory.raw"), {path: ["absent/memory.raw"]})
        self.assertEqual(self.rows("123456"), {"pid": ["123456"]})
        self.assertEqual(self.rows("win10"), {"vm-name": ["win10"]})
        self.assertEqual(self.rows("a b,c=d"), {"vm-name": ["a b,c=d"]})
        # Capitals mean the same in a scheme and an authority: RFC 3986, 3.1 and 3.2.2.
        self.assertEqual(self.rows("VMI://KVM/?unix-socket=%2Ftmp%2Fs"),
                         self.rows("vmi://kvm/?unix-socket=%2Ftmp%2Fs"))
        self.assertEqual(self.rows("vmi://kvm/?unix-socket=%2Ftmp%2Fs"),
                         {"kvm.unix-socket": ["/tmp/s"]})
        self.assertEqual(self.rows("--", "-odd"), {"vm-name": ["-odd"]})
        self.assertEqual(self.rows("read"), {"vm-name": ["read"]})

    def test_what_is_ambiguous_says_how_to_be_explicit(self):
        self.file("123456", bytes(4096))
        self.fails(2, "info", "123456", says=["./123456", "--pid 123456"])
        self.assertEqual(self.rows("./123456"), {"memflow.coredump.filepath": ["./123456"]})
        self.assertEqual(self.rows("--pid", "123456"), {"pid": ["123456"]})

    def test_what_is_there_and_no_file_is_refused_as_what_it_is(self):
        os.mkfifo(self.path("fifo"))
        self.path("loop").symlink_to("loop")
        self.path("folder").mkdir()
        self.fails(1, "info", "fifo", says="fifo is a FIFO", timeout=10)
        self.fails(1, "info", "loop", says="Too many levels of symbolic links")
        self.assertEqual(self.rows("folder"), {"vm-name": ["folder"]})

    def test_contradictions(self):
        self.fails(2, "info", "memory.raw", "--pid=1", says="--pid names a guest")
        self.fails(2, "info", "memory.raw", "--vm-name=a", says="--vm-name names a guest")
        self.fails(2, "info", "4194301", "--pid=1", says="given twice")
        self.fails(2, "info", "memory.raw", "--driver=kvm", says="--driver names kvm")
        self.fails(2, "info", "vmi://kvm/?unix-socket=/a", "--driver=qemu",
                   says="--driver names qemu")
        self.fails(2, "info", "http://example.org/", says="does not begin with vmi://")
        self.fails(2, "info", "vmi://vmware/", says="vmware")
        self.fails(2, "info", "", says="TARGET is empty")

    def test_a_url_opens_an_image(self):
        url = f"vmi://memflow/?coredump.filepath={self.path('memory.raw')}&coredump.format=raw"
        self.assertEqual(self.ok("read", 0, 4, url, "--raw").out, b"\x42" * 4)

    def test_an_image_is_opened_whatever_the_settings_say_of_guests(self):
        self.file("config.toml", "[kvm]\nunix-socket = '/tmp/none'\n[memflow]\nconnector='qemu'\n")
        result = self.ok("read", 0, 4, "memory.raw", RAW, "--raw", "--config=config.toml")
        self.assertEqual(result.out, b"\x42" * 4)

    def test_a_guest_is_never_replaced_by_an_image_of_the_settings(self):
        image = self.path("memory.raw")
        self.file("config.toml", f"[memflow.coredump]\nfilepath='{image}'\nformat='raw'\n")
        self.assertEqual(self.ok("read", 0, 1, "--raw", "--config=config.toml").out, b"\x42")
        for target in (["no-such-guest-here"], ["--vm-name=no-such-guest-here"], ["4194304"]):
            self.fails(1, "read", 0, 1, "--raw", "--config=config.toml", *target)
