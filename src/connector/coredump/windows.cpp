// SPDX-License-Identifier: Apache-2.0
// Windows crash dumps: the header's registers and facts, and the memory behind it.
#include <fmt/format.h>

#include "connector/coredump/windows_header.hpp"
#include "connector/coredump/windows_kernel.hpp"
#include "connector/coredump/windows_runs.hpp"

namespace microvmi::coredump_connector {
namespace {

constexpr std::uint32_t kMostHeaderVcpus = 4096;  // more than any Windows runs on

class WindowsFormat final : public Format {
 public:
  DumpFormat type() const override { return DumpFormat::windows; }
  bool recognises(const Source& source) const override {
    return source.has(0, "PAGEDU64") || source.has(0, "PAGEDUMP");
  }

  Expected<Image> open(const Source& source) const override {
    if (!recognises(source))
      return fail(Errc::invalid_argument,
                  source.name() + " does not begin with the header of a Windows crash dump");
    std::vector<std::byte> bytes(source.has(0, "PAGEDU64") ? kWindowsHeader64 : kWindowsHeader32);
    const bool whole = source.copy(0, bytes);
    const auto header = whole ? parse_windows_header(bytes) : std::nullopt;
    if (!header) return fail(Errc::io, source.name() + " is cut off within its header");
    Image image;
    if (header->vcpus && *header->vcpus <= kMostHeaderVcpus) image.info.vcpus = header->vcpus;
    image.info.facts = facts_of(*header);
    image.info.facts.insert(image.info.facts.begin(),
                            {"format", header->bits == 64 ? "windows64" : "windows32"});
    image.info.facts.push_back({"file_size", source.size()});
    if (auto done = place_windows_pages(image, source, *header); !done)
      return std::unexpected(std::move(done.error()));
    WindowsKernel kernel = look_at_windows(*image.memory, *header);
    if (kernel.base)
      image.info.facts.push_back({"kernel_base", fmt::format("{:#x}", *kernel.base)});
    image.vcpus = merge_vcpus(std::move(kernel.vcpus), header->registers);
    return image;
  }
};

}  // namespace

const Format& windows_format() {
  static const WindowsFormat format;
  return format;
}

}  // namespace microvmi::coredump_connector
