// SPDX-License-Identifier: Apache-2.0
// What /proc says of a thread, in bytes.
#include "host/linux/tasks.hpp"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <future>
#include <thread>

namespace microvmi::host {
namespace {

TEST(TasksTest, ASystemCallWithItsArguments) {
  const auto call =
      parse_task_call("16 0xb 0xae80 0x0 0x1 0x2 0xffffffffffffffff 0x7ffe10 0x7f33a\n");
  ASSERT_TRUE(call);
  EXPECT_FALSE(call->running);
  EXPECT_EQ(call->number, 16);
  EXPECT_EQ(call->arguments[0], 0xbU);
  EXPECT_EQ(call->arguments[1], 0xae80U);
  EXPECT_EQ(call->arguments[5], ~0ULL);
  EXPECT_EQ(call->sp, 0x7ffe10U);
  EXPECT_EQ(call->pc, 0x7f33aU);
}

TEST(TasksTest, RunningAndOutsideOfACall) {
  EXPECT_TRUE(parse_task_call("running\n")->running);
  const auto outside = parse_task_call("-1 0x10 0x20\n");
  ASSERT_TRUE(outside);
  EXPECT_EQ(outside->number, -1);
  EXPECT_EQ(outside->sp, 0x10U);
  EXPECT_EQ(outside->pc, 0x20U);
}

TEST(TasksTest, WhatIsNoCallIsRefused) {
  for (const char* text : {"", "\n", "16", "16 0xb 0xae80", "x 0x1 0x2", "-1 0x10 32",
                           "16 0xb 0xae80 0x0 0x1 0x2 0x3 0x4 zzz"})
    EXPECT_EQ(parse_task_call(text).error().code, Errc::protocol) << text;
}

TEST(TasksTest, GuestTimeBehindANameWithBlanks) {
  std::string stat = "12 (CPU 0) KVM) S";
  for (int field = 4; field <= 52; ++field) stat += " " + std::to_string(field * 100);
  EXPECT_EQ(parse_guest_ticks(stat), 4300U);
  EXPECT_EQ(parse_guest_ticks("12 (x) S 1 2"), 0U);
  EXPECT_EQ(parse_guest_ticks(""), 0U);
}

TEST(TasksTest, StatusLines) {
  const auto status = parse_task_status(
      "Name:\tx\nTracerPid:\t77\nSeccomp:\t2\nx86_Thread_features:\tshstk wrss \n"
      "voluntary_ctxt_switches:\t5\n");
  EXPECT_TRUE(status.seccomp);
  EXPECT_TRUE(status.shadow_stack);
  EXPECT_EQ(status.tracer, 77U);
  EXPECT_EQ(status.switches, 5U);
  EXPECT_FALSE(parse_task_status("Seccomp:\t0\nx86_Thread_features:\t\n").seccomp);
}

TEST(TasksTest, OurOwnThreads) {
  const auto own = Process::open(static_cast<std::uint32_t>(::getpid()));
  ASSERT_TRUE(own);
  const auto tasks = tasks_of(*own);
  ASSERT_TRUE(tasks);
  EXPECT_NE(std::find(tasks->begin(), tasks->end(), static_cast<std::uint32_t>(::getpid())),
            tasks->end());
  EXPECT_TRUE(task_call(*own, static_cast<std::uint32_t>(::getpid())));
}

TEST(TasksTest, AFileIsOfOneThreadForEver) {
  const auto own = Process::open(static_cast<std::uint32_t>(::getpid()));
  ASSERT_TRUE(own);
  std::promise<std::uint32_t> told;
  std::promise<void> enough;
  std::thread waits([&] {
    told.set_value(static_cast<std::uint32_t>(::gettid()));
    enough.get_future().wait();
  });
  const std::uint32_t tid = told.get_future().get();
  const auto file = TaskCallFile::open(*own, tid);
  ASSERT_TRUE(file) << to_text(file.error());
  const auto in_futex = [&file] {
    const auto call = file->read();
    return call && !call->running && call->number == SYS_futex;
  };
  while (!in_futex()) std::this_thread::yield();
  EXPECT_EQ(*file->read(), *task_call(*own, tid));
  enough.set_value();
  waits.join();
  // The kernel sees a thread off a little after it was joined.
  while (file->read()) std::this_thread::yield();
  EXPECT_FALSE(file->read());
  EXPECT_FALSE(TaskCallFile::open(*own, ~0U >> 1U));
}

}  // namespace
}  // namespace microvmi::host
