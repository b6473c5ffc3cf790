# SPDX-License-Identifier: Apache-2.0
"""What ./dev test makes of the reports: a skip without permission must not go by."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).parent.parent.parent
PASSED = '<testcase name="Map.Works" status="run"><system-out>fine</system-out></testcase>'
FAILED = '<testcase name="Map.Fails" status="fail"><failure message="x"/></testcase>'
SKIPPED = ('<testcase name="Live.Pc" status="notrun"><skipped message="SKIP_REGULAR_EXPRESSION"/>'
           '<system-out>a_test.cpp:7: Skipped\nthere is no QEMU\n</system-out></testcase>')
SKIPPED_INSIDE = ('<testcase name="python" status="run">'
                  '<system-out>Ran 3 tests\nOK (skipped=1)\n</system-out></testcase>')


class CountTestsTest(unittest.TestCase):
    def count(self, *cases, permitted=""):
        with tempfile.TemporaryDirectory() as folder:
            allowed = pathlib.Path(folder) / "permitted"
            allowed.write_text("# comment\n" + permitted)
            report = pathlib.Path(folder) / "dev.xml"
            report.write_text("<testsuite>" + "".join(cases) + "</testsuite>")
            done = subprocess.run([sys.executable, ROOT / "scripts/count_tests.py", allowed, report],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  check=False)
            return done.returncode, done.stdout

    def test_all_passed(self):
        self.assertEqual(self.count(PASSED), (0, "1 passed, 0 failed, 0 skipped\n"))

    def test_a_failure_fails(self):
        self.assertEqual(self.count(PASSED, FAILED), (1, "1 passed, 1 failed, 0 skipped\n"))

    def test_nothing_ran_fails(self):
        self.assertEqual(self.count()[0], 1)

    def test_a_skip_fails_and_its_reason_is_told(self):
        status, said = self.count(PASSED, SKIPPED)
        self.assertEqual(status, 1)
        self.assertIn("skipped without permission: dev: Live.Pc: there is no QEMU", said)

    def test_a_skip_inside_of_a_test_is_one_too(self):
        self.assertEqual(self.count(PASSED, SKIPPED_INSIDE)[0], 1)

    def test_a_permitted_skip_passes(self):
        status, said = self.count(PASSED, SKIPPED, permitted="Live.*: only where there is QEMU\n")
        self.assertEqual(status, 0)
        self.assertIn("1 passed, 0 failed, 1 skipped", said)

    def test_a_permission_needs_a_reason(self):
        self.assertNotEqual(self.count(PASSED, permitted="Live.*\n")[0], 0)


if __name__ == "__main__":
    unittest.main()
