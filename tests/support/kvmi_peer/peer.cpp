// SPDX-License-Identifier: Apache-2.0
// What tests ask of the simulated peer.
#include "support/kvmi_peer/peer.hpp"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

namespace microvmi::test::kvmi {
namespace {

constexpr std::uint32_t kFamilySize = 96;
constexpr std::uint32_t kSize12 = 104;
constexpr std::size_t kNameSize = 64;

}  // namespace

Guest usual_guest(unsigned vcpus) {
  Guest guest(vcpus);
  guest.add_memory(0, 0xa0000);
  guest.add_memory(0x100000, 0x100000);
  guest.add_memory(1ULL << 32, 0x100000);
  return guest;
}

Bytes handshake(const PeerOptions& options) {
  const bool v12 = options.kernel.dialect == Dialect::v12;
  const std::uint32_t size = options.struct_size.value_or(v12 ? kSize12 : kFamilySize);
  Bytes out;
  append(out, size);
  append_bytes(out, options.uuid);
  append_zeros(out, 4);
  // v6 has zero for the time.
  append(out, options.kernel.dialect == Dialect::v6 ? std::int64_t{0} : options.start_time);
  Bytes name(kNameSize);
  std::copy_n(options.name.begin(), std::min(options.name.size(), kNameSize - 1), name.begin());
  append_bytes(out, name);
  append(out, std::uint64_t{(1ULL << 32) + 0x100000});  // max_gpa
  out.resize(std::min<std::size_t>(size, 1 << 17), 0);
  return out;
}

Peer::Peer(PeerOptions options, Guest guest)
    : options_(std::move(options)),
      guest_(std::move(guest)),
      wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      end_(std::chrono::steady_clock::now() + options_.life),
      thread_([this](const std::stop_token& stop) { serve(stop); }) {}

Peer::~Peer() {
  thread_.request_stop();
  wake();
  thread_.join();
  ::close(wake_fd_);
  for (const std::string& violation : record_.violations)
    ADD_FAILURE() << "the kvm driver against the protocol: " << violation;
}

void Peer::wake() const {
  const std::uint64_t one = 1;
  static_cast<void>(::write(wake_fd_, &one, sizeof(one)) == sizeof(one));
}

bool Peer::wait_until(const std::function<bool()>& condition, std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, patience, condition);
}

std::shared_ptr<Outcome> Peer::begin(unsigned vcpu, const Deed& deed) {
  Task task{.deed = deed};
  if (!wait_attached()) {
    ADD_FAILURE() << "nobody listened to the peer: " << last_error();
    task.outcome->done = true;
    return task.outcome;
  }
  {
    const std::scoped_lock lock(mutex_);
    if (kernel_) kernel_->do_deed(vcpu, task);
  }
  wake();
  return task.outcome;
}

Outcome Peer::wait(const std::shared_ptr<Outcome>& outcome) {
  if (!wait_until([&] { return outcome->done; }))
    ADD_FAILURE() << "the guest waits for an answer that does not come";
  const std::scoped_lock lock(mutex_);
  return *outcome;
}

void Peer::stop_vm(bool stopped) {
  {
    const std::scoped_lock lock(mutex_);
    if (kernel_) kernel_->stop(stopped);
  }
  wake();
}

void Peer::start_vcpu(unsigned vcpu) {
  {
    const std::scoped_lock lock(mutex_);
    guest_.vcpus.at(vcpu).started = true;
    if (kernel_) kernel_->run();
  }
  wake();
}

unsigned Peer::add_vcpu() {
  const std::scoped_lock lock(mutex_);
  Vcpu vcpu;
  vcpu.msrs = usual_msrs();
  guest_.vcpus.push_back(vcpu);
  return static_cast<unsigned>(guest_.vcpus.size() - 1);
}

bool Peer::suspend() {
  bool told = false;
  {
    const std::scoped_lock lock(mutex_);
    told = kernel_ && kernel_->unhook();
  }
  wake();
  return told;
}

void Peer::hang_up() {
  {
    const std::scoped_lock lock(mutex_);
    hang_up_ = true;
  }
  wake();
}

void Peer::go_away() {
  {
    const std::scoped_lock lock(mutex_);
    options_.connections = connections_;
    hang_up_ = true;
  }
  wake();
}

void Peer::fault(Fault fault) {
  const std::scoped_lock lock(mutex_);
  // "from now on": what was seen before does not count.
  if (kernel_) fault.skip += kernel_->replies_to(fault.at);
  options_.kernel.faults.push_back(fault);
}

void Peer::send_raw(const Bytes& bytes) {
  {
    const std::scoped_lock lock(mutex_);
    if (kernel_) kernel_->send_raw(bytes);
  }
  wake();
}

unsigned Peer::connections() {
  const std::scoped_lock lock(mutex_);
  return connections_;
}

bool Peer::attached() {
  const std::scoped_lock lock(mutex_);
  return kernel_.has_value();
}

Bytes Peer::peek(std::uint64_t gpa, std::size_t size) {
  const std::scoped_lock lock(mutex_);
  return guest_.peek(gpa, size);
}

void Peer::poke(std::uint64_t gpa, const Bytes& bytes) {
  const std::scoped_lock lock(mutex_);
  guest_.poke(gpa, bytes);
}

unsigned Peer::count(Cmd cmd) {
  const std::scoped_lock lock(mutex_);
  return record_.commands[cmd];
}

std::vector<std::string> Peer::leftovers() {
  const std::scoped_lock lock(mutex_);
  return record_.leftovers;
}

std::vector<std::string> Peer::take_violations() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(record_.violations, {});
}

std::string Peer::last_error() {
  const std::scoped_lock lock(mutex_);
  return error_;
}

}  // namespace microvmi::test::kvmi
