// SPDX-License-Identifier: Apache-2.0
// dump() of a guest of 2 GiB to tmpfs, against cp of the file that is its memory.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <memory>
#include <random>
#include <string>

#include "benches.hpp"
#include "contest.hpp"
#include "host/linux/process_memory.hpp"
#include "microvmi/dump.hpp"
#include "program.hpp"

namespace microvmi::bench {
namespace {

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
constexpr std::uint64_t kSize = 2 * kGiB;
constexpr std::uint64_t kRoom = 2 * kSize + kGiB / 8;  // the memory, one copy, headers
constexpr const char* kFolder = "/dev/shm";

std::string own_file(const char* what) {
  return std::string(kFolder) + "/mvmi-bench-" + std::to_string(::getpid()) + "-" + what;
}

std::uint64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  for (std::string name, rest; file >> name && std::getline(file, rest);)
    if (name == "MemAvailable:") return std::stoull(rest) * 1024;  // kB, proc_meminfo(5)
  return 0;
}

// Why there is no room; empty where there is.
std::string lacks_room() {
  struct statvfs status{};
  if (::statvfs(kFolder, &status) != 0) return std::string("there is no ") + kFolder;
  if (status.f_bavail * status.f_frsize < kRoom)
    return std::string(kFolder) + " has less than 4.2 GiB free";
  // The other targets may not have been touched yet.
  return available_memory() < kRoom + 2 * kGiB ? "less than 6.2 GiB of memory are available" : "";
}

class ProcessGuest final : public Driver {
 public:
  explicit ProcessGuest(std::unique_ptr<host::ProcessMemory> memory) : memory_(std::move(memory)) {}
  [[nodiscard]] PhysicalMemory& memory() override { return *memory_; }

 private:
  std::unique_ptr<host::ProcessMemory> memory_;
};

// A child whose memory is a file of random bytes, shared as a QEMU with share=on has it.
class Guest {
 public:
  Guest() {
    // Without a name, so that nothing of 2 GiB stays behind where the bench is killed.
    fd_ = ::open(kFolder, O_RDWR | O_TMPFILE | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd_ < 0 || ::ftruncate(fd_, static_cast<off_t>(kSize)) != 0) give_up("no file of 2 GiB");
    base_ = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    if (base_ == MAP_FAILED) give_up("cannot map the file");
    fill();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (;;) ::pause();
    }
    if (pid_ < 0) give_up("no target process");
  }
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;
  ~Guest() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    ::munmap(base_, kSize);
    ::close(fd_);
  }

  [[nodiscard]] std::string file() const {
    return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd_);
  }

  [[nodiscard]] std::unique_ptr<Vm> open(host::CopyMode mode) const {
    auto process = host::Process::open(static_cast<std::uint32_t>(pid_));
    if (!process) give_up(to_text(process.error()));
    const auto hva = reinterpret_cast<std::uint64_t>(base_);
    const host::Layout layout{.segments = {{.gpa = Gpa{0}, .size = kSize, .hva = hva}}};
    auto memory = host::ProcessMemory::open(*std::move(process), [layout] { return layout; }, mode);
    if (!memory) give_up(to_text(memory.error()));
    if ((*memory)->viewable() != (mode == host::CopyMode::mapping))
      give_up("views are not as asked");
    return std::make_unique<Vm>(DriverType::memflow,
                                std::make_unique<ProcessGuest>(*std::move(memory)));
  }

 private:
  void fill() {
    std::mt19937_64 numbers(1);
    auto* words = static_cast<std::uint64_t*>(base_);
    for (std::uint64_t i = 0; i < kSize / sizeof *words; ++i) words[i] = numbers();
  }

  int fd_ = -1;
  void* base_ = nullptr;
  pid_t pid_ = -1;
};

// What a round has: a guest opened anew, since a dump is mostly the first to see the memory.
struct Round {
  explicit Round(host::CopyMode how) : mode(how) {}
  Round(const Round&) = delete;
  Round& operator=(const Round&) = delete;
  ~Round() { finish(); }

  void prepare() {
    if (!guest) guest = std::make_unique<Guest>();
    ::unlink(copy.c_str());
    vm.reset();
    vm = guest->open(mode);
  }
  // So that two races need no more room than one.
  void finish() {
    vm.reset();
    guest.reset();
    ::unlink(copy.c_str());
  }
  void dump() const {
    const auto done = microvmi::dump(*vm, copy);
    if (!done) give_up(to_text(done.error()));
    if (done->bytes != kSize) give_up("the dump is not whole");
  }
  void cp() const {
    if (Program({"cp", guest->file(), copy}).wait() != 0) give_up("cp failed");
  }

  host::CopyMode mode;
  std::string copy = own_file("copy");
  std::unique_ptr<Guest> guest;
  std::unique_ptr<Vm> vm;
};

void add_race(const char* name, host::CopyMode mode) {
  const auto round = std::make_shared<Round>(mode);
  add(Race{.name = name,
           .prepare = [round] { round->prepare(); },
           .ours = [round] { round->dump(); },
           .limit = [round] { round->cp(); },
           .finish = [round] { round->finish(); }});
}

}  // namespace

void add_dump_races() {
  if (const std::string why = lacks_room(); !why.empty()) {
    std::printf("dump/*: skipped, %s\n", why.c_str());
    return;
  }
  add_race("dump/2G/views", host::CopyMode::mapping);
  add_race("dump/2G/reads", host::CopyMode::reads);
}

}  // namespace microvmi::bench
