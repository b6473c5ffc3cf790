# SPDX-License-Identifier: Apache-2.0
"""The Debian packages of this build: which there are, what is in them, what they need."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(os.environ["MICROVMI_BUILD"])
PATIENCE = 600
FOLDER = tempfile.TemporaryDirectory()


def run(*command):
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{words}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def setUpModule():
    for tool in ("cpack", "dpkg-deb", "dpkg-shlibdeps"):
        if not shutil.which(tool):
            raise unittest.SkipTest(f"{tool} is not installed")
    run("cpack", "-G", "DEB", "-B", FOLDER.name, "--config", BUILD / "CPackConfig.cmake")


def tearDownModule():
    FOLDER.cleanup()


class PackagesTest(unittest.TestCase):
    def package(self, name):
        found = sorted(pathlib.Path(FOLDER.name).glob(f"{name}_*.deb"))
        self.assertEqual(len(found), 1, f"{name}: {found}")
        return found[0]

    def contents(self, name):
        lines = run("dpkg-deb", "--contents", self.package(name)).splitlines()
        return [line.split()[5].removeprefix(".") for line in lines if not line.startswith("d")]

    def field(self, name, field):
        return run("dpkg-deb", "--field", self.package(name), field).strip()

    def test_there_are_four(self):
        names = sorted(file.name.split("_")[0] for file in pathlib.Path(FOLDER.name).glob("*.deb"))
        self.assertEqual(names, ["libmvmi-dev", "libmvmi1", "microvmi", "python3-microvmi"])

    def test_the_library(self):
        files = self.contents("libmvmi1")
        names = sorted(pathlib.PurePath(file).name for file in files)
        self.assertEqual(len(names), 4, names)
        self.assertEqual(names[1], "libmvmi.so.1")
        self.assertEqual(names[2:], ["microvmi-guard", "microvmi-leechcore"])
        self.assertIn("libc6", self.field("libmvmi1", "Depends"))

    def test_the_tool(self):
        self.assertEqual(self.contents("microvmi"), ["/usr/bin/microvmi"])
        self.assertIn("libmvmi1", self.field("microvmi", "Depends"))

    def test_the_python_bindings(self):
        files = self.contents("python3-microvmi")
        self.assertIn("/usr/lib/python3/dist-packages/microvmi/__init__.py", files)
        self.assertEqual([file for file in files if not file.endswith(".py")], [])
        depends = self.field("python3-microvmi", "Depends")
        self.assertIn("libmvmi1", depends)
        self.assertIn("python3", depends)

    def test_the_development_files(self):
        files = self.contents("libmvmi-dev")
        for tail in ("/usr/include/microvmi/microvmi.hpp", "/usr/include/microvmi/mvmi.h",
                     "/pkgconfig/mvmi.pc", "/cmake/microvmi/microvmi-config.cmake",
                     "/cmake/microvmi/microvmi-config-version.cmake", "/libmvmi.so"):
            self.assertTrue(any(file.endswith(tail) for file in files), tail)
        self.assertIn("libmvmi1", self.field("libmvmi-dev", "Depends"))
        self.assertFalse([file for file in files if not file.startswith("/usr/")])


if __name__ == "__main__":
    unittest.main()
