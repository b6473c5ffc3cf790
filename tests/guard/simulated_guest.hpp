// SPDX-License-Identifier: Apache-2.0
// SimulatedGuest: a guest whose run state is a file, so that several processes share it.
#pragma once

#include <filesystem>
#include <fstream>
#include <thread>

#include "guard/serve.hpp"
#include "support/fake_guest.hpp"

namespace microvmi::test {

// The folder's files: `state` is "running" or "stopped"; `slow` makes each call take that many
// milliseconds; `refusals` counts down the calls of resume() that fail; `guard` is the helper's
// pid.
class SimulatedGuest final : public Driver, public RunControl {
 public:
  explicit SimulatedGuest(std::filesystem::path folder) : folder_(std::move(folder)) {}

  static std::string get(const std::filesystem::path& file) {
    std::string text;
    std::ifstream(file) >> text;
    return text;
  }
  // Whole or not at all, as others read it meanwhile.
  static void put(const std::filesystem::path& file, const std::string& text) {
    const std::filesystem::path next = file.string() + ".next";
    std::ofstream(next) << text << std::flush;
    std::filesystem::rename(next, file);
  }

  PhysicalMemory& memory() override { return memory_; }
  GuestInfo info() const override { return {.vm_name = "simulated", .pid = 4242}; }
  RunControl* run_control() override { return this; }

  Expected<void> pause() override {
    put(folder_ / "state", "stopped");
    dawdle();
    return {};
  }
  Expected<void> resume() override {
    if (const std::string left = get(folder_ / "refusals"); !left.empty() && left != "0") {
      put(folder_ / "refusals", std::to_string(std::stoi(left) - 1));
      return fail(Errc::timed_out, "the monitor is held by another");
    }
    dawdle();
    put(folder_ / "state", "running");
    return {};
  }
  Expected<bool> running() override { return get(folder_ / "state") == "running"; }

 private:
  void dawdle() const {
    const std::string slow = get(folder_ / "slow");
    std::this_thread::sleep_for(std::chrono::milliseconds(slow.empty() ? 0 : std::stoi(slow)));
  }

  std::filesystem::path folder_;
  FakeMemory memory_;
};

}  // namespace microvmi::test
