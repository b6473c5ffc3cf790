// SPDX-License-Identifier: Apache-2.0
// Which tables a vCPU uses; transfers across virtual pages; what is kept and when it goes.
#include <numeric>

#include "microvmi/vm.hpp"
#include "tables.hpp"

namespace microvmi::test {
namespace {

Registers controls(std::uint64_t cr0, std::uint64_t cr4, std::uint64_t efer) {
  Registers out;
  out.set(Reg::cr0, cr0);
  out.set(Reg::cr3, 0x1000);
  out.set(Reg::cr4, cr4);
  out.set(Reg::efer, efer);
  return out;
}

TEST(AddressSpaceTest, TheModeFollowsFromTheControlRegisters) {
  constexpr std::uint64_t kPg = 0x80000001, kPae = 0x20, kPse = 0x10, kLa57 = 0x1000;
  EXPECT_EQ(AddressSpace::of(controls(1, kPae, 0x500))->mode, PagingMode::none);
  EXPECT_EQ(AddressSpace::of(controls(kPg, 0, 0))->mode, PagingMode::two_level);
  EXPECT_FALSE(AddressSpace::of(controls(kPg, 0, 0))->large_pages);
  EXPECT_TRUE(AddressSpace::of(controls(kPg, kPse, 0))->large_pages);
  EXPECT_EQ(AddressSpace::of(controls(kPg, kPae, 0))->mode, PagingMode::pae);
  EXPECT_EQ(AddressSpace::of(controls(kPg, kPae, 0x500))->mode, PagingMode::four_level);
  EXPECT_EQ(AddressSpace::of(controls(kPg, kPae | kLa57, 0x500))->mode, PagingMode::five_level);
  EXPECT_EQ(AddressSpace::of(controls(kPg, kPae | kLa57, 0))->mode, PagingMode::pae);
  EXPECT_TRUE(AddressSpace::of(controls(kPg, kPae, 0xd00))->no_execute);
  EXPECT_FALSE(AddressSpace::of(controls(kPg, kPae, 0x500))->no_execute);
  EXPECT_EQ(AddressSpace::of(controls(kPg, kPae, 0x500))->cr3, 0x1000U);
}

TEST(AddressSpaceTest, ARegisterThatDecidesAndIsUnknownIsNamed) {
  const std::array needed{Reg::cr0, Reg::cr3, Reg::cr4, Reg::efer};
  for (const Reg reg : needed) {
    Registers registers = controls(0x80000001, 0x20, 0x500);
    registers.forget(reg);
    const auto space = AddressSpace::of(registers);
    ASSERT_FALSE(space);
    EXPECT_EQ(space.error().code, Errc::not_supported);
    EXPECT_TRUE(space.error().message.ends_with(kRegisters[static_cast<std::size_t>(reg)].name));
  }
  Registers narrow = controls(0x80000001, 0, 0);
  narrow.forget(Reg::efer);
  EXPECT_TRUE(AddressSpace::of(narrow)) << "a processor without it has two levels";
}

TEST(AddressSpaceTest, WithoutEferOtherRegistersMayTellLongMode) {
  Registers dumped = controls(0x80000001, 0x20, 0);
  dumped.forget(Reg::efer);
  dumped.set(Reg::cs_attributes, 0xC09B);  // of 32 bits
  dumped.set(Reg::gdt_base, 0xFFFFF000);
  EXPECT_FALSE(AddressSpace::of(dumped)) << "it may be PAE";
  dumped.set(Reg::cs_attributes, 0xA09B);
  EXPECT_EQ(AddressSpace::of(dumped)->mode, PagingMode::four_level);
  EXPECT_TRUE(AddressSpace::of(dumped)->no_execute);
  dumped.set(Reg::cs_attributes, 0xC0FB);  // a 32-bit program
  dumped.set(Reg::gdt_base, 0xFFFFFE0000001000);
  EXPECT_EQ(AddressSpace::of(dumped)->mode, PagingMode::four_level);
}

// Virtual pages 0, 1 and 2 are the physical pages 9, 7 and 8; 3 is missing, 4 is a device's.
class VirtualMemoryTest : public Tables {
 protected:
  VirtualMemoryTest() {
    put_four_levels();
    put(0x4000, 0, 0x9000 | kAll);
    put(0x4000, 1, 0x7000 | kAll);
    put(0x4000, 2, 0x8000 | kP);
    put(0x4000, 4, 0xfee00000 | kAll);
    std::vector<std::byte> page(kPageSize);
    for (const std::uint64_t gpa : {0x9000, 0x7000, 0x8000}) {
      std::ranges::fill(page, static_cast<std::byte>(gpa >> 12));
      EXPECT_TRUE(memory_.write(Gpa{gpa}, page));
    }
  }

  VirtualMemory virtual_{memory_, kFour};
};

TEST_F(VirtualMemoryTest, ReadsCrossPages) {
  std::vector<std::byte> bytes(2 * kPageSize);
  ASSERT_TRUE(virtual_.read(Gva{0x800}, bytes));
  EXPECT_EQ(bytes[0x7ff], std::byte{9});
  EXPECT_EQ(bytes[0x800], std::byte{7});
  EXPECT_EQ(bytes[0x17ff], std::byte{7});
  EXPECT_EQ(bytes[0x1800], std::byte{8});
  ASSERT_TRUE(virtual_.read(Gva{0x3000}, std::span<std::byte>{})) << "nothing is asked for";
}

TEST_F(VirtualMemoryTest, AValueMayLieOnTwoPages) {
  EXPECT_EQ(virtual_.read_value<std::uint64_t>(Gva{0xffc}), 0x07070707'09090909U);
}

TEST_F(VirtualMemoryTest, WritesCrossPagesWhateverTheGuestMay) {
  const std::vector<std::byte> bytes(16, std::byte{0xee});
  ASSERT_TRUE(virtual_.write(Gva{0x1ff8}, bytes));
  EXPECT_EQ(memory_.read_value<std::uint64_t>(Gpa{0x7ff8}), 0xeeeeeeee'eeeeeeeeU);
  EXPECT_EQ(memory_.read_value<std::uint64_t>(Gpa{0x8000}), 0xeeeeeeee'eeeeeeeeU);
}

TEST_F(VirtualMemoryTest, AFailureSaysFromWhereOnAndTheRestBeforeItIsThere) {
  std::vector<std::byte> bytes(2 * kPageSize);
  const auto missing = virtual_.read(Gva{0x2800}, bytes);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::hole);
  EXPECT_EQ(std::get<Gva>(missing.error().where), Gva{0x3000});
  EXPECT_EQ(bytes[0x7ff], std::byte{8});
  const auto device = virtual_.read(Gva{0x4010}, bytes);
  ASSERT_FALSE(device);
  EXPECT_EQ(std::get<Gva>(device.error().where), Gva{0x4010});
  EXPECT_NE(device.error().message.find("0x4010"), std::string::npos);
  EXPECT_EQ(virtual_.read(Gva{~0ULL}, bytes).error().code, Errc::invalid_argument);
}

TEST_F(VirtualMemoryTest, MoreThanABatchOfPages) {
  for (std::uint64_t i = 0; i < 400; ++i) put(0x4000, i, 0x7000 + (i % 3) * 0x1000 + kAll);
  std::vector<std::byte> bytes(400 * kPageSize);
  ASSERT_TRUE(virtual_.read(Gva{0}, bytes));
  for (std::uint64_t i = 0; i < 400; ++i)
    ASSERT_EQ(bytes[i * kPageSize + 5], static_cast<std::byte>(7 + i % 3)) << i;
  put(0x4000, 300, 0xfee00000 | kAll);
  virtual_.forget();
  EXPECT_EQ(std::get<Gva>(virtual_.read(Gva{0}, bytes).error().where), Gva{300 * kPageSize});
}

TEST_F(VirtualMemoryTest, TranslationsAreKeptUntilTheyAreForgotten) {
  EXPECT_EQ(virtual_.translate(Gva{0x1123})->gpa, Gpa{0x7123});
  put(0x4000, 1, 0xa000 | kAll);
  EXPECT_EQ(virtual_.translate(Gva{0x1456})->gpa, Gpa{0x7456});
  virtual_.forget();
  EXPECT_EQ(virtual_.translate(Gva{0x1123})->gpa, Gpa{0xa123});
}

TEST_F(VirtualMemoryTest, AFailureIsNotKept) {
  EXPECT_FALSE(virtual_.translate(Gva{0x3000}));
  put(0x4000, 3, 0xa000 | kAll);
  EXPECT_EQ(virtual_.translate(Gva{0x3000})->gpa, Gpa{0xa000});
}

TEST_F(VirtualMemoryTest, PagesThatShareASlotAreKeptApart) {
  put(0x2000, 1, 0x40000000 | kAll | kPs);  // 1 GiB of pages on every slot
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(virtual_.translate(Gva{0x1000})->gpa, Gpa{0x7000});
    const auto large = virtual_.translate(Gva{0x40001234});
    EXPECT_EQ(large->gpa, Gpa{0x40001234});
    EXPECT_EQ(large->page_size, 1U << 30);
    EXPECT_FALSE(virtual_.translate(Gva{0x2000})->writable);
  }
}

TEST(VmTranslateTest, ThePageTablesOfAVcpu) {
  const auto state = std::make_shared<FakeState>();
  state->vcpus[VcpuId{0}] = controls(1, 0, 0);
  Vm vm(DriverType::xen, std::make_unique<FakeGuest>(state));
  const auto space = vm.address_space(VcpuId{0});
  ASSERT_TRUE(space);
  EXPECT_EQ(vm.translate(*space, Gva{0x1234})->gpa, Gpa{0x1234});
  EXPECT_EQ(vm.translate(0x2000, Gva{0}).error().code, Errc::hole);
  EXPECT_EQ(vm.address_space(VcpuId{3}).error().code, Errc::not_found);
}

}  // namespace
}  // namespace microvmi::test
