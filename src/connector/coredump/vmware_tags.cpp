// SPDX-License-Identifier: Apache-2.0
// Groups, and in each of them tags: a name, up to three indices, a value or a block.
#include "connector/coredump/vmware_tags.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "connector/coredump/fields.hpp"

namespace microvmi::coredump_connector {
namespace {

using enum Reg;

constexpr std::array<std::uint32_t, 5> kMagics{0xBED0BED0, 0xBED2BED2, 0xBED3BED3, 0xBAD1BAD1,
                                               0xBAD2BAD2};
constexpr std::uint32_t kMostGroups = 1024;
constexpr std::size_t kMostRegions = 4096;
constexpr std::size_t kMostVmwareVcpus = 1024;
constexpr std::size_t kTagsPerLook = 1 << 12;  // between looks at the clock
constexpr std::uint64_t kLargestValue = 256;   // of a block that is looked into

constexpr std::array kVmwareGeneral{rax, rcx, rdx, rbx, rbp, rsp, rsi, rdi,
                                    r8,  r9,  r10, r11, r12, r13, r14, r15};
constexpr std::array<const char*, 16> kGeneralNames{"rax", "rcx", "rdx", "rbx", "rbp", "rsp",
                                                    "rsi", "rdi", "r8",  "r9",  "r10", "r11",
                                                    "r12", "r13", "r14", "r15"};
constexpr std::array<std::optional<Reg>, 5> kControl{cr0, {}, cr2, cr3, cr4};
constexpr std::array kBases{es_base, cs_base, ss_base,  ds_base,
                            fs_base, gs_base, ldt_base, tr_base};  // SegmentName

struct Tag {
  std::string name;
  std::array<std::uint32_t, 3> index{};
  unsigned indices = 0;
  std::uint64_t at = 0;    // of the value
  std::uint64_t size = 0;  // in the file
  bool is_block = false;
  bool is_compressed = false;
  std::vector<std::byte> value{};  // where it is small
};

class TagReader {
 public:
  TagReader(const host::MappedFile& file, const std::string& name, const Wait& wait)
      : file_(file), name_(name), wait_(wait) {}

  Expected<VmwareCheckpoint> run() {
    std::array<std::byte, 12> bytes{};
    if (!copy(0, bytes)) return cut_off();
    const Fields head(bytes);
    is_old_ = (head.get<std::uint32_t>(0) & 0xFU) == 0;
    const auto groups = head.get<std::uint32_t>(8);
    if (groups > kMostGroups)
      return fail(Errc::protocol, fmt::format("{} says that it has {} groups", name_, groups));
    for (std::uint32_t i = 0; i < groups; ++i) {
      std::array<std::byte, 80> group{};
      if (!copy(bytes.size() + std::uint64_t{i} * group.size(), group)) return cut_off();
      const Fields fields(group);
      const std::string_view title = fields.text(0, 64);
      if (title != "memory" && title != "cpu") continue;
      if (auto done = walk(title == "memory", fields.get<std::uint64_t>(64)); !done)
        return std::unexpected(std::move(done.error()));
    }
    return std::move(out_);
  }

 private:
  Expected<void> walk(bool is_memory, std::uint64_t at) {
    for (std::size_t count = 0;; ++count) {
      if (count % kTagsPerLook == 0)
        if (const Errc over = wait_.over(); over != Errc::none)
          return fail(over, "the tags of " + name_ + " were not read in time");
      const auto tag = read_tag(at);
      if (!tag) return cut_off();
      if (tag->name.empty()) return {};
      if (tag->size > file_.size() - tag->at && !(is_memory && tag->name == "Memory"))
        return cut_off();
      take(is_memory, *tag);
      if (tag->size > file_.size() - tag->at) return {};  // its memory is cut off
      at = tag->at + tag->size;
    }
  }

  // One with an empty name is the last of its group.
  std::optional<Tag> read_tag(std::uint64_t at) {
    std::array<std::byte, 2> head{};
    if (!copy(at, head)) return std::nullopt;
    const auto flags = static_cast<unsigned>(head[0]);
    const auto length = static_cast<unsigned>(head[1]);
    Tag out;
    out.name.resize(length);
    if (!copy(at + 2, std::as_writable_bytes(std::span(out.name)))) return std::nullopt;
    if (length == 0) return flags == 0 ? std::optional(out) : std::nullopt;
    out.indices = flags >> 6;
    out.at = at + 2 + length;
    for (unsigned i = 0; i < out.indices; ++i, out.at += 4)
      if (!get(out.at, out.index[i])) return std::nullopt;
    const unsigned size = flags & 0x3FU;
    out.size = size;
    constexpr unsigned kCompressed = 62;
    constexpr unsigned kBlock = 63;
    if (size >= kCompressed && !read_block(out)) return std::nullopt;
    out.is_block = size >= kCompressed;
    out.is_compressed = size == kCompressed && size != kBlock;
    if (out.size > kLargestValue) return out;
    out.value.resize(out.size);
    return copy(out.at, out.value) ? std::optional(out) : std::nullopt;
  }

  // Its size in the file and in memory, and the length of the padding before it.
  bool read_block(Tag& tag) {
    const unsigned word = is_old_ ? 4 : 8;
    std::uint16_t padding = 0;
    tag.size = 0;
    std::array<std::byte, 8> size{};
    if (!copy(tag.at, std::span(size).first(word)) || !get(tag.at + 2ULL * word, padding))
      return false;
    tag.size = Fields(size).get<std::uint64_t>(0);
    tag.at += 2ULL * word + sizeof(padding) + padding;
    return tag.at <= file_.size();
  }

  void take(bool is_memory, const Tag& tag) {
    if (is_memory)
      take_memory(tag);
    else
      take_cpu(tag);
  }

  void take_memory(const Tag& tag) {
    if (tag.name == "Memory" && tag.is_block)
      out_.memory = VmwareBlock{tag.at, tag.size, tag.is_compressed};
    const auto value = Fields(tag.value).get<std::uint32_t>(0);
    if (tag.name == "regionsCount") out_.regions.resize(std::min<std::size_t>(value, kMostRegions));
    if (tag.indices == 0 || tag.index[0] >= out_.regions.size()) return;
    VmwareRegion& region = out_.regions[tag.index[0]];
    if (tag.name == "regionPPN") region.frame = value;
    if (tag.name == "regionPageNum") region.page = value;
    if (tag.name == "regionSize") region.pages = value;
  }

  void take_cpu(const Tag& tag) {
    const Fields value(tag.value);
    if (tag.name == "cpu:numVCPUs") {
      out_.vcpus = value.get<std::uint32_t>(0);
      out_.registers.resize(std::min<std::size_t>(out_.vcpus, kMostVmwareVcpus));
    }
    if (tag.indices == 0 || tag.index[0] >= out_.registers.size()) return;
    Registers& vcpu = out_.registers[tag.index[0]];
    if (tag.is_block)
      take_block(vcpu, tag.name, value);
    else
      take_value(vcpu, tag, value);
  }

  static void take_block(Registers& vcpu, const std::string& name, const Fields& value) {
    if (name == "gpregs" && value.size() == 128)
      for (std::size_t i = 0; i < kVmwareGeneral.size(); ++i)
        vcpu.set(kVmwareGeneral[i], value.get<std::uint64_t>(8 * i));
    if (name == "CR64" && value.size() == 72)
      for (std::size_t i = 0; i < kControl.size(); ++i)
        if (const auto reg = kControl[i]) vcpu.set(*reg, value.get<std::uint64_t>(8 * i));
    if (name == "IDTR" && value.size() == 10) {
      vcpu.set(idt_limit, value.get<std::uint16_t>(0));
      vcpu.set(idt_base, value.get<std::uint64_t>(2));
    }
  }

  static void take_value(Registers& vcpu, const Tag& tag, const Fields& value) {
    if (value.size() == 8) {
      const auto number = value.get<std::uint64_t>(0);
      for (std::size_t i = 0; i < kVmwareGeneral.size(); ++i)
        if (tag.name == kGeneralNames[i]) vcpu.set(kVmwareGeneral[i], number);
      if (tag.name == "rip") vcpu.set(rip, number);
      if (tag.indices >= 2 && tag.name == "CR64" && tag.index[1] < kControl.size())
        if (const auto reg = kControl[tag.index[1]]) vcpu.set(*reg, number);
      if (tag.indices >= 2 && tag.name == "S.base64" && tag.index[1] < kBases.size())
        vcpu.set(kBases[tag.index[1]], number);
    }
    if (value.size() == 4 && (tag.name == "eflags" || tag.name == "EFLAGS"))
      vcpu.set(rflags, vcpu[rflags].value_or(0) | value.get<std::uint32_t>(0));
  }

  [[nodiscard]] bool copy(std::uint64_t at, std::span<std::byte> into) const {
    return file_.copy(at, into) == into.size();
  }
  template <class T>
  [[nodiscard]] bool get(std::uint64_t at, T& into) const {
    return copy(at, std::as_writable_bytes(std::span(&into, 1)));
  }
  [[nodiscard]] std::unexpected<Error> cut_off() const {
    return fail(Errc::io, fmt::format("{} is cut off or wrong within its tags ({} bytes are there)",
                                      name_, file_.size()));
  }

  const host::MappedFile& file_;
  const std::string& name_;
  const Wait& wait_;
  VmwareCheckpoint out_;
  bool is_old_ = false;
};

}  // namespace

bool is_vmware_checkpoint(const host::MappedFile& file) {
  std::uint32_t magic = 0;
  return file.copy(0, std::as_writable_bytes(std::span(&magic, 1))) == sizeof(magic) &&
         std::ranges::find(kMagics, magic) != kMagics.end();
}

Expected<VmwareCheckpoint> read_vmware_checkpoint(const host::MappedFile& file,
                                                  const std::string& name, const Wait& wait) {
  return TagReader(file, name, wait).run();
}

}  // namespace microvmi::coredump_connector
