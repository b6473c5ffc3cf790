// SPDX-License-Identifier: Apache-2.0
// Which format a file has: by its magic, then by its suffix; those that are only known by name too.
#include <array>

#include "connector/coredump/refused.hpp"

namespace microvmi::coredump_connector {
namespace {

// In the order in which they are asked; raw, which goes by the name of the file, is the last.
const auto& formats() {
  static const std::array all{&elf_format(),    &kdump_format(),   &lime_format(),
                              &avml_format(),   &windows_format(), &migration_format(),
                              &vmware_format(), &raw_format()};
  return all;
}

constexpr const char* kRawHint =
    "with memflow.coredump.format=raw every byte is taken for the one at its own address";

const char* name_of(DumpFormat format) {
  return kDumpFormatNames[static_cast<std::size_t>(format)];
}

// "elf, lime and raw"
std::string names_of_formats() {
  std::string out;
  for (std::size_t i = 0; i < formats().size(); ++i)
    out += std::string(i == 0                      ? ""
                       : i + 1 == formats().size() ? " and "
                                                   : ", ") +
           name_of(formats()[i]->type());
  return out;
}

// The one that the file begins with the magic of.
const Format* by_magic(const Source& source) {
  for (const Format* format : formats())
    if (format != &raw_format() && format->recognises(source)) return format;
  return nullptr;
}

Expected<const Format*> detected(const Source& source) {
  if (const Format* format = by_magic(source)) return format;
  if (const Refused* one = refused(source))
    return fail(Errc::not_supported,
                source.name() + " is " + one->what + "; this build reads " + names_of_formats(), {},
                one->hint);
  if (raw_format().recognises(source)) return &raw_format();
  return fail(Errc::invalid_argument,
              "nothing in " + source.name() + " or in its name tells how memory lies in it", {},
              kRawHint);
}

}  // namespace

Expected<const Format*> choose(const Source& source) {
  const DumpFormat wanted = source.params.format;
  if (wanted == DumpFormat::detect) return detected(source);
  for (const Format* format : formats()) {
    if (format->type() != wanted) continue;
    const Format* const other = by_magic(source);
    if (other && other != format)
      source.log(std::string("is read as asked, though it looks like ") + name_of(other->type()));
    else if (const Refused* one = refused(source); one && !other)
      source.log(std::string("is read as asked, though it looks like ") + one->what);
    return format;
  }
  return fail(Errc::not_supported, std::string("this build has no reader of the format ") +
                                       name_of(wanted) + "; it reads " + names_of_formats());
}

}  // namespace microvmi::coredump_connector
