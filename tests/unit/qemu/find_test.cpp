// SPDX-License-Identifier: Apache-2.0
// What counts as a QEMU, and which of several is meant.
#include "qemu/find.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace microvmi::qemu {
namespace {

using ::testing::HasSubstr;
using Words = std::vector<std::string>;

// 128 MiB of anonymous memory, as -m 128 makes it.
const std::vector<host::Mapping> kGuestMemory =
    host::parse_maps("7f0000000000-7f0008000000 rw-p 00000000 00:00 0 \n");
const std::vector<host::Mapping> kNoMemory =
    host::parse_maps("7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n");

std::string why_not(const std::optional<std::string>& program, const Words& argv,
                    const std::vector<host::Mapping>* maps) {
  return why_not_qemu({.program = program ? &*program : nullptr, .argv = argv, .maps = maps},
                      parse_command_line(argv));
}

TEST(WhyNotQemuTest, ByItsFileAndItsMemory) {
  const Words argv{"qemu-system-x86_64", "-m", "128"};
  for (const char* program :
       {"/usr/bin/qemu-system-x86_64", "/usr/libexec/qemu-kvm", "/opt/q/qemu-system-i386",
        "/usr/bin/qemu-system-x86_64 (deleted)", "/usr/bin/qemu-kvm"}) {
    EXPECT_EQ(why_not(program, argv, &kGuestMemory), "") << program;
    EXPECT_THAT(why_not(program, argv, &kNoMemory), HasSubstr("no memory")) << program;
  }
}

TEST(WhyNotQemuTest, ARenamedOneByItsOptionsAndItsMemory) {
  const Words argv{"/tmp/vmm", "-M", "q35", "-nodefaults", "-m", "128"};
  EXPECT_EQ(why_not("/tmp/vmm", argv, &kGuestMemory), "");
  EXPECT_THAT(why_not("/tmp/vmm", argv, &kNoMemory), HasSubstr("no memory"));
  EXPECT_THAT(why_not("/tmp/vmm", {"/tmp/vmm", "-m", "128"}, &kGuestMemory), HasSubstr("no QEMU"));
}

TEST(WhyNotQemuTest, WhatMerelyHasTheWordsIsNone) {
  const Words shell{"/bin/sh", "-c", "qemu-system-x86_64 -M q35 -m 128 -nodefaults"};
  EXPECT_NE(why_not("/usr/bin/dash", shell, &kGuestMemory), "");
  const Words script{"/bin/bash", "/usr/local/bin/qemu-system-x86_64", "-M", "q35", "-nodefaults"};
  EXPECT_NE(why_not("/usr/bin/bash", script, &kNoMemory), "");
  const Words timeout{"timeout", "60", "qemu-system-x86_64", "-M", "q35", "-nodefaults"};
  EXPECT_NE(why_not("/usr/bin/timeout", timeout, &kNoMemory), "");
  const Words python{"python3", "-m", "pytest", "-k", "qemu-system-x86_64"};
  EXPECT_NE(why_not("/usr/bin/python3.11", python, &kGuestMemory), "");
  const Words user{"qemu-x86_64", "./a.out"};
  EXPECT_NE(why_not("/usr/bin/qemu-x86_64", user, &kGuestMemory), "");
}

TEST(WhyNotQemuTest, AnUnseenOneByTheNameItWasStartedUnder) {
  EXPECT_EQ(why_not(std::nullopt, {"/usr/bin/qemu-system-x86_64", "-m", "128"}, nullptr), "");
  EXPECT_NE(why_not(std::nullopt, {"/bin/sh", "/usr/bin/qemu-system-x86_64"}, nullptr), "");
  EXPECT_NE(why_not(std::nullopt, {"/tmp/vmm", "-M", "q35", "-nodefaults"}, nullptr), "");
}

TEST(WhyNotQemuTest, AnUnknownMachineDoesNotHideAQemu) {
  const Words argv{"qemu-system-s390x", "-M", "s390-ccw-virtio", "-m", "1G"};
  EXPECT_EQ(why_not("/usr/bin/qemu-system-s390x", argv, &kNoMemory), "");
  EXPECT_NE(why_not("/tmp/vmm", {"/tmp/vmm", "-M", "s390-ccw-virtio", "-smp", "2"}, &kNoMemory),
            "");
}

TEST(WhyNotQemuTest, AQemuThatIsOnlyAskedForItsAbilitiesHasNoGuest) {
  const Words argv{"qemu-system-x86_64", "-S", "-machine", "none,accel=kvm:tcg", "-qmp", "stdio"};
  EXPECT_THAT(why_not("/usr/bin/qemu-system-x86_64", argv, &kGuestMemory), HasSubstr("no guest"));
}

QemuProcess process(std::uint32_t pid, std::string name, bool readable = true) {
  QemuProcess out{.pid = pid};
  out.line.name = std::move(name);
  if (!readable)
    out.unreadable = Error{.code = Errc::permission_denied, .message = "another user's process"};
  return out;
}

const std::vector<QemuProcess> kRunning{process(5, "hidden", false), process(17, "win10"),
                                        process(18, "twin"), process(19, "twin"), process(20, "")};

TEST(ChooseTest, ANameCannotAddLinesToAnError) {
  const std::vector<QemuProcess> running{process(7, "a\nmicrovmi: b\x1b[2J"), process(8, "c\td")};
  EXPECT_EQ(to_text(running[0]), "pid 7 (a\\nmicrovmi: b\\x1b[2J)");
  for (const Wanted& wanted : {Wanted{.name = "c\nd"}, Wanted{.name = "e", .pid = 7}}) {
    const auto none = choose(running, wanted);
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().message.find_first_of("\n\t\x1b"), std::string::npos)
        << none.error().message;
  }
}

TEST(ChooseTest, ByName) {
  EXPECT_EQ(choose(kRunning, {.name = "win10"})->pid, 17U);
  const auto twins = choose(kRunning, {.name = "twin"});
  ASSERT_FALSE(twins);
  EXPECT_EQ(twins.error().code, Errc::invalid_argument);
  EXPECT_THAT(twins.error().message, HasSubstr("pid 18 (twin), pid 19 (twin)"));
  const auto none = choose(kRunning, {.name = "win1"});
  EXPECT_EQ(none.error().code, Errc::not_found);
  EXPECT_THAT(none.error().message, HasSubstr("pid 17 (win10)"));
  EXPECT_EQ(choose(kRunning, {.name = "hidden"}).error().code, Errc::permission_denied);
}

TEST(ChooseTest, APidSelectsAndANameBesideItIsChecked) {
  EXPECT_EQ(choose(kRunning, {.pid = 20})->pid, 20U);
  EXPECT_EQ(choose(kRunning, {.name = "twin", .pid = 19})->pid, 19U);
  const auto wrong = choose(kRunning, {.name = "win10", .pid = 19});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, Errc::invalid_argument);
  EXPECT_THAT(wrong.error().message, HasSubstr("pid 19 is \"twin\", not \"win10\""));
  EXPECT_EQ(choose(kRunning, {.pid = 1}).error().code, Errc::not_found);
}

TEST(ChooseTest, WithoutAnythingTheFirstThatCanBeRead) {
  EXPECT_EQ(choose(kRunning, {})->pid, 17U);
  EXPECT_EQ(choose(std::span(kRunning).first(1), {}).error().code, Errc::permission_denied);
  EXPECT_EQ(choose({}, {}).error().code, Errc::not_found);
}

}  // namespace
}  // namespace microvmi::qemu
