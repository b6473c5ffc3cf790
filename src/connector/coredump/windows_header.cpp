// SPDX-License-Identifier: Apache-2.0
// One table of offsets for each class; numbers that Windows left as its filler are absent.
#include "connector/coredump/windows_header.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "connector/coredump/fields.hpp"
#include "connector/coredump/windows_context.hpp"

namespace microvmi::coredump_connector {
namespace {

constexpr std::uint32_t kFiller32 = 0x45474150;  // "PAGE"
constexpr std::uint64_t kFiller64 = 0x4547415045474150;

struct Offsets {
  unsigned word;  // bytes of an address
  std::uint16_t dtb, modules, processes, machine, vcpus, bugcheck, kdbg, run_count, page_count,
      runs;
  std::size_t most_runs;  // PhysicalMemoryBlockBuffer has 700 bytes
  std::uint16_t context, context_size, comment, type, time;
};
constexpr Offsets k64{8,     0x010, 0x020, 0x028, 0x030, 0x034, 0x038, 0x080, 0x088,
                      0x090, 0x098, 42,    0x348, 3000,  0xFB0, 0xF98, 0xFA8};
constexpr Offsets k32{4,     0x010, 0x018, 0x01C, 0x020, 0x024, 0x028, 0x060, 0x064,
                      0x068, 0x06C, 86,    0x320, 1200,  0x820, 0xF88, 0xFC0};
constexpr std::size_t kComment = 128;
constexpr std::uint16_t kPaeEnabled = 0x05C;  // of 32-bit ones

std::optional<std::uint32_t> number(const Fields& header, std::size_t at) {
  const auto value = header.get<std::uint32_t>(at);
  return value == kFiller32 ? std::nullopt : std::optional(value);
}

std::uint64_t word(const Fields& header, std::size_t at, unsigned size) {
  return size == 8 ? header.get<std::uint64_t>(at) : header.get<std::uint32_t>(at);
}

std::optional<std::uint64_t> address(const Fields& header, std::size_t at, unsigned size) {
  const std::uint64_t value = word(header, at, size);
  if (value == 0 || value == (size == 8 ? kFiller64 : kFiller32)) return std::nullopt;
  return value;
}

std::string hex(std::uint64_t value) { return fmt::format("{:#x}", value); }

// Of 100 ns since 1601; empty where it is no time of a computer.
std::string date_of(std::uint64_t filetime) {
  constexpr std::uint64_t kPerSecond = 10'000'000;
  constexpr std::uint64_t kTo1970 = 11'644'473'600;  // seconds
  constexpr std::uint64_t kTo2200 = kTo1970 + 7'258'118'400;
  const std::uint64_t seconds = filetime / kPerSecond;
  if (seconds < kTo1970 || seconds > kTo2200) return {};
  const std::chrono::sys_seconds when{
      std::chrono::seconds(static_cast<std::int64_t>(seconds - kTo1970))};
  const auto day = std::chrono::floor<std::chrono::days>(when);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(when - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     time.hours().count(), time.minutes().count(), time.seconds().count());
}

const char* type_name(std::uint32_t type) {
  switch (type) {
    case 1:
      return "full";
    case 2:
      return "kernel (summary)";
    case 4:
      return "triage";
    case 5:
      return "full (bitmap)";
    case 6:
      return "kernel (bitmap)";
    case 8:
      return "kernel (runs)";
    case 9:
      return "kernel and user (runs)";
    case 10:
      return "complete (runs)";
    default:
      return "unknown";
  }
}

std::string machine_name(std::uint32_t machine) {
  switch (machine) {  // IMAGE_FILE_MACHINE_*
    case 0x8664:
      return "x86_64";
    case 0x014C:
      return "i386";
    case 0xAA64:
      return "aarch64";
    default:
      return fmt::format("windows machine {:#x}", machine);
  }
}

void read_runs(WindowsHeader& into, const Fields& header, const Offsets& at) {
  into.run_count = number(header, at.run_count);
  into.page_count = word(header, at.page_count, at.word);
  const std::size_t count = std::min<std::size_t>(into.run_count.value_or(0), at.most_runs);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t place = at.runs + 2U * i * at.word;
    into.runs.push_back({word(header, place, at.word), word(header, place + at.word, at.word)});
  }
}

}  // namespace

std::optional<WindowsHeader> parse_windows_header(std::span<const std::byte> bytes) {
  const Fields header(bytes);
  WindowsHeader out;
  const std::string_view magic = header.text(0, 8);
  if (magic == "PAGEDUMP") out.bits = 32;
  if ((magic != "PAGEDUMP" && magic != "PAGEDU64") || bytes.size() < out.size())
    return std::nullopt;
  const Offsets& at = out.bits == 64 ? k64 : k32;
  out.build = header.get<std::uint32_t>(0x00C);
  out.dtb = word(header, at.dtb, at.word);
  out.is_pae = out.bits == 32 && header.get<std::uint8_t>(kPaeEnabled) == 1;
  out.machine = header.get<std::uint32_t>(at.machine);
  out.vcpus = number(header, at.vcpus);
  out.bugcheck = number(header, at.bugcheck);
  out.kdbg = address(header, at.kdbg, at.word);
  out.modules = address(header, at.modules, at.word);
  out.processes = address(header, at.processes, at.word);
  out.time = address(header, at.time, 8);
  const std::string_view comment = header.text(at.comment, kComment);
  if (!comment.starts_with("PAGE")) out.comment = std::string(comment);
  out.type = header.get<std::uint32_t>(at.type);
  read_runs(out, header, at);
  const auto context = bytes.subspan(at.context, at.context_size);
  if (out.machine == 0x8664) out.registers = windows_context64(context);
  if (out.machine == 0x014C) out.registers = windows_context32(context);
  const bool is_x86 = out.machine == 0x8664 || out.machine == 0x014C;
  if (is_x86 && address(header, at.dtb, at.word)) out.registers.set(Reg::cr3, out.dtb);
  return out;
}

std::vector<Fact> facts_of(const WindowsHeader& header) {
  // A PAE root is aligned to 32 bytes; of any other, CR3 has flags in the last 12 bits.
  const std::uint64_t flags = header.is_pae ? 0x1F : 0xFFF;
  std::vector<Fact> out{{"os", "windows"},
                        {"architecture", machine_name(header.machine)},
                        {"build", std::uint64_t{header.build}},
                        {"dump_type", type_name(header.type)},
                        {"dtb", hex(header.dtb & ~flags)}};
  const auto add = [&out](const char* name, const std::optional<std::uint64_t>& value) {
    if (value) out.push_back({name, hex(*value)});
  };
  add("kdbg", header.kdbg);
  add("loaded_modules", header.modules);
  add("active_processes", header.processes);
  add("bugcheck", header.bugcheck);
  if (const std::string date = date_of(header.time.value_or(0)); !date.empty())
    out.push_back({"time", date});
  if (!header.comment.empty()) out.push_back({"comment", header.comment});
  return out;
}

}  // namespace microvmi::coredump_connector
