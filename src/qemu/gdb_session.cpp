// SPDX-License-Identifier: Apache-2.0
// The conversation with the stub: attach, registers, points, running, detach.
#include "qemu/gdb_session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace microvmi::qemu {
namespace {

constexpr std::size_t kMaxDocument = 1 << 20;  // QEMU's largest has 20 KB
constexpr std::size_t kDocumentPiece =
    0x7f0;  // leaves room in its packets of 4 KiB (MAX_PACKET_LENGTH)
constexpr std::size_t kMaxVcpus = 4096;

// A stub that answers each question just in time could make an attach last for hours.
constexpr int kAnswersToAttach = 4;

std::uint64_t mask_of(Reg reg, const GdbRegister& there) {
  const std::uint64_t bits =
      std::min<std::uint64_t>(kRegisters[static_cast<std::size_t>(reg)].bits, there.size * 8);
  return bits >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
}

template <class Do>
Expected<void> for_each_known(const Registers& registers, Do&& act) {
  for (const RegisterInfo& info : kRegisters)
    if (const auto value = registers[info.reg])
      if (auto done = act(info, *value); !done) return done;
  return {};
}

}  // namespace

std::expected<GdbSession, AttachFailure> GdbSession::attach(const Monitor& stub,
                                                            std::chrono::milliseconds each) {
  auto client = GdbClient::connect(stub, Wait::at_most(each));
  if (!client) return std::unexpected(AttachFailure{std::move(client.error())});
  GdbSession out(*std::move(client), each);
  out.end_ = Wait::at_most(kAnswersToAttach * each).deadline;
  auto done = out.begin();
  out.end_ = Wait::Clock::time_point::max();
  if (!done && done.error().code == Errc::timed_out) {
    done.error().code = Errc::busy;
    done.error().hint = "another debugger seems to use the stub";
  }
  if (done) return out;
  const bool in_order = out.answered_ && (!out.found_running_ || out.detach(true, {}));
  return std::unexpected(AttachFailure{std::move(done.error()), !in_order});
}

// The stop reply to the connection comes before the first answer, and only where the guest ran.
Expected<void> GdbSession::begin() {
  const auto features = client_.ask("qSupported:xmlRegisters=i386", patience());
  if (!features) return std::unexpected(features.error());
  answered_ = true;
  found_running_ = client_.has_stop();
  if (auto checked = client_.check_peer(); !checked) return checked;
  while (client_.has_stop())
    if (auto taken = client_.next_stop(patience()); !taken)
      return std::unexpected(std::move(taken.error()));
  // "?" removes all breakpoints (handle_target_halt in gdbstub.c).
  if (auto asked = client_.run("?"); !asked) return asked;
  if (auto stop = client_.next_stop(patience()); !stop)
    return std::unexpected(std::move(stop.error()));
  if (auto found = find_vcpus(); !found) return found;
  auto layout = read_gdb_layout([this](const std::string& name) { return document(name); });
  if (!layout) return std::unexpected(std::move(layout.error()));
  layout_ = *std::move(layout);
  return {};
}

Expected<void> GdbSession::find_vcpus() {
  auto answer = client_.ask("qfThreadInfo", patience());
  while (answer && answer->starts_with('m') && vcpus_.size() < kMaxVcpus) {
    if (answer->size() == 1) break;
    for (std::string_view rest = std::string_view(*answer).substr(1); !rest.empty();) {
      const std::string_view one = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(one.size() + 1, rest.size()));
      const auto thread = hex_number(one);
      if (!thread || *thread == 0 || *thread > kMaxVcpus)
        return about_stub(client_.stub(), {Errc::protocol, fmt::format("{:?} is no thread", one)});
      vcpus_.push_back(static_cast<std::uint32_t>(*thread - 1));
    }
    answer = client_.ask("qsThreadInfo", patience());
  }
  if (!answer) return std::unexpected(std::move(answer.error()));
  if (vcpus_.empty()) return about_stub(client_.stub(), {Errc::protocol, "it tells of no thread"});
  return {};
}

Wait GdbSession::patience() const {
  Wait out = Wait::at_most(each_);
  out.deadline = std::min(out.deadline, end_);
  return out;
}

Expected<std::string> GdbSession::document(const std::string& name) {
  std::string out;
  while (out.size() < kMaxDocument) {
    const auto piece = client_.ask(
        fmt::format("qXfer:features:read:{}:{:x},{:x}", name, out.size(), kDocumentPiece),
        patience());
    if (!piece) return std::unexpected(piece.error());
    if (!piece->starts_with('m') && !piece->starts_with('l')) break;
    out.append(*piece, 1);
    if (piece->front() == 'l') return out;
    if (piece->size() == 1) break;
  }
  return about_stub(client_.stub(), {Errc::protocol, fmt::format("it does not give {:?}", name)});
}

Expected<void> GdbSession::check_vcpu(std::uint32_t vcpu) const {
  if (std::ranges::find(vcpus_, vcpu) != vcpus_.end()) return {};
  return fail(Errc::not_found, fmt::format("there is no vCPU {}", vcpu), VcpuId{vcpu});
}

// Chosen each time: another vCPU that stops a little later than the one that was told of makes
// itself the chosen one (gdb_set_stop_cpu in gdbstub.c).
Expected<Registers> GdbSession::read(std::uint32_t vcpu) {
  if (auto there = check_vcpu(vcpu); !there) return std::unexpected(std::move(there.error()));
  const auto answer = client_.ask_after(fmt::format("Hg{:x}", vcpu + 1), "g", patience());
  if (!answer) return std::unexpected(answer.error());
  return parse_gdb_registers(layout_, *answer);
}

Expected<std::optional<std::uint64_t>> GdbSession::read(std::uint32_t vcpu, Reg reg) {
  if (auto there = check_vcpu(vcpu); !there) return std::unexpected(std::move(there.error()));
  const GdbRegister* const one = find_gdb_register(layout_, reg);
  if (!one) return std::nullopt;
  const auto answer = client_.ask_after(fmt::format("Hg{:x}", vcpu + 1),
                                        fmt::format("p{:x}", one->number), patience());
  if (!answer) return std::unexpected(answer.error());
  return parse_gdb_value(*one, *answer);
}

Expected<void> GdbSession::write(std::uint32_t vcpu, const Registers& registers) {
  auto possible = for_each_known(registers, [&](const RegisterInfo& info, std::uint64_t) {
    if (find_gdb_register(layout_, info.reg)) return Expected<void>{};
    return Expected<void>(fail(Errc::not_supported,
                               fmt::format("QEMU's gdb stub cannot write {}", info.name),
                               VcpuId{vcpu}));
  });
  if (!possible) return possible;
  if (auto there = check_vcpu(vcpu); !there) return there;
  if (auto chosen = client_.command(fmt::format("Hg{:x}", vcpu + 1), patience()); !chosen)
    return chosen;
  auto written = for_each_known(registers, [&](const RegisterInfo& info, std::uint64_t value) {
    const GdbRegister& there = *find_gdb_register(layout_, info.reg);
    return client_.command(fmt::format("P{:x}={}", there.number, gdb_value(there, value)),
                           patience());
  });
  return written ? verify(vcpu, registers) : written;
}

Expected<void> GdbSession::verify(std::uint32_t vcpu, const Registers& written) {
  const auto now = read(vcpu);
  if (!now) return std::unexpected(now.error());
  return for_each_known(written, [&](const RegisterInfo& info, std::uint64_t value) {
    const std::uint64_t mask = mask_of(info.reg, *find_gdb_register(layout_, info.reg));
    const auto is = (*now)[info.reg];
    if (is && (*is & mask) == (value & mask)) return Expected<void>{};
    return Expected<void>(fail(Errc::io,
                               fmt::format("{} was to be {:#x} and is {}", info.name, value,
                                           is ? fmt::format("{:#x}", *is) : std::string("unknown")),
                               VcpuId{vcpu}, "QEMU or the processor does not take that value"));
  });
}

Expected<void> GdbSession::point(char verb, const GdbPoint& point) {
  return client_.command(
      fmt::format("{}{},{:x},{:x}", verb, static_cast<int>(point.kind), point.gva, point.length),
      patience());
}

Expected<void> GdbSession::insert(const GdbPoint& one) { return point('Z', one); }
Expected<void> GdbSession::remove(const GdbPoint& one) { return point('z', one); }

// SSTEP_ENABLE 1, SSTEP_NOIRQ 2, SSTEP_NOTIMER 4 of QEMU's include/hw/core/cpu.h.
Expected<void> GdbSession::hold_interrupts(bool hold) {
  if (hold == holds_interrupts_) return {};
  auto done = client_.command(hold ? "Qqemu.sstep=7" : "Qqemu.sstep=1", patience());
  if (done) holds_interrupts_ = hold;
  return done;
}

Expected<std::string> GdbSession::peek(std::uint64_t gva, std::size_t size) {
  const auto answer = client_.ask(fmt::format("m{:x},{:x}", gva, size), patience());
  if (!answer) return std::unexpected(answer.error());
  auto bytes = from_hex(*answer);
  if (!bytes || bytes->size() != size)
    return fail(Errc::io, "the gdb stub cannot read there", Gva{gva});
  return *std::move(bytes);
}

Expected<void> GdbSession::run() {
  auto done = client_.run("vCont;c");
  running_ = running_ || done.has_value();
  return done;
}

Expected<std::optional<std::uint64_t>> GdbSession::run_reading(std::uint32_t vcpu, Reg reg) {
  if (auto there = check_vcpu(vcpu); !there) return std::unexpected(std::move(there.error()));
  const GdbRegister* const one = find_gdb_register(layout_, reg);
  if (!one) {
    auto done = run();
    return done ? Expected<std::optional<std::uint64_t>>() : std::unexpected(done.error());
  }
  running_ = true;
  const auto answer = client_.ask_and_run(fmt::format("Hg{:x}", vcpu + 1),
                                          fmt::format("p{:x}", one->number), "vCont;c", patience());
  if (!answer) return std::unexpected(answer.error());
  return parse_gdb_value(*one, *answer);
}

Expected<void> GdbSession::step(std::span<const std::uint32_t> vcpus, Others others) {
  std::string request = "vCont";
  for (const std::uint32_t vcpu : vcpus) request += fmt::format(";s:{:x}", vcpu + 1);
  if (others == Others::running) request += ";c";
  auto done = client_.run(request);
  running_ = running_ || done.has_value();
  return done;
}

Expected<void> GdbSession::run_alone(std::uint32_t vcpu) {
  auto done = client_.run(fmt::format("vCont;c:{:x}", vcpu + 1));
  running_ = running_ || done.has_value();
  return done;
}

// "CPU#1 [halted ]" (handle_query_thread_extra in gdbstub.c).
Expected<bool> GdbSession::is_halted(std::uint32_t vcpu) {
  const auto answer = client_.ask(fmt::format("qThreadExtraInfo,{:x}", vcpu + 1), patience());
  if (!answer) return std::unexpected(answer.error());
  const auto text = from_hex(*answer);
  if (!text)
    return about_stub(client_.stub(), {Errc::protocol, "it does not tell what a vCPU does"});
  return text->find("[halted") != std::string::npos;
}

Expected<void> GdbSession::attend(std::uint32_t vcpu) {
  return client_.command(fmt::format("Hc{:x}", vcpu + 1), patience());
}

// The stub ends the stepping of the vCPU that it tells a stop of (gdb_vm_state_change in
// gdbstub.c).
Expected<void> GdbSession::clear_steps() {
  for (const std::uint32_t vcpu : vcpus_) {
    if (auto done = attend(vcpu); !done) return done;
    if (auto done = run(); !done) return done;
    if (auto done = halt(); !done) return std::unexpected(std::move(done.error()));
  }
  return {};
}

Expected<GdbStop> GdbSession::next_stop(const Wait& wait) {
  auto stop = client_.next_stop(wait);
  if (stop && stop->signal == kSigTrap) running_ = false;
  return stop;
}

// The question behind the interrupt is answered by a guest that stands still, whoever stopped it,
// and after all stop replies.
Expected<std::optional<GdbStop>> GdbSession::halt() {
  if (!running_) return std::nullopt;
  if (auto done = client_.interrupt(); !done) return std::unexpected(std::move(done.error()));
  if (auto answer = client_.ask("qC", patience()); !answer)
    return std::unexpected(std::move(answer.error()));
  running_ = false;
  std::optional<GdbStop> trap;
  while (client_.has_stop()) {
    const auto stop = client_.next_stop(patience());
    if (!stop) return std::unexpected(stop.error());
    if (stop->signal == kSigTrap) trap = *stop;
  }
  return trap;
}

Expected<void> GdbSession::detach(bool leave_running, std::span<const GdbPoint> points) {
  if (leave_running) {
    auto done = client_.command("D", patience());
    running_ = running_ || done.has_value();
    return done;
  }
  Expected<void> result;
  for (const GdbPoint& one : points)
    if (auto done = remove(one); !done && result) result = std::move(done);
  return result;
}

}  // namespace microvmi::qemu
