// SPDX-License-Identifier: Apache-2.0
// Streams that QEMU wrote for a migration to a file, and libvirt for `virsh save` and `virsh dump`.
#include <fmt/format.h>

#include <array>

#include "connector/coredump/fields.hpp"
#include "connector/coredump/stream_layout.hpp"
#include "connector/coredump/stream_memory.hpp"
#include "connector/coredump/stream_ram.hpp"
#include "connector/coredump/stream_state.hpp"

namespace microvmi::coredump_connector {
namespace {

constexpr std::string_view kStream = "QEVM";
constexpr std::string_view kLibvirt = "LibvirtQemudSave";

// Of libvirt's file (src/qemu/qemu_saveimage.h, virQEMUSaveHeader).
constexpr std::size_t kLibvirtHeader = 92;
constexpr std::size_t kMostXml = 1 << 20;

struct Start {
  std::uint64_t offset = 0;  // of the stream
  std::optional<std::string> vm_name = std::nullopt;
  std::vector<Fact> facts{};
};

std::optional<std::string> element(std::string_view xml, std::string_view name) {
  const std::string open = "<" + std::string(name) + ">";
  const std::size_t first = xml.find(open);
  if (first == std::string_view::npos) return std::nullopt;
  const std::size_t last = xml.find("</", first);
  if (last == std::string_view::npos) return std::nullopt;
  return std::string(xml.substr(first + open.size(), last - first - open.size()));
}

std::string compression(std::uint32_t format) {
  constexpr std::array<const char*, 7> kNames{"raw",  "gzip", "bzip2", "xz",
                                              "lzop", "zstd", "sparse"};
  return format < kNames.size() ? kNames[format] : fmt::format("format {}", format);
}

Expected<Start> read_libvirt(const Source& source) {
  std::array<std::byte, kLibvirtHeader> bytes{};
  if (!source.copy(0, bytes)) return fail(Errc::io, source.name() + " is cut off in its header");
  Fields head(bytes);
  // As the host that wrote it has its numbers.
  if (head.get<std::uint32_t>(16) > 0xFFFF) head = Fields(bytes, std::endian::big);
  const auto version = head.get<std::uint32_t>(16);
  const auto size = head.get<std::uint32_t>(20);
  const auto format = head.get<std::uint32_t>(28);
  if (version == 0 || version > 3)
    return fail(Errc::not_supported,
                fmt::format("{} is a libvirt save image of version {}", source.name(), version));
  if (format != 0)
    return fail(Errc::not_supported,
                fmt::format("{} is a libvirt save image whose memory is packed ({})", source.name(),
                            compression(format)),
                {},
                "set save_image_format = \"raw\" in qemu.conf and save the guest again, or use "
                "virsh dump --memory-only");
  std::string xml(std::min<std::size_t>(size, kMostXml), '\0');
  if (!source.copy(kLibvirtHeader, std::as_writable_bytes(std::span(xml))))
    return fail(Errc::io, source.name() + " is cut off in the description of its guest");
  Start out{.offset = kLibvirtHeader + std::uint64_t{size}, .vm_name = element(xml, "name")};
  if (const auto uuid = element(xml, "uuid")) out.facts.push_back({"uuid", *uuid});
  out.facts.push_back({"was_running", head.get<std::uint32_t>(24) == 1});
  return out;
}

class MigrationFormat final : public Format {
 public:
  DumpFormat type() const override { return DumpFormat::migration; }
  bool recognises(const Source& source) const override {
    return source.has(0, kStream) || source.has(0, kLibvirt);
  }

  Expected<Image> open(const Source& source) const override {
    const bool is_libvirt = source.has(0, kLibvirt);
    const auto start = is_libvirt ? read_libvirt(source) : Expected<Start>(Start{});
    if (!start) return std::unexpected(start.error());
    const auto ram = read_stream_ram(source, start->offset);
    if (!ram) return std::unexpected(ram.error());
    if (ram->runs.empty())
      return ram->is_cut ? fail(Errc::io, source.name() + " is cut off before its first memory")
                         : fail(Errc::protocol, source.name() + " has no memory in it");
    const auto layout = lay_out(source, *ram);
    if (!layout) return std::unexpected(layout.error());
    auto memory = StreamMemory::make(source, *ram, *layout);
    if (!memory) return std::unexpected(std::move(memory.error()));
    if ((*memory)->map()->regions.empty())
      return fail(Errc::protocol, source.name() + " has no memory of the guest in it");
    StreamState state = read_stream_state(source, *ram);
    Image image{.memory = nullptr, .info = {.vm_name = start->vm_name}};
    if (state.vcpus != 0) image.info.vcpus = state.vcpus;
    image.vcpus = std::move(state.registers);
    image.info.facts = {{"format", is_libvirt ? "libvirt-save" : "migration"},
                        {"architecture", layout->architecture},
                        {"machine", ram->machine},
                        {"file_size", source.size()}};
    image.info.facts.insert(image.info.facts.end(), start->facts.begin(), start->facts.end());
    tell(image.info, source, *layout, (*memory)->missing());
    image.memory = *std::move(memory);
    return image;
  }

 private:
  static void tell(GuestInfo& info, const Source& source, const StreamLayout& layout,
                   const std::vector<Extent>& missing) {
    for (const std::string& name : layout.unplaced)
      source.log("has \"" + name + "\", of which a stream does not tell where the guest has it");
    info.facts.push_back({"truncated", !missing.empty()});
    if (missing.empty()) return;
    info.facts.push_back({"missing_bytes", sum(missing)});
    info.facts.push_back({"first_missing", missing.front().gpa});
    source.log(fmt::format("is cut off: {} bytes of memory from {:#x} on are not in it",
                           sum(missing), missing.front().gpa));
  }
};

}  // namespace

const Format& migration_format() {
  static const MigrationFormat format;
  return format;
}

}  // namespace microvmi::coredump_connector
