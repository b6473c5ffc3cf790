// SPDX-License-Identifier: Apache-2.0
// QEMU with its memory in a file of /dev/shm, and its serial port in another.
#include "linux_memory.hpp"

#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <thread>

#include "program.hpp"

namespace microvmi::bench {
namespace {

namespace fs = std::filesystem;

constexpr const char* kQemu = "qemu-system-x86_64";
constexpr std::chrono::minutes kPatience{4};

std::string guest_folder() {
  using Close = int (*)(std::FILE*);
  const std::unique_ptr<std::FILE, Close> pipe(::popen(MICROVMI_LINUX_GUEST, "re"), ::pclose);
  std::string text;
  std::array<char, 512> line{};
  while (pipe && std::fgets(line.data(), line.size(), pipe.get())) text = line.data();
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return fs::is_directory(text) ? text : std::string();
}

std::string content(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// A folder in memory, gone afterwards.
struct Folder {
  Folder() {
    std::string name = "/dev/shm/mvmi-bench-XXXXXX";
    if (::mkdtemp(name.data())) path = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    if (!path.empty()) fs::remove_all(path, ignored);
  }
  fs::path path{};
};

std::vector<std::byte> boot(const std::string& guest, std::string& why) {
  const Folder folder;
  const fs::path memory = folder.path / "memory";
  const fs::path serial = folder.path / "serial";
  const Program qemu(
      {kQemu,      "-nodefaults",
       "-display", "none",
       "-machine", "pc,accel=tcg,memory-backend=ram",
       "-m",       "512M",
       "-smp",     "2",
       "-object",  "memory-backend-file,id=ram,size=512M,share=on,mem-path=" + memory.string(),
       "-serial",  "file:" + serial.string(),
       "-kernel",  guest + "/vmlinuz",
       "-initrd",  guest + "/initramfs.gz",
       "-append",  "console=ttyS0 quiet panic=-1 microvmi.stamp=4"});
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (content(serial).find("guest: ready") == std::string::npos) {
    if (std::chrono::steady_clock::now() > end) {
      why = "the Linux guest did not boot";
      return {};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  const std::string text = content(memory);
  const auto* const first = reinterpret_cast<const std::byte*>(text.data());
  return {first, first + text.size()};
}

}  // namespace

const std::vector<std::byte>& linux_memory(std::string& why) {
  static std::string reason;
  static const std::vector<std::byte> memory = [] {
    if (!is_in_path(kQemu)) {
      reason = std::string(kQemu) + " is not in PATH";
      return std::vector<std::byte>();
    }
    const std::string guest = guest_folder();
    if (guest.empty()) reason = "scripts/linux-guest made no guest";
    std::vector<std::byte> found = guest.empty() ? std::vector<std::byte>() : boot(guest, reason);
    if (found.size() != kLinuxMemory) found.clear();
    return found;
  }();
  why = reason;
  return memory;
}

}  // namespace microvmi::bench
