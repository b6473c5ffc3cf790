// SPDX-License-Identifier: Apache-2.0
// The description (migration/savevm.c, QEMU_VM_VMDESCRIPTION; docs/devel/migration) names every
// field of a device with its size; the fields of a vCPU are those of target/i386/machine.c.
#include "connector/coredump/stream_state.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "connector/coredump/fields.hpp"

namespace microvmi::coredump_connector {
namespace {

using enum Reg;
using Json = nlohmann::json;

constexpr std::size_t kMostDescription = 8
                                         << 20;  // about 8 KiB for each vCPU, 100 KiB for the rest
constexpr std::size_t kMostState = 64 << 20;     // of all devices
constexpr std::size_t kMostPadding = 1 << 20;    // zeros behind the end
constexpr std::uint64_t kMostInstances = 4096;
constexpr std::byte kDescription{6};  // QEMU_VM_VMDESCRIPTION
constexpr std::byte kFullSection{4};  // QEMU_VM_SECTION_FULL

struct NamedField {
  std::string_view field;
  Reg reg;
};
constexpr std::array kNamed{NamedField{"env.eip", rip},
                            NamedField{"env.eflags", rflags},
                            NamedField{"env.sysenter_cs", sysenter_cs},
                            NamedField{"env.sysenter_esp", sysenter_esp},
                            NamedField{"env.sysenter_eip", sysenter_eip},
                            NamedField{"env.cr[0]", cr0},
                            NamedField{"env.cr[2]", cr2},
                            NamedField{"env.cr[3]", cr3},
                            NamedField{"env.cr[4]", cr4},
                            NamedField{"env.efer", efer},
                            NamedField{"env.star", star},
                            NamedField{"env.lstar", lstar},
                            NamedField{"env.cstar", cstar},
                            NamedField{"env.fmask", fmask},
                            NamedField{"env.kernelgsbase", kernel_gs_base},
                            NamedField{"env.pat", pat},
                            NamedField{"env.tsc_aux", tsc_aux},
                            NamedField{"env.xcr0", xcr0}};
constexpr std::array kStreamGeneral{rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi,
                                    r8,  r9,  r10, r11, r12, r13, r14, r15};
constexpr std::array<std::optional<Reg>, 8> kDebug{dr0, dr1, dr2, dr3, {}, {}, dr6, dr7};

struct Segment {
  Reg selector, base, limit, attributes;
};
constexpr std::array kSegments{
    Segment{es, es_base, es_limit, es_attributes}, Segment{cs, cs_base, cs_limit, cs_attributes},
    Segment{ss, ss_base, ss_limit, ss_attributes}, Segment{ds, ds_base, ds_limit, ds_attributes},
    Segment{fs, fs_base, fs_limit, fs_attributes}, Segment{gs, gs_base, gs_limit, gs_attributes}};

std::optional<std::uint64_t> number(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<std::uint64_t>();
}

std::string_view text(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return {};
  return found->get_ref<const std::string&>();
}

// One field of the description, and where its bytes are.
struct Field {
  std::string_view name;
  std::uint64_t size = 0;  // of one element
  std::uint64_t count = 1;
  Fields bytes;

  [[nodiscard]] std::uint64_t at(std::uint64_t index) const {
    const std::size_t place = index * size;
    return size == 8 ? bytes.get<std::uint64_t>(place) : bytes.get<std::uint32_t>(place);
  }
};

void take_segment(Registers& into, const Segment& segment, const Fields& bytes) {
  into.set(segment.selector, bytes.get<std::uint32_t>(0));
  into.set(segment.base, bytes.get<std::uint64_t>(4));
  into.set(segment.limit, bytes.get<std::uint32_t>(12));
  into.set(segment.attributes, bytes.get<std::uint32_t>(16) >> 8U & kAccessRights);
}

void take_table(Registers& into, Reg base, Reg limit, const Fields& bytes) {
  into.set(base, bytes.get<std::uint64_t>(4));
  into.set(limit, bytes.get<std::uint32_t>(12));
}

constexpr std::uint64_t kSegmentSize = 20;

void take_segments(Registers& into, const Field& field) {
  if (field.size != kSegmentSize) return;
  if (field.name == "env.segs")
    for (std::size_t i = 0; i < std::min<std::size_t>(field.count, kSegments.size()); ++i)
      take_segment(into, kSegments[i], field.bytes.from(i * kSegmentSize));
  if (field.name == "env.ldt")
    take_segment(into, {ldt, ldt_base, ldt_limit, ldt_attributes}, field.bytes);
  if (field.name == "env.tr")
    take_segment(into, {tr, tr_base, tr_limit, tr_attributes}, field.bytes);
  if (field.name == "env.gdt") take_table(into, gdt_base, gdt_limit, field.bytes);
  if (field.name == "env.idt") take_table(into, idt_base, idt_limit, field.bytes);
}

void take_field(Registers& into, const Field& field) {
  take_segments(into, field);
  if (field.size != 4 && field.size != 8) return;
  for (const NamedField& one : kNamed)
    if (one.field == field.name) into.set(one.reg, field.at(0));
  if (field.name == "env.regs")
    for (std::size_t i = 0; i < std::min<std::size_t>(field.count, kStreamGeneral.size()); ++i)
      into.set(kStreamGeneral[i], field.at(i));
  if (field.name == "env.dr" && field.count == kDebug.size())
    for (std::size_t i = 0; i < kDebug.size(); ++i)
      if (const auto reg = kDebug[i]) into.set(*reg, field.at(i));
}

// Up to the first field whose length is not told.
Registers decode(const Json& device, Fields bytes) {
  Registers out;
  const auto fields = device.find("fields");
  if (fields == device.end() || !fields->is_array()) return out;
  for (const Json& one : *fields) {
    const auto size = one.is_object() ? number(one, "size") : std::nullopt;
    const std::uint64_t count = one.is_object() ? number(one, "array_len").value_or(1) : 1;
    if (!size || *size > kMostState || count > kMostState / (*size + 1) ||
        !bytes.holds(0, *size * count))
      break;
    take_field(out, {text(one, "name"), *size, count, bytes});
    bytes = bytes.from(*size * count);
  }
  return out;
}

struct Tail {
  std::vector<std::byte> state;  // of the devices
  Json description;
};

// The description ends where the file does, but for padding.
std::optional<Tail> read_tail(const Source& source, std::uint64_t devices) {
  const std::uint64_t all = source.size() - std::min(source.size(), devices);
  std::vector<std::byte> bytes(std::min<std::uint64_t>(all, kMostState));
  if (bytes.size() != all || !source.copy(devices, bytes)) return std::nullopt;
  std::size_t end = bytes.size();
  while (end != 0 && bytes[end - 1] == std::byte{} && bytes.size() - end < kMostPadding) --end;
  const auto whole = std::span<const std::byte>(bytes).first(end);
  const Fields fields(whole, std::endian::big);
  const std::size_t least = end - std::min(end, kMostDescription);
  for (std::size_t at = end; at-- > least;) {
    if (bytes[at] != kDescription || !fields.holds(at, 6)) continue;
    const std::uint64_t size = fields.get<std::uint32_t>(at + 1);
    if (at + 5 + size != end || bytes[at + 5] != std::byte{'{'}) continue;
    const auto* text = reinterpret_cast<const char*>(bytes.data()) + at + 5;
    Json description = Json::parse(text, text + size, nullptr, false);
    if (!description.is_object()) return std::nullopt;
    bytes.resize(at);
    return Tail{std::move(bytes), std::move(description)};
  }
  return std::nullopt;
}

// Where the fields of each vCPU begin: behind {type, id, "cpu", instance, version}.
std::map<std::uint64_t, std::size_t> find_sections(const std::vector<std::byte>& state) {
  constexpr std::string_view kName =
      "\x03"
      "cpu";
  const std::string_view all(reinterpret_cast<const char*>(state.data()), state.size());
  const Fields fields(state, std::endian::big);
  std::map<std::uint64_t, std::size_t> out;
  for (std::size_t at = all.find(kName); at != std::string_view::npos;
       at = all.find(kName, at + 1)) {
    constexpr std::size_t kBefore = 5;  // type and id
    const std::size_t instance = at + kName.size();
    if (at < kBefore || state[at - kBefore] != kFullSection || !fields.holds(instance, 8)) continue;
    const auto number = fields.get<std::uint32_t>(instance);
    if (number < kMostInstances) out.emplace(number, instance + 8);
  }
  return out;
}

}  // namespace

StreamState read_stream_state(const Source& source, const StreamRam& ram) {
  StreamState out;
  const auto tail = ram.is_cut ? std::nullopt : read_tail(source, ram.devices);
  const auto devices = tail ? tail->description.find("devices") : Json::const_iterator{};
  if (!tail || devices == tail->description.end() || !devices->is_array()) return out;
  const auto sections = find_sections(tail->state);
  const Fields state(tail->state, std::endian::big);
  for (const Json& device : *devices) {
    if (!device.is_object() || text(device, "name") != "cpu") continue;
    const auto instance = number(device, "instance_id");
    if (!instance || *instance >= kMostInstances) continue;
    out.vcpus = std::max(out.vcpus, static_cast<std::uint32_t>(*instance + 1));
    const auto found = sections.find(*instance);
    if (found == sections.end()) continue;
    const Registers registers = decode(device, state.from(found->second));
    if (!registers[rip] || !registers[cr3]) continue;  // of another architecture
    out.registers.resize(std::max<std::size_t>(out.registers.size(), *instance + 1));
    out.registers[*instance] = registers;
  }
  return out;
}

}  // namespace microvmi::coredump_connector
