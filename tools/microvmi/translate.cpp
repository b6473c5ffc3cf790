// SPDX-License-Identifier: Apache-2.0
// microvmi translate: where a guest virtual address is, and through which page tables.
#include <fmt/format.h>

#include "json.hpp"
#include "terminal.hpp"
#include "vcpu_options.hpp"

namespace microvmi::tool {
namespace {

struct TranslateArgs {
  std::optional<std::string> gva;
  SpaceOptions space;
  bool json = false;
};

Json to_json(const Translation& found) {
  Json levels = Json::array();
  for (const TableEntry& entry : found.levels())
    levels.push_back(
        {{"level", entry.level}, {"gpa", to_integer(entry.gpa)}, {"value", entry.value}});
  return {{"gpa", to_integer(found.gpa)},   {"page_size", found.page_size},
          {"writable", found.writable},     {"user", found.user},
          {"executable", found.executable}, {"levels", std::move(levels)}};
}

std::string to_lines(const Translation& found, const AddressSpace& space, std::uint64_t gva) {
  std::string out = fmt::format(
      "{} is at {}{}{}\n{} page, {}, {}, {}, {} paging, cr3 {}\n", hex(gva), style().bold,
      hex(to_integer(found.gpa)), style().plain, human_size(found.page_size),
      found.writable ? "writable" : "read-only", found.user ? "user" : "supervisor",
      found.executable ? "executable" : "no-execute", name_of(space.mode), hex(space.cr3));
  for (const TableEntry& entry : found.levels())
    out += fmt::format("  level {}  entry at {:#014x}  {:#018x}\n", entry.level,
                       to_integer(entry.gpa), entry.value);
  return out;
}

Outcome run_translate(Session& session, TranslateArgs& options) {
  const std::uint64_t gva = session.number("GVA", options.gva);
  options.space.check(session);
  const auto request = session.request();
  if (!request) return std::unexpected(request.error());
  auto vm = session.open(*request);
  if (!vm) return std::unexpected(std::move(vm.error()));
  const auto space = options.space.resolve(*vm);
  if (!space) return std::unexpected(space.error());
  const auto found = vm->translate(*space, Gva{gva});
  if (!found) return failed(found.error());
  return session.out().write(options.json ? to_text(to_json(*found))
                                          : to_lines(*found, *space, gva));
}

Run declare_translate(CLI::App& app) {
  auto options = std::make_shared<TranslateArgs>();
  add_text(app, "GVA", options->gva, "Guest virtual address");
  options->space.declare(app);
  add_flag(app, "--json", options->json,
           "One object {gpa, page_size, writable, user, executable, levels}");
  return [options](Session& session) { return run_translate(session, *options); };
}

}  // namespace

const Command kTranslate{.name = "translate",
                         .summary = "Tell where a guest virtual address is in physical memory",
                         .takes_target = true,
                         .declare = declare_translate};

}  // namespace microvmi::tool
