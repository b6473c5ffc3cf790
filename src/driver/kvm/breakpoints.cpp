// SPDX-License-Identifier: Apache-2.0
// Managed breakpoints: an INT3 in guest memory, stepped over with its own byte back in place.
//
// While one vCPU makes that step the others are paused, so that none runs past the breakpoint. The
// kernel takes commands about memory and pauses in order and at once, and keeps those of one vCPU
// in order, so that nothing here has to wait for an answer.
#include <fmt/format.h>

#include <algorithm>

#include "driver/kvm/vcpus.hpp"

namespace microvmi::kvm {
namespace {

constexpr std::uint64_t kUnmapped = ~0ULL;

Request byte_request(Command command, Gpa gpa) {
  return Request(command, {{Field::gpa, to_integer(gpa)}, {Field::size, 1}});
}

Request write_request(Gpa gpa, std::span<const std::byte> byte) {
  Request out = byte_request(Command::write_physical, gpa);
  out.tail = byte;
  return out;
}

constexpr std::array kInt3Bytes{kInt3};

}  // namespace

Expected<Gpa> Vcpus::translate(VcpuId vcpu, Gva gva) {
  const auto index = index_of(vcpu == kEveryVcpu ? VcpuId{0} : vcpu);
  if (!index) return std::unexpected(index.error());
  const auto data = connection_->call(
      Request(Command::translate_gva, {{Field::vcpu, *index}, {Field::gva, to_integer(gva)}}),
      answer_wait());
  if (!data) return std::unexpected(data.error());
  const std::uint64_t gpa =
      field_of(row(abilities_.dialect, Command::translate_gva).answer, *data, Field::gpa);
  if (gpa != kUnmapped) return Gpa{gpa};
  return fail(Errc::not_found,
              fmt::format("{:#x} is not mapped on vcpu {}", to_integer(gva), *index), gva);
}

Expected<void> Vcpus::set_breakpoint(VcpuId vcpu, const Breakpoint::Filter& what) {
  if (what.kind != Breakpoint::Kind::software)
    return fail(Errc::not_supported, "KVMi cannot set debug registers", what.gva,
                "use a software breakpoint");
  if (auto done = check_supported(SingleStep::Filter{}); !done) return done;
  const Patches::Asker asker{vcpu, what.gva};
  if (patches_.find(asker)) return {};
  const auto gpa = translate(vcpu, what.gva);
  if (!gpa) return std::unexpected(gpa.error());
  if (patches_.join(*gpa, asker)) return {};
  const auto byte = connection_->call(byte_request(Command::read_physical, *gpa), answer_wait());
  if (!byte) return std::unexpected(byte.error());
  if (byte->size() != 1 || byte->front() == kInt3)
    return fail(Errc::busy,
                fmt::format("there is another breakpoint at {:#x} already", to_integer(what.gva)),
                what.gva);
  patches_.insert(*gpa, byte->front(), asker);
  auto done = apply(answer_wait());
  if (done) {
    const auto written = connection_->call(write_request(*gpa, kInt3Bytes), answer_wait());
    if (written) return {};
    done = std::unexpected(written.error());
  }
  static_cast<void>(release_breakpoint(vcpu, what).has_value());
  return done;
}

Expected<void> Vcpus::release_breakpoint(VcpuId vcpu, const Breakpoint::Filter& what) {
  const Patches::Asker asker{vcpu, what.gva};
  const auto gpa = patches_.find(asker);
  if (!gpa || what.kind != Breakpoint::Kind::software)
    return fail(Errc::not_found, "there is no such breakpoint", what.gva);
  Expected<void> done;
  if (const auto original = patches_.leave(*gpa, asker, count_)) {
    const auto written =
        connection_->call(write_request(*gpa, std::span(&*original, 1)), answer_wait());
    if (!written) done = std::unexpected(written.error());
    if (auto applied = apply(answer_wait()); !applied && done) done = std::move(applied);
  }
  const std::lock_guard lock(mutex_);
  answer_unwanted();
  return done;
}

// What happens when nothing else was wanted: the instruction under the breakpoint, once.
void Vcpus::step_over(std::uint16_t index, Vcpu& vcpu) {
  const EventMessage& message = vcpu.waiting->message;
  const Gpa gpa{number_in(abilities_.dialect, message, Field::gpa)};
  Registers before, after;
  if (vcpu.written && message.regs.size() == kRegsSize) {
    before = registers_of(message);
    show(*vcpu.written, after);
  }
  const bool moved = vcpu.written && before[Reg::rip] != after[Reg::rip];
  if (moved || !patches_.original(gpa))
    answer(vcpu, Action::retry);
  else if (step_)
    to_step_.push_back(index);
  else
    start_step(index, vcpu);
}

void Vcpus::start_step(std::uint16_t index, Vcpu& vcpu) {
  const Gpa gpa{number_in(abilities_.dialect, vcpu.waiting->message, Field::gpa)};
  step_.emplace(Step{.vcpu = index, .gpa = gpa, .on = {}, .held = {}});
  for (std::uint32_t i = 0; i < count_; ++i) {
    const auto other = static_cast<std::uint16_t>(i);
    if (other == index) continue;
    step_->held.push_back(other);
    if (needs_pause(vcpus_[other]))
      post(Request(Command::pause_vcpu, {{Field::vcpu, other}, {Field::wait, 1}}));
  }
  if (const auto original = patches_.original(gpa)) {
    const std::array bytes{*original};
    post(write_request(gpa, bytes));
  }
  Interceptions stepping;
  stepping.add(VcpuId{index}, SingleStep::Filter{});
  for (const Switch& one : stepping.of_vcpu(abilities_.dialect, index)) {
    if (set_[index].contains(one)) continue;
    step_->on.push_back(one);
    post(request_for(abilities_.dialect, index, one, true));
  }
  answer(vcpu, Action::retry);
}

void Vcpus::end_step(std::uint16_t index, Vcpu& vcpu) {
  if (number_in(abilities_.dialect, vcpu.waiting->message, Field::failed) != 0) {
    answer(vcpu, Action::proceed);  // something came in between: the step is still to be made
    return;
  }
  const Step step = *std::exchange(step_, std::nullopt);
  if (patches_.original(step.gpa)) post(write_request(step.gpa, kInt3Bytes));
  for (auto one = step.on.rbegin(); one != step.on.rend(); ++one)
    if (!set_[index].contains(*one)) post(request_for(abilities_.dialect, index, *one, false));
  if (is_wanted(index, vcpu))
    enqueue(index, vcpu);
  else
    answer(vcpu, Action::proceed);
  for (const std::uint16_t other : step.held) drop_hold(vcpus_[other]);
  if (to_step_.empty()) return;
  const std::uint16_t next = to_step_.front();
  to_step_.pop_front();
  if (vcpus_[next].waiting) step_over(next, vcpus_[next]);
}

}  // namespace microvmi::kvm
