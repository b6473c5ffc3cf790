// SPDX-License-Identifier: Apache-2.0
// Tables of offsets for each group of ContextFlags.
#include "connector/coredump/windows_context.hpp"

#include <array>

#include "connector/coredump/fields.hpp"

namespace microvmi::coredump_connector {
namespace {

using enum Reg;

// CONTEXT_AMD64, CONTEXT_i386, and the groups of each.
constexpr std::uint32_t kAmd64 = 0x100000;
constexpr std::uint32_t kI386 = 0x10000;
constexpr std::uint32_t kContextControl = 1;
constexpr std::uint32_t kInteger = 2;
constexpr std::uint32_t kContextSegments = 4;
constexpr std::uint32_t kDebug64 = 0x10;
constexpr std::uint32_t kDebug32 = 0x10;

constexpr std::array kControl64{RegisterField{cs, 0x38, 2}, RegisterField{ss, 0x42, 2},
                                RegisterField{rflags, 0x44, 4}, RegisterField{rsp, 0x98, 8},
                                RegisterField{rip, 0xF8, 8}};
constexpr std::array kInteger64{
    RegisterField{rax, 0x78, 8}, RegisterField{rcx, 0x80, 8}, RegisterField{rdx, 0x88, 8},
    RegisterField{rbx, 0x90, 8}, RegisterField{rbp, 0xA0, 8}, RegisterField{rsi, 0xA8, 8},
    RegisterField{rdi, 0xB0, 8}, RegisterField{r8, 0xB8, 8},  RegisterField{r9, 0xC0, 8},
    RegisterField{r10, 0xC8, 8}, RegisterField{r11, 0xD0, 8}, RegisterField{r12, 0xD8, 8},
    RegisterField{r13, 0xE0, 8}, RegisterField{r14, 0xE8, 8}, RegisterField{r15, 0xF0, 8}};
constexpr std::array kSegments64{RegisterField{ds, 0x3A, 2}, RegisterField{es, 0x3C, 2},
                                 RegisterField{fs, 0x3E, 2}, RegisterField{gs, 0x40, 2}};
constexpr std::array kDebugs64{RegisterField{dr0, 0x48, 8}, RegisterField{dr1, 0x50, 8},
                               RegisterField{dr2, 0x58, 8}, RegisterField{dr3, 0x60, 8},
                               RegisterField{dr6, 0x68, 8}, RegisterField{dr7, 0x70, 8}};

constexpr std::array kControl32{RegisterField{rbp, 0xB4, 4}, RegisterField{rip, 0xB8, 4},
                                RegisterField{cs, 0xBC, 4},  RegisterField{rflags, 0xC0, 4},
                                RegisterField{rsp, 0xC4, 4}, RegisterField{ss, 0xC8, 4}};
constexpr std::array kInteger32{RegisterField{rdi, 0x9C, 4}, RegisterField{rsi, 0xA0, 4},
                                RegisterField{rbx, 0xA4, 4}, RegisterField{rdx, 0xA8, 4},
                                RegisterField{rcx, 0xAC, 4}, RegisterField{rax, 0xB0, 4}};
constexpr std::array kSegments32{RegisterField{gs, 0x8C, 4}, RegisterField{fs, 0x90, 4},
                                 RegisterField{es, 0x94, 4}, RegisterField{ds, 0x98, 4}};
constexpr std::array kDebugs32{RegisterField{dr0, 0x04, 4}, RegisterField{dr1, 0x08, 4},
                               RegisterField{dr2, 0x0C, 4}, RegisterField{dr3, 0x10, 4},
                               RegisterField{dr6, 0x14, 4}, RegisterField{dr7, 0x18, 4}};

struct Group {
  std::uint32_t flag;
  std::span<const RegisterField> fields;
};
constexpr std::array kGroups64{Group{kContextControl, kControl64}, Group{kInteger, kInteger64},
                               Group{kContextSegments, kSegments64}, Group{kDebug64, kDebugs64}};
constexpr std::array kGroups32{Group{kContextControl, kControl32}, Group{kInteger, kInteger32},
                               Group{kContextSegments, kSegments32}, Group{kDebug32, kDebugs32}};

Registers take_groups(const Fields& context, std::uint32_t flags, std::span<const Group> groups) {
  Registers out;
  for (const Group& group : groups)
    if ((flags & group.flag) != 0) take(out, context, group.fields);
  return out;
}

}  // namespace

Registers windows_context64(std::span<const std::byte> context) {
  const Fields fields(context);
  const auto flags = fields.get<std::uint32_t>(0x30);
  if ((flags & kAmd64) == 0) return {};
  return take_groups(fields, flags, kGroups64);
}

Registers windows_context32(std::span<const std::byte> context) {
  const Fields fields(context);
  const auto flags = fields.get<std::uint32_t>(0);
  if ((flags & kI386) == 0) return {};
  return take_groups(fields, flags, kGroups32);
}

}  // namespace microvmi::coredump_connector
