# SPDX-License-Identifier: Apache-2.0
"""count_tests.py PERMITTED REPORT...: sums up JUnit reports; a skip that is not permitted fails."""
import fnmatch
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

# What the frameworks say of a skip inside a program that ctest takes for one test.
INNER_SKIP = re.compile(r"^OK \(.*skipped=\d+|^\[  SKIPPED \] \d+ tests?", re.M)


def permitted(path):
    """Lines of `NAME-PATTERN: reason`, the pattern as a shell has it."""
    for line in pathlib.Path(path).read_text().splitlines():
        if line and not line.startswith("#"):
            pattern, separator, reason = line.partition(": ")
            if not separator or not reason.strip():
                sys.exit(f"{path}: no reason in this line: {line}")
            yield pattern, reason


def verdict(case):
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    output = case.findtext("system-out") or ""
    if case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
        return "skipped"
    return "skipped" if INNER_SKIP.search(output) else "passed"


def reason(case):
    """The line of the test's output that tells why, for the reader."""
    lines = [line.strip() for line in (case.findtext("system-out") or "").splitlines()]
    after = [i + 1 for i, line in enumerate(lines) if "Skipped" in line or ": Skip" in line]
    found = [lines[i] for i in after if i < len(lines) and lines[i]]
    return found[0] if found else "no reason in its output"


def main(permitted_path, *reports):
    count = {"passed": 0, "failed": 0, "skipped": 0}
    allowed = list(permitted(permitted_path))
    unexpected = []
    for report in reports:
        for case in ElementTree.parse(report).getroot().iter("testcase"):
            what = verdict(case)
            count[what] += 1
            if what != "skipped":
                continue
            name = case.get("name")
            known = [why for pattern, why in allowed if fnmatch.fnmatchcase(name, pattern)]
            if not known:
                unexpected.append(f"{pathlib.Path(report).stem}: {name}: {reason(case)}")
            else:
                print(f"skipped, as permitted: {name}: {known[0]}")
    for line in unexpected:
        print(f"skipped without permission: {line}")
    print(", ".join(f"{number} {what}" for what, number in count.items()))
    return bool(unexpected or count["failed"] or not count["passed"])


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("no test ran; usage: " + __doc__)
    sys.exit(main(*sys.argv[1:]))
