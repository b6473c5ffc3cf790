// SPDX-License-Identifier: Apache-2.0
// A guest of the simulated KVMi peer, as the kvm driver opens it.
#include <unistd.h>

#include "contract/subjects.hpp"
#include "support/kvmi_peer/peer.hpp"
#include "support/temp_folder.hpp"

namespace microvmi::contract {
namespace {

using namespace std::chrono_literals;
namespace peer = test::kvmi;

constexpr std::uint64_t kCr2 = 0xdead0000;  // of the peer's first vCPU

peer::Guest filled_guest() {
  peer::Guest guest = peer::usual_guest();
  for (const std::uint64_t start : {std::uint64_t{0}, std::uint64_t{0x100000}, kHigh}) {
    peer::Bytes words;
    for (std::uint64_t at = 0; at != 0x20000; at += 8) peer::append(words, start + at);
    guest.poke(start, words);
  }
  return guest;
}

class KvmSubject final : public Subject {
 public:
  explicit KvmSubject(peer::Dialect dialect)
      : peer_({.path = folder_.path() / "kvmi", .kernel = {.dialect = dialect}, .reconnect = 2ms},
              filled_guest()) {}

  std::expected<Vm, InitError> open() override {
    // What is open or gone is not waited for.
    const auto time = gone_ || peer_.attached() ? 300ms : 30'000ms;
    return init(DriverType::kvm,
                {.kvm = KvmInitParams{.transport = UnixSocket{.path = folder_.path() / "kvmi"},
                                      .timeout = time}});
  }
  bool shared() const override { return false; }

  std::vector<MemoryRegion> ram() override {
    return {{.gpa = Gpa{0}, .size = 0xa0000},
            {.gpa = Gpa{0x100000}, .size = 0x100000},
            {.gpa = Gpa{kHigh}, .size = 0x100000}};
  }
  std::vector<MemoryRegion> still() override { return ram(); }

  Outcome<std::vector<std::byte>> truth(Gpa gpa, std::size_t size) override {
    std::vector<std::byte> out;
    for (const std::uint8_t one : peer_.peek(to_integer(gpa), size)) out.push_back(std::byte{one});
    return out;
  }

  GuestInfo info() override {
    return {.vm_name = "simulated", .pid = static_cast<std::uint32_t>(::getpid()), .vcpus = 2};
  }

  // A vCPU goes on a moment after resume(): its answer is on its way.
  std::optional<bool> running() override {
    return peer_.wait_until(
        [this] {
          return !peer_.attached_unlocked() ||
                 (!peer_.kernel_unlocked().waits(0) && !peer_.kernel_unlocked().waits(1));
        },
        500ms);
  }

  std::vector<Capability> must_have() override {
    return {Capability::memory_write, Capability::run_control, Capability::registers,
            Capability::events,       Capability::injection,   Capability::page_access};
  }
  std::vector<std::pair<Reg, std::uint64_t>> registers() override { return {{Reg::cr2, kCr2}}; }

  std::optional<Errc> die() override {
    gone_ = true;
    peer_.go_away();
    static_cast<void>(peer_.wait_detached());
    return Errc::disconnected;
  }

 private:
  test::TempFolder folder_;
  peer::Peer peer_;
  bool gone_ = false;
};

std::string why_no_driver() {
  const auto all = drivers();
  const bool here = std::ranges::any_of(all, [](const DriverInfo& one) {
    return one.type == DriverType::kvm && one.open != nullptr;
  });
  return here ? "" : "the kvm driver is not in this build";
}

template <peer::Dialect dialect>
Outcome<std::unique_ptr<Subject>> make() {
  return std::make_unique<KvmSubject>(dialect);
}

}  // namespace

std::vector<SubjectKind> kvm_subjects() {
  if (!why_no_driver().empty()) return {};
  return {{"kvm_simulated_v7", why_no_driver, make<peer::Dialect::v7>},
          {"kvm_simulated_v12", why_no_driver, make<peer::Dialect::v12>}};
}

}  // namespace microvmi::contract
