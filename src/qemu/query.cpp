// SPDX-License-Identifier: Apache-2.0
// The answers of QEMU's query commands, each member checked before it is believed. Their shapes
// are declared in QEMU's qapi/*.json.
#include "qemu/query.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

namespace microvmi::qemu {
namespace {

using Json = nlohmann::json;

std::unexpected<Error> wrong(const char* command, const char* what) {
  return fail(Errc::protocol, fmt::format("{}: {} is missing or of a wrong type", command, what));
}

const Json* member(const Json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

std::optional<std::string> string_of(const Json& object, const char* name) {
  const Json* value = member(object, name);
  if (!value || !value->is_string()) return std::nullopt;
  return value->get_ref<const std::string&>();
}

// QEMU has signed numbers on the wire, also for what cannot be negative.
template <class T = std::uint64_t>
std::optional<T> number_of(const Json& object, const char* name) {
  const Json* value = member(object, name);
  if (!value || !value->is_number_unsigned()) return std::nullopt;
  const auto number = value->get<std::uint64_t>();
  return number <= std::numeric_limits<T>::max() ? std::optional(static_cast<T>(number))
                                                 : std::nullopt;
}

std::optional<bool> flag_of(const Json& object, const char* name) {
  const Json* value = member(object, name);
  if (!value || !value->is_boolean()) return std::nullopt;
  return value->get<bool>();
}

// A list whose rows are read one by one; nullopt from a row spoils the answer.
template <class T, class Read>
Expected<std::vector<T>> rows_of(const char* command, const Json& answer, Read read) {
  if (!answer.is_array()) return wrong(command, "its list");
  std::vector<T> out;
  out.reserve(answer.size());
  for (const Json& row : answer) {
    std::optional<T> value = read(row);
    if (!value) return wrong(command, "a member of a row");
    out.push_back(*std::move(value));
  }
  return out;
}

std::optional<MemoryBackend> backend_of(const Json& row) {
  const auto size = number_of(row, "size");
  const auto share = flag_of(row, "share");
  if (!size) return std::nullopt;
  return MemoryBackend{.id = string_of(row, "id").value_or(""),
                       .size = *size,
                       .share = share.value_or(false)};  // absent before QEMU 6.1
}

std::optional<MemoryDevice> device_of(const Json& row) {
  constexpr std::string_view folder = "/objects/";
  const auto type = string_of(row, "type");
  const Json* data = member(row, "data");
  if (!type || !data) return std::nullopt;
  MemoryDevice out{.type = *type, .id = string_of(*data, "id").value_or(""), .backend = {}};
  // A DIMM says "addr", the virtio devices "memaddr"; SGX EPC has no backend of this kind.
  auto gpa = number_of(*data, "addr");
  if (!gpa) gpa = number_of(*data, "memaddr");
  if (gpa) out.gpa = Gpa{*gpa};
  const auto size = number_of(*data, "size");
  if (!size) return std::nullopt;
  out.size = *size;
  out.backend = string_of(*data, "memdev").value_or("");
  if (out.backend.starts_with(folder)) out.backend.erase(0, folder.size());
  return out;
}

std::optional<Vcpu> vcpu_of(const Json& row) {
  const auto index = number_of<std::uint32_t>(row, "cpu-index");
  const auto thread = number_of<std::uint32_t>(row, "thread-id");
  if (!index || !thread) return std::nullopt;
  return Vcpu{.index = *index, .thread = *thread, .target = string_of(row, "target").value_or("")};
}

bool take(std::string_view& text, std::string_view expected) {
  if (!text.starts_with(expected)) return false;
  text.remove_prefix(expected.size());
  return true;
}

std::optional<std::uint64_t> take_hex(std::string_view& text) {
  std::uint64_t value = 0;
  if (!take(text, "0x")) return std::nullopt;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (ec != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

}  // namespace

Expected<std::vector<MemoryBackend>> parse_memdev(const Json& answer) {
  return rows_of<MemoryBackend>("query-memdev", answer, backend_of);
}

Expected<std::vector<MemoryDevice>> parse_memory_devices(const Json& answer) {
  return rows_of<MemoryDevice>("query-memory-devices", answer, device_of);
}

Expected<std::vector<Vcpu>> parse_cpus(const Json& answer) {
  return rows_of<Vcpu>("query-cpus-fast", answer, vcpu_of);
}

Expected<MemorySizes> parse_memory_sizes(const Json& answer) {
  const auto base = number_of(answer, "base-memory");
  if (!base) return wrong("query-memory-size-summary", "base-memory");
  // Absent where the target has no slots for memory.
  return MemorySizes{.base = *base, .plugged = number_of(answer, "plugged-memory").value_or(0)};
}

Expected<Status> parse_status(const Json& answer) {
  auto name = string_of(answer, "status");
  const auto running = flag_of(answer, "running");
  if (!name || !running) return wrong("query-status", "status or running");
  return Status{.name = *std::move(name), .running = *running};
}

Expected<std::optional<std::string>> parse_name(const Json& answer) {
  if (!answer.is_object()) return wrong("query-name", "its object");
  if (!member(answer, "name")) return std::nullopt;
  auto name = string_of(answer, "name");
  if (!name) return wrong("query-name", "name");
  return name;
}

Expected<std::optional<std::string>> parse_uuid(const Json& answer) {
  auto uuid = string_of(answer, "UUID");
  if (!uuid) return wrong("query-uuid", "UUID");
  const bool none = std::ranges::all_of(*uuid, [](char c) { return c == '0' || c == '-'; });
  return none ? std::nullopt : std::optional(*std::move(uuid));
}

Expected<Version> parse_version(const Json& answer) {
  const Json* qemu = member(answer, "qemu");
  if (!qemu) return wrong("query-version", "qemu");
  const auto major = number_of<std::uint32_t>(*qemu, "major");
  const auto minor = number_of<std::uint32_t>(*qemu, "minor");
  const auto micro = number_of<std::uint32_t>(*qemu, "micro");
  if (!major || !minor || !micro) return wrong("query-version", "a number");
  return Version{*major, *minor, *micro, string_of(answer, "package").value_or("")};
}

Expected<HostAddress> parse_gpa2hva(std::string_view text, Gpa gpa) {
  const std::string_view whole = text.substr(0, text.find_first_of("\r\n"));
  std::string_view line = whole;
  if (line.starts_with("No memory is mapped at") || line.starts_with("Memory at address"))
    return fail(Errc::hole, fmt::format("gpa2hva: {:?}", line.substr(0, 80)), gpa);
  const auto wrong_line = [whole, gpa] {
    return fail(Errc::protocol, fmt::format("gpa2hva: {:?} makes no sense", whole.substr(0, 80)),
                gpa);
  };
  if (!take(line, "Host virtual address for ")) return wrong_line();
  const auto asked = take_hex(line);
  if (!asked || *asked != to_integer(gpa) || !take(line, " (")) return wrong_line();
  const std::size_t mark = line.rfind(") is ");  // a region's name may have brackets
  if (mark == std::string_view::npos) return wrong_line();
  HostAddress out{.hva = 0, .region = std::string(line.substr(0, mark))};
  line.remove_prefix(mark + 5);
  const auto hva = take_hex(line);
  if (!hva || !line.empty() || *hva == 0) return wrong_line();
  out.hva = *hva;
  return out;
}

}  // namespace microvmi::qemu
