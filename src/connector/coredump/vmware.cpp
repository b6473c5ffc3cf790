// SPDX-License-Identifier: Apache-2.0
// VMware: a checkpoint (.vmss, .vmsn), with the memory in it or in a .vmem beside it. Either may be
// the file that is named.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "connector/coredump/pieces.hpp"
#include "connector/coredump/vmware_tags.hpp"

namespace microvmi::coredump_connector {
namespace {

using File = std::shared_ptr<const host::MappedFile>;

struct NamedFile {
  File file;
  std::string name;
};

bool has_suffix(const Source& source, std::string_view wanted) {
  std::string suffix = source.params.filepath->extension().string();
  std::ranges::transform(suffix, suffix.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return suffix == wanted;
}

Expected<NamedFile> beside(const Source& source, const char* suffix) {
  std::filesystem::path path = *source.params.filepath;
  path.replace_extension(suffix);
  auto file = host::MappedFile::open(path);
  if (!file) return std::unexpected(std::move(file.error()));
  return NamedFile{std::make_shared<const host::MappedFile>(*std::move(file)),
                   "'" + path.string() + "'"};
}

// The checkpoint: the file itself, or the one beside a .vmem.
Expected<NamedFile> checkpoint_of(const Source& source) {
  if (is_vmware_checkpoint(*source.file)) return NamedFile{source.file, source.name()};
  if (has_suffix(source, ".vmem"))
    for (const char* suffix : {".vmss", ".vmsn"})
      if (auto found = beside(source, suffix); found && is_vmware_checkpoint(*found->file))
        return found;
  return fail(Errc::not_found, source.name() +
                                   " is no checkpoint of VMware (.vmss, .vmsn), nor a "
                                   ".vmem with one beside it");
}

Expected<NamedFile> memory_of(const Source& source, const NamedFile& checkpoint,
                              const VmwareCheckpoint& state) {
  if (state.memory && !state.memory->is_compressed) return checkpoint;
  if (state.memory)
    return fail(Errc::not_supported, checkpoint.name + " has its memory compressed", {},
                "vmss2core of VMware writes an ELF core of it");
  if (checkpoint.file != source.file) return NamedFile{source.file, source.name()};
  auto memory = beside(source, ".vmem");
  if (!memory) {
    memory.error().message = source.name() + " has no memory in it; " + memory.error().message;
    memory.error().hint = "keep the .vmem beside it";
  }
  return memory;
}

Expected<Pieces> pieces_of(const Source& source, const VmwareCheckpoint& state,
                           std::uint64_t size) {
  Pieces out;
  const std::uint64_t base = state.memory ? state.memory->offset : 0;
  const std::uint64_t wanted = state.memory ? state.memory->size : size;
  if (state.regions.empty()) {
    const Extent all{.gpa = 0, .size = wanted, .offset = base};
    return out.add(all, size) ? Expected<Pieces>(std::move(out)) : bad_piece(source, all);
  }
  for (const VmwareRegion& region : state.regions) {
    const Extent one{region.frame * kPageSize, region.pages * kPageSize,
                     base + region.page * kPageSize};
    if (one.offset < base || !out.add(one, size)) return bad_piece(source, one);
  }
  return out;
}

class VmwareFormat final : public Format {
 public:
  DumpFormat type() const override { return DumpFormat::vmware; }
  bool recognises(const Source& source) const override { return checkpoint_of(source).has_value(); }

  Expected<Image> open(const Source& source) const override {
    const auto checkpoint = checkpoint_of(source);
    if (!checkpoint) return std::unexpected(checkpoint.error());
    auto state = read_vmware_checkpoint(*checkpoint->file, checkpoint->name, source.options.wait);
    if (!state) return std::unexpected(std::move(state.error()));
    const auto memory = memory_of(source, *checkpoint, *state);
    if (!memory) return std::unexpected(memory.error());
    auto pieces = pieces_of(source, *state, memory->file->size());
    if (!pieces) return std::unexpected(std::move(pieces.error()));
    Image image;
    if (state->vcpus != 0 && state->vcpus == state->registers.size())
      image.info.vcpus = state->vcpus;
    if (std::ranges::any_of(state->registers, [](const auto& one) { return one.known().any(); }))
      image.vcpus = std::move(state->registers);
    image.info.facts = {{"format", "vmware"},
                        {"file_size", source.size()},
                        {"checkpoint", checkpoint->name},
                        {"memory_file", memory->name}};
    // The memory may be in the other file.
    const Source data{memory->file, source.params, source.options};
    if (auto done = std::move(*pieces).finish(image, data); !done)
      return std::unexpected(std::move(done.error()));
    return image;
  }
};

}  // namespace

const Format& vmware_format() {
  static const VmwareFormat format;
  return format;
}

}  // namespace microvmi::coredump_connector
