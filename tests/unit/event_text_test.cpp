// SPDX-License-Identifier: Apache-2.0
// Events by name: what asks for them, and what they tell.
#include "microvmi/event/text.hpp"

#include <gmock/gmock.h>

namespace microvmi {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(EventTextTest, EachKindIsAskedForByItsName) {
  EXPECT_EQ(*parse_intercept("breakpoint:0x1000"), Intercept(Breakpoint::Filter{Gva{0x1000}}));
  EXPECT_EQ(*parse_intercept("breakpoint:4K:hardware"),
            Intercept(Breakpoint::Filter{Gva{0x1000}, Breakpoint::Kind::hardware}));
  EXPECT_EQ(*parse_intercept("watchpoint:8"),
            Intercept(Watchpoint::Filter{Gva{8}, 1, {.write = true}}));
  EXPECT_EQ(*parse_intercept("watchpoint:8:4"),
            Intercept(Watchpoint::Filter{Gva{8}, 4, {.write = true}}));
  EXPECT_EQ(*parse_intercept("watchpoint:8:r"),
            Intercept(Watchpoint::Filter{Gva{8}, 1, {.read = true}}));
  EXPECT_EQ(*parse_intercept("watchpoint:8:2:rw"),
            Intercept(Watchpoint::Filter{Gva{8}, 2, {.read = true, .write = true}}));
  EXPECT_EQ(*parse_intercept("cr_write:cr3"), Intercept(CrWrite::Filter{Reg::cr3}));
  EXPECT_EQ(*parse_intercept("msr_write:0xc0000082"), Intercept(MsrWrite::Filter{0xc0000082}));
  EXPECT_EQ(*parse_intercept("single_step"), Intercept(SingleStep::Filter{}));
  EXPECT_EQ(*parse_intercept("detached"), Intercept(Detached::Filter{}));
  EXPECT_EQ(*parse_intercept("privileged_call"), Intercept(PrivilegedCall::Filter{}));
  EXPECT_EQ(*parse_intercept("emulate_unimplemented"), Intercept(EmulateUnimplemented::Filter{}));
}

TEST(EventTextTest, WhatIsWrongIsToldWithWhatIsExpected) {
  const auto says = [](const char* text, const char* expected) {
    const auto found = parse_intercept(text);
    ASSERT_FALSE(found) << text;
    EXPECT_EQ(found.error().code, Errc::invalid_argument);
    EXPECT_THAT(found.error().message, HasSubstr(expected)) << text;
  };
  for (const char* text : {"breakpoint", "breakpoint:", "breakpoint:x", "breakpoint:1:soft",
                           "breakpoint:1:hardware:", "breakpoint:99999999999999999999"})
    says(text, "breakpoint:GVA[:hardware]");
  for (const char* text :
       {"watchpoint", "watchpoint:1:0", "watchpoint:0xffffffffffffffff:2", "watchpoint:1:2M",
        "watchpoint:1:x", "watchpoint:1:4:rw:", "watchpoint:1:r:4"})
    says(text, "watchpoint:GVA[:LEN][:r|w|rw]");
  says("cr_write", "cr0, cr3 or cr4");
  says("cr_write:cr2", "cr0, cr3 or cr4");
  says("msr_write:0x100000000", "msr_write:INDEX");
  says("cpuid:1", "asked for as cpuid");
  says("", "one of cr_write");
  says("brakpoint:1", "detached");
}

template <class E>
std::vector<std::string> fields(E what) {
  std::vector<std::string> out;
  for (const EventField& one : fields_of(Caught<E>(std::move(what), VcpuId{0}, {}, {}, 0)))
    out.push_back(one.name + std::string("=") + std::to_string(one.value));
  return out;
}

TEST(EventTextTest, AnEventTellsWhatIsKnownOfIt) {
  EXPECT_THAT(fields(CrWrite{Reg::cr4, 1, 2}), ElementsAre("cr=4", "old_value=1", "new_value=2"));
  EXPECT_THAT(fields(CrWrite{Reg::cr3, 1, 2})[0], "cr=3");
  EXPECT_THAT(fields(CrWrite{Reg::cr0, 1, 2})[0], "cr=0");
  EXPECT_THAT(fields(MsrWrite{7, {}, 2}), ElementsAre("msr=7", "new_value=2"));
  EXPECT_THAT(fields(Int3{Gva{1}, Gpa{2}, 1}), ElementsAre("gva=1", "gpa=2", "length=1"));
  EXPECT_THAT(fields(Breakpoint{Gva{1}, {}, Breakpoint::Kind::hardware}),
              ElementsAre("gva=1", "hardware=1"));
  EXPECT_THAT(fields(Watchpoint{Gva{1}, {}, {.write = true}}),
              ElementsAre("gva=1", "read=0", "write=1", "execute=0"));
  EXPECT_THAT(fields(PageAccess{.gpa = Gpa{4}, .gva = Gva{3}, .access = {.read = true}}),
              ElementsAre("gva=3", "gpa=4", "read=1", "write=0", "execute=0", "view=0"));
  EXPECT_THAT(fields(TrapDelivered{{.vector = 14, .error_code = 2, .address = Gva{5}}}),
              ElementsAre("vector=14", "error_code=2", "address=5"));
  EXPECT_THAT(fields(DescriptorAccess{DescriptorAccess::Table::idt, true}),
              ElementsAre("table=1", "write=1"));
  EXPECT_THAT(fields(Cpuid{1, 2}), ElementsAre("leaf=1", "subleaf=2"));
  EXPECT_THAT(fields(SingleStep{}), ElementsAre("completed=1"));
  EXPECT_THAT(fields(PrivilegedCall{Gva{0x1000}}), ElementsAre("gva=4096"));
  EXPECT_THAT(fields(EmulateUnimplemented{Gva{0x1000}}), ElementsAre("gva=4096"));
  EXPECT_TRUE(fields(Detached{}).empty());
}

}  // namespace
}  // namespace microvmi
