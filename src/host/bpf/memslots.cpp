// SPDX-License-Identifier: Apache-2.0
// MemslotReader over libbpf: loads memslots.bpf.c and reads what it writes.
#include "host/bpf/memslots.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>

#include "host/bpf/kernel_layout.hpp"
#include "host/linux/descriptor.hpp"

namespace microvmi::host {

extern const unsigned char kMemslotProgram[];  // CMake makes it of the compiled program
extern const std::size_t kMemslotProgramSize;

namespace {

// The variables of memslots.bpf.c, which make up its .bss.
struct Variables {
  std::uint32_t wanted_tgid = 0;
  std::uint32_t first_slot = 0;
  std::uint32_t each_pass = 0;
};

// libbpf prints to stderr unless told otherwise, which is a setting of the whole program.
class Silence {
 public:
  Silence() : lock_(mutex_), before_(libbpf_set_print(nullptr)) {}
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;
  ~Silence() { libbpf_set_print(before_); }

 private:
  static inline std::mutex mutex_;
  std::lock_guard<std::mutex> lock_;
  libbpf_print_fn_t before_;
};

std::unexpected<Error> refused(int error, const char* what) {
  Error out{.code = Errc::not_supported,
            .message = fmt::format("{}: {}", what, std::strerror(error))};
  if (error == EPERM || error == EACCES) {
    out.code = Errc::permission_denied;
    out.hint = "run as root or grant CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN";
  }
  const auto lockdown = read_text("/sys/kernel/security/lockdown", 4096);
  if (lockdown && lockdown->contains("[confidentiality]")) {
    out.code = Errc::permission_denied;
    out.hint = "the kernel is locked down (confidentiality), which keeps BPF from reading it";
  }
  return std::unexpected(std::move(out));
}

class LoadedReader final : public MemslotReader {
 public:
  explicit LoadedReader(std::uint32_t each_pass) {
    set_.each_pass = std::clamp(each_pass, 1U, kEachPass);
  }
  ~LoadedReader() override {
    bpf_link__destroy(link_);
    bpf_object__close(object_);
  }

  Expected<void> load(std::uint32_t pid) {
    const auto form = slot_form_of_kernel();
    if (!form) return std::unexpected(form.error());
    object_ = bpf_object__open_mem(kMemslotProgram, kMemslotProgramSize, nullptr);
    if (!object_) return refused(errno, "cannot open the BPF program");
    const bool hash = *form == SlotForm::hash;
    constexpr std::uint32_t kStepsOfArray = 64;  // as memslots.bpf.c has it
    if (!hash) set_.each_pass = std::min(set_.each_pass, kStepsOfArray);
    bpf_program* program =
        bpf_object__find_program_by_name(object_, hash ? "memslots_hash" : "memslots_array");
    bpf_program* other =
        bpf_object__find_program_by_name(object_, hash ? "memslots_array" : "memslots_hash");
    if (!program || !other) return refused(ENOENT, "cannot find the BPF program");
    bpf_program__set_autoload(other, false);
    if (bpf_object__load(object_) != 0) return refused(errno, "cannot load the BPF program");
    const bpf_map* map = bpf_object__find_map_by_name(object_, ".bss");
    variables_ = map ? bpf_map__fd(map) : -1;
    if (variables_ < 0 || bpf_map__value_size(map) != sizeof(Variables))
      return refused(EINVAL, "the variables of the BPF program");
    return attach(*program, pid);
  }

  Expected<std::vector<SlottedVm>> read() override {
    constexpr int kTries = 50;
    for (int i = 0; i < kTries; ++i) {
      MemslotRecords records;
      const auto state = read_into(records);
      if (!state) return std::unexpected(state.error());
      if (*state == MemslotRecords::State::done) return records.take();
      if (i > 2) std::this_thread::sleep_for(std::chrono::microseconds(50 * i));
    }
    return fail(Errc::busy, "the memory slots of the guest change all the time");
  }

 private:
  // Kernels before 6.1 know no iterator of one process: the program then passes over the others,
  // by a number that is the process's own only in the first pid namespace.
  Expected<void> attach(bpf_program& program, std::uint32_t pid) {
    bpf_iter_link_info info{};
    info.task.pid = pid;
    bpf_iter_attach_opts options{};
    options.sz = sizeof options;
    options.link_info = &info;
    options.link_info_len = sizeof info;
    link_ = bpf_program__attach_iter(&program, &options);
    if (!link_) {
      const int error = errno;
      link_ = error == ESRCH ? nullptr : bpf_program__attach_iter(&program, nullptr);
      if (!link_) return refused(error, "cannot start the BPF iterator");
      set_.wanted_tgid = pid;
    }
    return {};
  }

  // Passes until nothing is left to tell.
  Expected<MemslotRecords::State> read_into(MemslotRecords& records) {
    set_.first_slot = 0;
    for (std::uint32_t i = 0; i <= kMostSlots / set_.each_pass; ++i) {
      const auto bytes = pass();
      if (!bytes) return std::unexpected(bytes.error());
      const auto state = records.add(*bytes);
      if (!state || *state != MemslotRecords::State::more) return state;
      set_.first_slot = records.next();
    }
    return fail(Errc::protocol, "the kernel's memory slots have no end");
  }

  Expected<std::vector<std::byte>> pass() {
    constexpr std::size_t kMost = std::size_t{16} << 20U;
    const std::uint32_t key = 0;
    if (bpf_map_update_elem(variables_, &key, &set_, BPF_ANY) != 0)
      return refused(errno, "cannot set the variables of the BPF program");
    const Descriptor iterator(bpf_iter_create(bpf_link__fd(link_)));
    if (!iterator) return refused(errno, "cannot start the BPF iterator");
    std::vector<std::byte> bytes;
    std::size_t used = 0;
    for (;;) {
      if (bytes.size() - used < kChunk) bytes.resize(used + kChunk);
      const ssize_t got = ::read(iterator.get(), bytes.data() + used, bytes.size() - used);
      if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (got < 0) return refused(errno, "cannot read from the BPF iterator");
      if (got == 0) break;
      used += static_cast<std::size_t>(got);
      if (used > kMost) return fail(Errc::protocol, "too many virtual machines in one process");
    }
    bytes.resize(used);
    return bytes;
  }

  static constexpr std::size_t kChunk = 32768;  // the kernel's buffer

  bpf_object* object_ = nullptr;
  bpf_link* link_ = nullptr;
  int variables_ = -1;
  Variables set_;
};

}  // namespace

Expected<std::unique_ptr<MemslotReader>> MemslotReader::open(std::uint32_t pid,
                                                             std::uint32_t each_pass) {
  const Silence silence;
  auto reader = std::make_unique<LoadedReader>(each_pass);
  if (auto loaded = reader->load(pid); !loaded) return std::unexpected(loaded.error());
  return reader;
}

}  // namespace microvmi::host
