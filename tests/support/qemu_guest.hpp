// SPDX-License-Identifier: Apache-2.0
// QemuGuest: a real QEMU, started for one test and gone with it.
//
//   TEST(Something, Live) {
//     MICROVMI_NEEDS_QEMU();
//     const auto guest = test::QemuGuest::start({.machine = "q35", .memory = "1G"});
//     ASSERT_TRUE(guest) << guest.error();
//     (*guest)->pid() ...
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "microvmi/memory.hpp"
#include "support/qmp_truth.hpp"
#include "support/temp_folder.hpp"

// Ends the test where there is no QEMU: skipped, or failed where MICROVMI_REQUIRE_QEMU is set.
#define MICROVMI_NEEDS_QEMU()                                                          \
  do {                                                                                 \
    if (const std::string why_not = microvmi::test::why_no_qemu(); !why_not.empty()) { \
      if (microvmi::test::qemu_is_required()) FAIL() << why_not;                       \
      GTEST_SKIP() << why_not;                                                         \
    }                                                                                  \
  } while (false)

namespace microvmi::test {

inline constexpr const char* kQemu = "qemu-system-x86_64";

[[nodiscard]] std::optional<std::filesystem::path> find_program(const std::string& name);
[[nodiscard]] std::string why_no_qemu();  // empty where there is one
[[nodiscard]] bool qemu_is_required();

// Where QEMU takes the guest's RAM from.
enum class RamBackend : std::uint8_t {
  anonymous,     // -m alone
  ram,           // memory-backend-ram
  memfd,         // memory-backend-memfd, shared
  file,          // memory-backend-file, share=on
  file_private,  // memory-backend-file, share=off
  mem_path,      // -mem-path
};
[[nodiscard]] const char* name_of(RamBackend backend);

// The monitor that a user's QEMU has; the truth's own one is not on any path.
enum class Monitor : std::uint8_t { none, absolute, relative };

struct QemuOptions {
  std::string machine = "pc";  // what follows -machine
  std::string machine_option = "-machine";
  std::string accelerator = "tcg";
  std::string memory = "512M";  // what follows -m; empty: not given
  RamBackend backend = RamBackend::anonymous;
  std::string backend_id = "mem0";
  std::optional<std::string> name = std::nullopt;  // what follows -name, commas doubled by you
  Monitor monitor = Monitor::absolute;
  bool truth = true;    // a QMP connection for the test itself, over a socket without a name
  bool started = true;  // false: -S
  std::filesystem::path kernel{};   // what follows -kernel
  std::vector<std::string> args{};  // added at the end
  std::filesystem::path program{};  // empty: kQemu from PATH
  std::filesystem::path cwd{};      // empty: the guest's own folder
};

class QemuGuest {
 public:
  using Start = Outcome<std::unique_ptr<QemuGuest>>;

  // Returns when its monitor answers, or when the process runs if it has no truth.
  [[nodiscard]] static Start start(QemuOptions options = {});

  QemuGuest(const QemuGuest&) = delete;
  QemuGuest& operator=(const QemuGuest&) = delete;
  ~QemuGuest();  // killed and reaped

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_.path(); }
  [[nodiscard]] std::filesystem::path qmp_path() const { return folder() / "qmp"; }
  [[nodiscard]] const std::vector<std::string>& argv() const { return argv_; }

  // Every whole line that came on the serial port so far.
  [[nodiscard]] std::vector<std::string> serial_lines() const;
  // The first line that the regular expression is found in.
  [[nodiscard]] Outcome<std::string> wait_for_line(const std::string& regex,
                                                   std::chrono::milliseconds patience) const;
  // What the guest then reads from its serial port.
  [[nodiscard]] Outcome<void> type(const std::string& text) const;
  // What QEMU itself said on stderr.
  [[nodiscard]] std::string complaints() const;

  [[nodiscard]] QmpTruth& truth() { return truth_; }
  [[nodiscard]] Outcome<void> stop();
  [[nodiscard]] Outcome<void> cont();
  [[nodiscard]] Outcome<bool> running();
  // Guest memory as QEMU itself sees it, through pmemsave.
  [[nodiscard]] Outcome<std::vector<std::byte>> memory(std::uint64_t gpa, std::uint64_t size);
  // What "info mtree -f" calls RAM, in the view that the processors have; neighbours are joined.
  [[nodiscard]] std::vector<MemoryRegion> ram();
  // Needs -m SIZE,slots=N,maxmem=M.
  [[nodiscard]] Outcome<void> plug_dimm(const std::string& id, std::uint64_t size);

  // SIGKILL, and waits until it is reaped.
  void kill();
  // SIGKILL without reaping: its pid stays taken by a zombie until the end.
  void kill_unreaped();

 private:
  explicit QemuGuest(QemuOptions options);

  void write_command_line();
  Outcome<void> spawn();
  [[nodiscard]] bool runs_threads() const;

  TempFolder folder_;
  QemuOptions options_;
  std::vector<std::string> argv_;
  pid_t pid_ = -1;
  int truth_in_child_ = -1;
  int keyboard_ = -1;  // the pipe that feeds the serial port
  QmpTruth truth_;
  unsigned saves_ = 0;
};

}  // namespace microvmi::test
