// SPDX-License-Identifier: Apache-2.0
// Cores as docs/misc/dump-core-format.txt of Xen describes them: sections, no segments.
#include "support/image_bytes.hpp"
#include "support/sizes.hpp"
#include "unit/connector/coredump/image_test.hpp"

namespace microvmi {
namespace {

using test::ImageBytes;
using test::pattern;
using test::slice;
using testing::ElementsAre;
using testing::HasSubstr;

using test::kPage;
constexpr std::uint64_t kHvm = 0xF00FEBEE;
constexpr std::uint64_t kPv = 0xF00FEBED;

struct XenCore {
  std::vector<std::uint64_t> pfn{0, 1, 2, 0x100, ~0ULL, 0x101};
  std::uint64_t magic = kHvm;
  std::uint64_t page_size = kPage;
  std::vector<std::byte> pages = pattern(6 * kPage);
  std::uint64_t pages_size = 6 * kPage;  // as the section says
  bool with_table = true;
  std::uint64_t vcpus = 2;

  [[nodiscard]] ImageBytes image() const {
    constexpr std::uint64_t kContext = 0x1430;
    ImageBytes out;
    out.text(
           "\x7f"
           "ELF")
        .le(2, 1)
        .le(1, 1)
        .le(1, 1)
        .zeros(9);
    out.le(4, 2).le(62, 2).le(1, 4).le(0, 8).le(0, 8).le(64, 8).le(0, 4);
    out.le(64, 2).le(0, 2).le(0, 2).le(64, 2).le(6, 2).le(1, 2).until(64 + 6 * 64);
    const std::string names = std::string(1, '\0') + ".shstrtab" + '\0' + ".note.Xen" + '\0' +
                              ".xen_prstatus" + '\0' + ".xen_pfn" + '\0' + ".xen_pages" + '\0' +
                              ".xen_p2m" + '\0';
    section(out, 1, names, ".shstrtab", 0, out.size(), names.size());
    out.text(names).until((out.size() + 7) / 8 * 8);
    const std::uint64_t notes = out.size();
    out.le(4, 4).le(32, 4).le(0x2000001, 4).text(std::string("Xen\0", 4));
    out.le(magic, 8).le(vcpus, 8).le(pfn.size(), 8).le(page_size, 8);
    out.le(4, 4).le(1272, 4).le(0x2000002, 4).text(std::string("Xen\0", 4));
    out.le(4, 8).le(17, 8).text(".2-pre").zeros(1272 - 22);
    section(out, 2, names, ".note.Xen", 0, notes, out.size() - notes);
    const std::uint64_t contexts = out.size();
    for (unsigned i = 0; i < vcpus; ++i) {
      out.zeros(kContext);
      out.place(contexts + i * kContext + 0x288, 0xFFFF8000'0000'0000 + i, 8);  // rip
      out.place(contexts + i * kContext + 0x1390, 0x1000 * (i + 1), 8);         // cr3
    }
    section(out, 3, names, ".xen_prstatus", kContext, contexts, vcpus * kContext);
    const std::uint64_t table = out.size();
    const bool is_pv = magic == kPv;
    for (const std::uint64_t frame : pfn) {
      out.le(frame, 8);
      if (is_pv) out.le(frame ^ 0x5555, 8);
    }
    section(out, 4, names,
            !with_table ? ""
            : is_pv     ? ".xen_p2m"
                        : ".xen_pfn",
            is_pv ? 16 : 8, table, out.size() - table);
    out.until(out.size() + 24);  // at no page of the file
    section(out, 5, names, ".xen_pages", kPage, out.size(), pages_size);
    return out.add(pages);
  }

 private:
  static void section(ImageBytes& out, unsigned index, const std::string& names,
                      const std::string& name, std::uint64_t entry, std::uint64_t offset,
                      std::uint64_t size) {
    const std::uint64_t at = 64 + 64 * index;
    out.place(at, name.empty() ? 0 : names.find(name + '\0'), 4).place(at + 4, 1, 4);
    out.place(at + 24, offset, 8).place(at + 32, size, 8).place(at + 56, entry, 8);
  }
};

class XenCoreTest : public test::ImageTest {
 protected:
  std::expected<Vm, InitError> open_it(const XenCore& core) {
    test::write_file(file_, core.image().bytes());
    return open();
  }
  InitError refusal_of(const XenCore& core) {
    test::write_file(file_, core.image().bytes());
    return refusal();
  }
};

TEST_F(XenCoreTest, OfAnHvmGuestSimulated) {
  const XenCore core;
  auto vm = open_it(core);
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_THAT(vm->memory().map()->regions,
              ElementsAre(MemoryRegion{Gpa{0}, 3 * kPage}, MemoryRegion{Gpa{0x100000}, 2 * kPage}));
  EXPECT_EQ(read(*vm, 0, 3 * kPage), slice(core.pages, 0, 3 * kPage));
  EXPECT_EQ(read(*vm, 0x100000, kPage), slice(core.pages, 3 * kPage, kPage));
  EXPECT_EQ(read(*vm, 0x101000, kPage), slice(core.pages, 5 * kPage, kPage)) << "~0 is no page";
  EXPECT_EQ(value<std::string>(*vm, "writer"), "xen 4.17.2-pre");
  EXPECT_EQ(value<std::string>(*vm, "guest_type"), "hvm");
  EXPECT_EQ(vm->info().vcpus, 2U);
  const auto second = vm->read_registers(VcpuId{1});
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ((*second)[Reg::rip], 0xFFFF800000000001);
  EXPECT_EQ((*second)[Reg::cr3], 0x2000U);
}

TEST_F(XenCoreTest, OfAPvGuestSimulated) {
  XenCore core;
  core.magic = kPv;
  core.pfn = {2, 1, 0, 0x300, 0x301, 0x302};
  auto vm = open_it(core);
  ASSERT_TRUE(vm) << vm.error().message;
  EXPECT_EQ(read(*vm, 0, kPage), slice(core.pages, 2 * kPage, kPage));
  EXPECT_EQ(read(*vm, 0x300000, 3 * kPage), slice(core.pages, 3 * kPage, 3 * kPage));
  EXPECT_EQ(value<std::string>(*vm, "guest_type"), "pv");
  EXPECT_FALSE((*vm->read_registers(VcpuId{0}))[Reg::cr3]) << "it would be a machine address";
}

TEST_F(XenCoreTest, TheSamePageTwiceIsTheFirst) {
  XenCore core;
  core.pfn = {7, 7, 7, 8, 8, 9};
  const auto vm = open_it(core);
  ASSERT_TRUE(vm);
  EXPECT_EQ(read(*vm, 7 * kPage, kPage), slice(core.pages, 0, kPage));
  EXPECT_EQ(read(*vm, 8 * kPage, kPage), slice(core.pages, 3 * kPage, kPage));
}

TEST_F(XenCoreTest, TablesThatLieAreBounded) {
  XenCore core;
  core.pages_size = 1ULL << 60;  // the table is shorter
  EXPECT_TRUE(open_it(core));
  core.pages_size = 2 * kPage;
  const auto vm = open_it(core);
  ASSERT_TRUE(vm);
  EXPECT_EQ(vm->end_of_memory(), Gpa{2 * kPage}) << "it has two pages";
  core.pages_size = 0;
  EXPECT_THAT(refusal_of(core).message, HasSubstr("has no memory in it"));
  core = {};
  core.pfn = std::vector<std::uint64_t>(6, ~0ULL);
  EXPECT_THAT(refusal_of(core).message, HasSubstr("has no memory in it"));
}

TEST_F(XenCoreTest, WhatIsMissingIsToldByName) {
  XenCore core;
  core.with_table = false;
  EXPECT_THAT(refusal_of(core).message, HasSubstr("neither a section .xen_pfn nor .xen_p2m"));
  core = {};
  core.page_size = 0x4000;
  EXPECT_THAT(refusal_of(core).message, HasSubstr("has pages of 0x4000 bytes"));
}

TEST_F(XenCoreTest, CutOffAnywhereItIsRefusedOrSaysWhatIsMissing) {
  const auto whole = XenCore{}.image().bytes();
  for (std::size_t size = 64; size < whole.size(); size += size < 1000 ? 61 : 997) {
    test::write_file(file_, slice(whole, 0, size));
    const auto vm = open();
    EXPECT_TRUE(!vm || value<bool>(*vm, "truncated")) << size;
  }
}

}  // namespace
}  // namespace microvmi
