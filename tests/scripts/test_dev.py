# SPDX-License-Identifier: Apache-2.0
"""The front door: its words, its exit codes, any working folder, a path with a space."""
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).parent.parent.parent


def run(*command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL, check=False, timeout=60, **more)


class DevTest(unittest.TestCase):
    def test_help_names_every_verb_and_every_verb_has_its_script(self):
        done = run(ROOT / "dev", "help", cwd="/")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        verbs = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
        self.assertIn("demo", verbs)
        for verb in set(verbs) - {"help"}:
            script = ROOT / "scripts" / verb
            self.assertTrue(script.is_file() and script.stat().st_mode & 0o100, verb)

    def test_an_unknown_verb_is_wrong_usage(self):
        done = run(ROOT / "dev", "biuld")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("unknown verb: biuld", done.stderr)

    def test_it_works_through_a_link_with_a_space_in_its_path(self):
        with tempfile.TemporaryDirectory(prefix="a space ") as folder:
            link = pathlib.Path(folder) / "dev"
            link.symlink_to(ROOT / "dev")
            self.assertEqual(run(link, "help", cwd=folder).returncode, 0)

    def test_a_list_of_packages_that_does_not_exist_is_an_error(self):
        done = run(ROOT / "scripts/install-packages", "nonsense")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("no list of packages", done.stderr)

    def test_every_script_parses(self):
        for script in [ROOT / "dev", ROOT / ".ci/run", *(ROOT / "scripts").iterdir()]:
            if script.is_file() and script.suffix != ".py":
                self.assertEqual(run("bash", "-n", script).stderr, "", script)


if __name__ == "__main__":
    unittest.main()
