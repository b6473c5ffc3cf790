// SPDX-License-Identifier: Apache-2.0
// Opens each file of a set, and checks that they are parts of one dump and do not overlap.
#include "connector/coredump/kdump_parts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <system_error>

namespace microvmi::coredump_connector {
namespace {

constexpr std::size_t kMostParts = 256;
constexpr std::size_t kMostNeighbours = 1 << 16;  // files of a folder that are looked at

struct Opened {
  std::string name;
  KdumpHeader header;
  Bytes bytes;
};

Expected<Opened> open_part(const std::filesystem::path& path, const Wait& wait) {
  const std::string name = "'" + path.string() + "'";
  auto file = host::MappedFile::open(path);
  if (!file) return std::unexpected(file.error());
  auto bytes = Bytes::open(std::make_shared<const host::MappedFile>(*std::move(file)), name, wait);
  if (!bytes) return std::unexpected(bytes.error());
  auto header = read_kdump_header(*bytes, name);
  if (!header) return std::unexpected(header.error());
  return Opened{name, *std::move(header), *std::move(bytes)};
}

// The name with each number in it made one sign: "dump.12" and "dump.3" have the same.
std::string shape_of(const std::string& name) {
  std::string out;
  bool in_number = false;
  for (const char c : name) {
    const bool is_digit = std::isdigit(static_cast<unsigned char>(c)) != 0;
    if (!is_digit || !in_number) out += is_digit ? '#' : c;
    in_number = is_digit;
  }
  return out;
}

bool belong_together(const KdumpHeader& a, const KdumpHeader& b) {
  return b.is_split && a.identity == b.identity && a.block_size == b.block_size &&
         a.pages == b.pages && a.bitmap_size == b.bitmap_size;
}

class Set {
 public:
  explicit Set(const Source& source) : source_(source) {}

  Expected<KdumpSet> run(Opened first) {
    opened_.push_back(std::move(first));
    const KdumpHeader header = opened_[0].header;
    const auto& named = source_.params.parts;
    if (!header.is_split && !named.empty())
      return fail(Errc::invalid_argument, source_.name() + " is no part of a split dump", {},
                  "leave memflow.coredump.parts out");
    for (const std::filesystem::path& path : named)
      if (auto done = add_named(path); !done) return std::unexpected(done.error());
    if (header.is_split && named.empty()) add_neighbours();
    std::ranges::sort(opened_, {}, [](const auto& one) { return one.header.first_page; });
    return finish(header);
  }

 private:
  Expected<void> add_named(const std::filesystem::path& path) {
    if (opened_.size() == kMostParts)
      return fail(Errc::invalid_argument,
                  fmt::format("more than {} files are named as parts", kMostParts));
    auto part = open_part(path, source_.options.wait);
    if (!part) return std::unexpected(part.error());
    if (!belong_together(opened_[0].header, part->header))
      return fail(Errc::invalid_argument,
                  part->name + " is no part of the dump that " + source_.name() + " is of", {},
                  "check memflow.coredump.parts");
    opened_.push_back(*std::move(part));
    return {};
  }

  // Nobody named these: one that cannot be opened, or is of another dump, is just no part.
  void add_neighbours() {
    const std::filesystem::path& own = *source_.params.filepath;
    const std::string shape = shape_of(own.filename().string());
    std::error_code why;
    std::size_t seen = 0;
    const std::filesystem::path folder =
        own.has_parent_path() ? own.parent_path() : std::filesystem::path(".");
    for (std::filesystem::directory_iterator each(folder, why), end; !why && each != end;
         each.increment(why)) {
      if (++seen > kMostNeighbours || opened_.size() == kMostParts) break;
      const std::string name = each->path().filename().string();
      if (name == own.filename() || shape_of(name) != shape) continue;
      auto part = open_part(each->path(), source_.options.wait);
      if (!part || !belong_together(opened_[0].header, part->header) || overlaps(part->header))
        continue;
      source_.log("is split, and continued in " + part->name);
      opened_.push_back(*std::move(part));
    }
  }

  [[nodiscard]] bool overlaps(const KdumpHeader& header) const {
    return std::ranges::any_of(opened_, [&header](const Opened& one) {
      return header.first_page < one.header.last_page && one.header.first_page < header.last_page;
    });
  }

  Expected<KdumpSet> finish(const KdumpHeader& header) {
    KdumpSet out{.header = header, .parts = {}, .files = {}};
    for (Opened& one : opened_) {
      if (!out.parts.empty() && one.header.first_page < out.parts.back().last)
        return fail(Errc::invalid_argument,
                    one.name + " has pages that " + out.files.back() + " has too", {},
                    "name each part of a split dump once");
      if (one.header.first_page == header.first_page) out.named = out.parts.size();
      out.parts.push_back({.bytes = std::move(one.bytes),
                           .first = one.header.first_page,
                           .last = one.header.last_page,
                           .descriptors = one.header.descriptors});
      out.files.push_back(std::move(one.name));
    }
    return out;
  }

  const Source& source_;
  std::vector<Opened> opened_;
};

}  // namespace

Expected<KdumpSet> open_kdump_set(const Source& source) {
  auto bytes = Bytes::open(source.file, source.name(), source.options.wait);
  if (!bytes) return std::unexpected(bytes.error());
  auto header = read_kdump_header(*bytes, source.name());
  if (!header) return std::unexpected(header.error());
  return Set(source).run({source.name(), *std::move(header), *std::move(bytes)});
}

}  // namespace microvmi::coredump_connector
