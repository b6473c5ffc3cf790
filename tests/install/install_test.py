# SPDX-License-Identifier: Apache-2.0
"""The installed tree, used as strangers use it: CMake, pkg-config, C, the tool, its symbols."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
BUILD = pathlib.Path(os.environ["MICROVMI_BUILD"])
CC, CXX = os.environ["MICROVMI_CC"], os.environ["MICROVMI_CXX"]
SHARED = os.environ["MICROVMI_SHARED"] == "1"
FLAGS = os.environ["MICROVMI_FLAGS"].split()  # a sanitizer of the build must be in the program too
PATIENCE = 300
FOLDER = tempfile.TemporaryDirectory()
PREFIX = pathlib.Path(FOLDER.name) / "a prefix"
HELPERS = [PREFIX / "libexec/microvmi" / name for name in ("microvmi-guard", "microvmi-leechcore")]
IMAGE = pathlib.Path(FOLDER.name) / "image.raw"
SETTINGS = f"memflow.coredump.filepath={IMAGE},memflow.coredump.format=raw"
BYTES = bytes(range(48, 64)) + bytes(4080)


def run(*command, **more):
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, **more)
    if done.returncode != 0:
        raise AssertionError(f"{words}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def setUpModule():
    IMAGE.write_bytes(BYTES)
    run("cmake", "--install", BUILD, "--prefix", PREFIX)


def tearDownModule():
    FOLDER.cleanup()


class InstallTest(unittest.TestCase):
    def check_programs(self, holes, first_bytes):
        environment = {**os.environ, "LD_LIBRARY_PATH": str(self.library().parent)}
        self.assertEqual(run(holes, SETTINGS, env=environment), "ram 0 4096\n")
        self.assertEqual(run(first_bytes, SETTINGS, env=environment),
                         " ".join(f"{byte:02x}" for byte in BYTES[:16]) + "\n")
        refused = subprocess.run([holes, "memflow.coredump.filepath=/absent"], timeout=PATIENCE,
                                 capture_output=True, text=True, env=environment, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("/absent", refused.stderr)

    def library(self):
        found = sorted(PREFIX.rglob("libmvmi.so" if SHARED else "libmvmi.a"))
        self.assertEqual(len(found), 1, found)
        return found[0]

    def test_cmake(self):
        with tempfile.TemporaryDirectory() as build:
            run("cmake", "-S", HERE / "find_package", "-B", build, f"-DCMAKE_PREFIX_PATH={PREFIX}",
                f"-DEXAMPLES={ROOT / 'examples'}", f"-DCMAKE_C_COMPILER={CC}",
                f"-DCMAKE_CXX_COMPILER={CXX}", f"-DCMAKE_CXX_FLAGS={' '.join(FLAGS)}",
                f"-DCMAKE_C_FLAGS={' '.join(FLAGS)}")
            run("cmake", "--build", build)
            self.check_programs(f"{build}/holes", f"{build}/first_bytes")

    def test_pkg_config(self):
        environment = {**os.environ,
                       "PKG_CONFIG_PATH": str(next(PREFIX.rglob("mvmi.pc")).parent)}
        words = ["pkg-config", "--cflags", "--libs", "mvmi", *([] if SHARED else ["--static"])]
        # The prefix has a blank in its name, which pkg-config escapes.
        flags = [word.replace("\0", " ") for word in
                 run(*words, env=environment).replace("\\ ", "\0").split()]
        self.assertEqual(run("pkg-config", "--modversion", "mvmi", env=environment).count("."), 2)
        with tempfile.TemporaryDirectory() as build:
            run(CXX, "-std=c++23", *FLAGS, ROOT / "examples/holes.cpp", "-o", f"{build}/holes",
                *flags)
            run(CC, "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", *FLAGS,
                ROOT / "examples/first_bytes.c", "-o", f"{build}/first_bytes", *flags)
            self.check_programs(f"{build}/holes", f"{build}/first_bytes")

    def test_the_examples_of_the_build(self):
        self.check_programs(BUILD / "examples/example_holes", BUILD / "examples/example_first_bytes")

    def test_the_tool_runs_from_any_prefix(self):
        environment = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}
        out = run(PREFIX / "bin/microvmi", "read", "0", "16", "--raw",
                  "--memflow-coredump-format=raw", IMAGE, env=environment)
        self.assertEqual(out.encode(), BYTES[:16])
        for helper in HELPERS:
            self.assertTrue(os.access(helper, os.X_OK), helper)

    @unittest.skipUnless(SHARED and not FLAGS, "Python needs the shared library, and no sanitizer")
    def test_python(self):
        environment = {**os.environ, "LD_LIBRARY_PATH": str(self.library().parent),
                       "PYTHONPATH": str(next(PREFIX.rglob("dist-packages")))}
        code = ("import sys, microvmi; vm = microvmi.Vm(memflow_coredump_filepath=sys.argv[1], "
                "memflow_coredump_format='raw'); print(vm.read(0, 16).hex())")
        self.assertEqual(run(sys.executable, "-c", code, IMAGE, env=environment),
                         BYTES[:16].hex() + "\n")

    def test_every_installed_header_needs_nothing_but_its_own(self):
        headers = sorted((PREFIX / "include").rglob("*.h*"))
        source = ROOT / "include"
        self.assertEqual([h.relative_to(PREFIX / "include") for h in headers],
                         sorted(h.relative_to(source) for h in source.rglob("*.h*")))
        for header in headers:
            for name in re.findall(r'#include "([^"]+)"', header.read_text()):
                self.assertTrue((PREFIX / "include" / name).is_file(), f"{header}: {name}")
            for name in re.findall(r"#include <([^>]+)>", header.read_text()):
                self.assertNotRegex(name, r"^(fmt|nlohmann|toml|spdlog|CLI|linux|sys)",
                                    f"{header}: {name}")

    @unittest.skipUnless(SHARED, "a static library has no dynamic symbols")
    def test_only_our_names_leave_the_library(self):
        ours = re.compile(r"(mvmi_\w+|((vtable|typeinfo|typeinfo name) for |non-virtual thunk to )?"
                          r"microvmi::.*)$")
        names = [line.split(" ", 2)[2] for line in
                 run("nm", "-D", "-C", "--defined-only", self.library()).splitlines()]
        self.assertIn("mvmi_open", names)
        self.assertGreater(len(names), 50)
        self.assertEqual([name for name in names if not ours.match(name)], [])

    @unittest.skipUnless(SHARED, "a static library needs what it was built with")
    def test_the_shared_library_has_a_soname_and_no_way_back_to_the_build(self):
        dynamic = run("readelf", "-d", self.library())
        self.assertRegex(dynamic, r"SONAME.*\[libmvmi\.so\.\d+\]")
        self.assertNotIn(str(BUILD), dynamic)
        for program in (PREFIX / "bin/microvmi", *HELPERS):
            self.assertNotIn(str(BUILD), run("readelf", "-d", program))


if __name__ == "__main__":
    sys.exit(unittest.main())
