# SPDX-License-Identifier: Apache-2.0
"""microvmi drivers and params: the shapes of their JSON, dry runs, sources and what they overrule."""
import os

from support import RAW, CliTest

ROW = {"key": str, "option": str, "group": str, "type": str, "presence": str,
       "default": (str, type(None)), "choices": list, "help": str, "aliases": list}
DRIVER = {"name": str, "summary": str, "available": bool, "reason": (str, type(None)),
          "params": list, "connectors": list}
TYPES = {"flag", "integer", "size", "duration", "text", "path", "choice"}


class ShapeTest(CliTest):
    def check_shape(self, thing, shape):
        for key, kind in shape.items():
            self.assertIn(key, thing)
            self.assertIsInstance(thing[key], kind, key)

    def check_rows(self, rows):
        self.assertTrue(rows)
        for row in rows:
            self.check_shape(row, ROW)
            self.assertIn(row["presence"], ("required", "optional", "defaulted"))
            self.assertEqual(row["presence"] == "defaulted", row["default"] is not None)
            self.assertIn(row["type"], TYPES)
            self.assertEqual(row["option"], "--" + row["key"].replace(".", "-"))
        self.assertEqual(len({row["key"] for row in rows}), len(rows))

    def test_drivers_json_is_complete(self):
        drivers = self.ok("drivers", "--json").json
        self.assertEqual([one["name"] for one in drivers], ["xen", "kvm", "qemu", "memflow"])
        for driver in drivers:
            self.check_shape(driver, DRIVER)
            self.check_rows(driver["params"])
            for connector in driver["connectors"]:
                self.check_shape(connector, DRIVER)
                self.check_rows(connector["params"])
        self.assertEqual([one["name"] for one in drivers[3]["connectors"]],
                         ["qemu-procfs", "kvm", "pcileech", "coredump"])
        for driver in drivers[:3]:
            self.assertEqual(driver["connectors"], [])

    def test_common_rows_stand_under_every_driver_that_takes_them(self):
        keys = {one["name"]: {row["key"] for row in one["params"]}
                for one in self.ok("drivers", "--json").json}
        for name, own in keys.items():
            self.assertIn("vm-name", own, name)
        self.assertIn("pid", keys["qemu"] & keys["memflow"])

    def test_every_row_is_an_option_of_every_command_with_its_aliases(self):
        rows = self.ok("params", "--json").json
        self.check_rows(rows)
        for command in (["read"], ["drivers"], ["dump"], ["completion"]):
            shown = self.ok(*command, "--help").text
            for row in rows:
                self.assertIn(row["option"], shown)
        for row in rows:
            for name in [row["option"]] + ["--" + alias for alias in row["aliases"]]:
                result = self.run_tool("params", "--no-such", f"{name}=" if row["type"] == "flag"
                                       else f"{name}=1")
                self.assertIn("there is no option --no-such", result.err)
                self.assertNotIn(f"no option {name}", result.err)

    def test_help_beside_a_named_driver_shows_its_rows_alone(self):
        shown = self.ok("info", "--driver=kvm", "--help").text
        self.assertIn("--kvm-unix-socket", shown)
        self.assertIn("--vm-name", shown)
        self.assertNotIn("--memflow-", shown)
        self.assertIn("--memflow-", self.ok("info", "--driver=vmware", "--help").text)

    def test_help_of_one_driver(self):
        shown = self.ok("drivers", "kvm").text
        self.assertIn("--kvm-unix-socket", shown)
        self.assertIn("--kvm-vsock-port", shown)
        self.assertNotIn("--memflow", shown)
        self.fails(2, "drivers", "vmware", says="xen, kvm, qemu, memflow")


class DryRunTest(CliTest):
    def answers(self, *args):
        return {one["name"]: one for one in self.ok("drivers", "--json", *args).json}

    def test_without_parameters_a_backend_that_lacks_only_those_is_available(self):
        memflow = self.answers()["memflow"]
        coredump = memflow["connectors"][3]
        self.assertTrue(memflow["available"])
        self.assertTrue(coredump["available"])
        self.assertIn("memflow.coredump.filepath", coredump["reason"])

    def test_with_parameters_the_answer_is_for_these(self):
        image = self.file("memory.raw", bytes(4096))
        self.assertTrue(self.answers(f"--memflow-coredump-filepath={image}", RAW)["memflow"]["available"])
        absent = self.answers("--memflow-coredump-filepath=/absent/memory.raw")["memflow"]
        self.assertFalse(absent["available"])
        self.assertIn("/absent/memory.raw", absent["reason"])
        for connector in absent["connectors"]:
            self.assertFalse(connector["available"], connector)

    def test_what_opening_would_leave_out_is_not_available(self):
        absent = "is not in this build"
        answers = self.answers("--pid=1")
        self.assertEqual((answers["kvm"]["available"], answers["xen"]["available"]), (False, False))
        self.assertIn(answers["kvm"]["reason"], ("none of its own parameters is given", absent))
        self.assertIn(answers["xen"]["reason"], ("has no use for the pid that is given", absent))
        image = self.file("memory.raw", bytes(4096))
        answers = self.answers(f"--memflow-coredump-filepath={image}", RAW)
        for name in ("xen", "kvm", "qemu"):
            self.assertIn(answers[name]["reason"], ("parameters of other drivers are given", absent))

    def test_a_driver_that_is_not_built_says_so(self):
        for name, driver in self.answers("--kvmi-unix-socket=/tmp/none").items():
            if name == "xen":
                self.assertFalse(driver["available"])
            self.assertTrue(driver["available"] or driver["reason"])

    def test_xen_says_whether_its_headers_were_missing(self):
        xen = self.answers()["xen"]
        self.assertEqual("did not find Xen's headers (libxen-dev)" in xen["reason"],
                         os.environ.get("MICROVMI_LACKS") == "xen-headers")
        self.assertLessEqual({"vm-name", "xen.vm-name", "xen.domid", "xen.uuid"},
                             {row["key"] for row in xen["params"]})
        self.fails(1, "info", "--xen-domid=1", says=xen["reason"])


class ParamsTest(CliTest):
    def explained(self, *args):
        return {one["key"]: one for one in self.ok("params", "--explain", "--json", *args).json}

    def test_the_strongest_source_is_heard_and_the_others_are_named(self):
        self.file("config.toml", "vm-name = 'from-file'\n[kvm]\nunix-socket = '/f'\ntimeout = '7s'\n")
        self.env["MICROVMI_PARAM_VM_NAME"] = "from-env"
        self.env["MICROVMI_PARAM_KVM_TIMEOUT"] = "8s"
        rows = self.explained("--config", "config.toml", "--vm-name=from-line")
        name = rows["vm-name"]
        self.assertEqual((name["values"], name["origin"]["source"], name["origin"]["place"]),
                         (["from-line"], "command line", "--vm-name"))
        self.assertEqual({one["value"] for one in name["dropped"]}, {"from-env", "from-file"})
        self.assertEqual(rows["kvm.timeout"]["values"], ["8s"])
        self.assertEqual(rows["kvm.timeout"]["origin"]["source"], "environment")
        self.assertEqual(rows["kvm.unix-socket"]["origin"]["source"], "file")
        self.assertIn("config.toml", rows["kvm.unix-socket"]["origin"]["place"])
        self.assertEqual(rows["pid"]["values"], [])
        self.assertIsNone(rows["pid"]["origin"])

    def test_an_image_is_not_in_force_where_the_command_line_names_a_live_guest(self):
        self.env["MICROVMI_PARAM_MEMFLOW_COREDUMP_FILEPATH"] = "/image"
        image = self.explained()["memflow.coredump.filepath"]
        self.assertEqual((image["values"], image["dropped"]), (["/image"], []))
        image = self.explained("--pid=1")["memflow.coredump.filepath"]
        self.assertEqual((image["values"], image["origin"]), ([], None))
        self.assertEqual([(one["value"], one["origin"]["source"], one["reason"])
                          for one in image["dropped"]],
                         [("/image", "environment", "the command line names a live guest")])
        image = self.explained("--pid=1", "--memflow-coredump-filepath=/other")
        self.assertEqual(image["memflow.coredump.filepath"]["values"], ["/other"])

    def test_a_stronger_source_decides_a_choice(self):
        self.file("config.toml", "[kvm]\nunix-socket = '/f'\n")
        rows = self.explained("--config=config.toml", "--kvm-vsock-port=5000")
        self.assertEqual(rows["kvm.vsock-port"]["values"], ["5000"])
        self.assertEqual(rows["kvm.unix-socket"]["values"], [])

    def test_the_seed_of_the_project_on_one_command_line(self):
        rows = self.explained("--kvmi-unix-socket=xxx", "--memflow-pid=12")
        self.assertEqual(rows["kvm.unix-socket"]["values"], ["xxx"])
        self.assertEqual(rows["memflow.kvm.pid"]["values"], ["12"])
        self.assertIn("xxx", self.ok("params", "--explain", "--kvmi-unix-socket=xxx").text)

    def test_joints_are_one_character(self):
        for option in ("--kvm_unix_socket=a", "--kvm.unix-socket=a", "--kvm-unix_socket=a"):
            self.assertEqual(self.explained(option)["kvm.unix-socket"]["values"], ["a"])

    def test_the_users_own_file(self):
        self.file(".config/microvmi/config.toml", "vm-name = 'home'\n")
        self.assertEqual(self.explained()["vm-name"]["values"], ["home"])
        self.file("xdg/microvmi/config.toml", "vm-name = 'xdg'\n")
        self.env["XDG_CONFIG_HOME"] = str(self.path("xdg"))
        self.assertEqual(self.explained()["vm-name"]["values"], ["xdg"])
        self.env["XDG_CONFIG_HOME"] = "relative"  # which the specification says to ignore
        self.assertEqual(self.explained()["vm-name"]["values"], ["home"])

    def test_values_may_be_empty_or_begin_with_a_dash(self):
        self.assertEqual(self.explained("--vm-name", "-x")["vm-name"]["values"], ["-x"])
        self.assertEqual(self.explained("--vm-name=--raw")["vm-name"]["values"], ["--raw"])
        self.assertEqual(self.explained("--vm-name=a=b")["vm-name"]["values"], ["a=b"])
        self.assertEqual(self.explained("--vm-name=[a,b]")["vm-name"]["values"], ["[a,b]"])
        self.assertEqual(self.explained("--vm-name=")["vm-name"]["values"], [""])
