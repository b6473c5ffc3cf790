// SPDX-License-Identifier: Apache-2.0
// Types of kernels that this machine does not run, put together by hand.
#include "host/bpf/kernel_layout.hpp"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <memory>

#include "support/temp_folder.hpp"

namespace microvmi::host {

extern const unsigned char kMemslotProgram[];
extern const std::size_t kMemslotProgramSize;

namespace {

struct Free {
  void operator()(btf* types) const { btf__free(types); }
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using Types = std::unique_ptr<btf, Free>;

// The types that memslots.bpf.c names, at offsets of its own.
class Kernel {
 public:
  Kernel() : types_(btf__new_empty()) {
    u64_ = btf__add_int(types_.get(), "unsigned long", 8, 0);
    int_ = btf__add_int(types_.get(), "int", 4, BTF_INT_SIGNED);
    pointer_ = btf__add_ptr(types_.get(), 0);
  }

  struct Member {
    const char* name;
    int type;
    unsigned offset;  // in bytes
  };

  int add(const char* name, unsigned size, std::initializer_list<Member> members) {
    const int id = btf__add_struct(types_.get(), name, size);
    for (const Member& one : members)
      btf__add_field(types_.get(), one.name, one.type, 8 * one.offset, 0);
    return id;
  }
  int array_of(int element, unsigned count) {
    return btf__add_array(types_.get(), int_, element, count);
  }
  int pointer_to(int type) { return btf__add_ptr(types_.get(), type); }

  // All but kvm_memslots, as an old kernel could have them.
  void add_surroundings(int memslots) {
    const int qstr = add("qstr", 16, {{"name", pointer_, 8}});
    const int super = add("super_block", 256, {{"s_magic", u64_, 96}});
    const int dentry = add("dentry", 192, {{"d_name", qstr, 32}, {"d_sb", pointer_to(super), 104}});
    const int path = add("path", 16, {{"dentry", pointer_to(dentry), 8}});
    const int file = add("file", 256, {{"f_path", path, 16}, {"private_data", pointer_, 200}});
    const int task = add("task_struct", 4096, {{"mm", pointer_, 1024}, {"tgid", int_, 1300}});
    const int seq = add("seq_file", 128, {});
    const int meta = add("bpf_iter_meta", 24, {{"seq", pointer_to(seq), 0}});
    add("bpf_iter__task_file", 32,
        {{"meta", pointer_to(meta), 0},
         {"task", pointer_to(task), 8},
         {"fd", int_, 16},
         {"file", pointer_to(file), 24}});
    const int sets = array_of(pointer_to(memslots), 2);
    const int arch = add("kvm_arch", 1024, {});
    add("kvm", 8192, {{"mm", pointer_, 160}, {"memslots", sets, 168}, {"arch", arch, 1024}});
  }
  int add_slot() {
    return add("kvm_memory_slot", 96,
               {{"base_gfn", u64_, 0},
                {"npages", u64_, 8},
                {"userspace_addr", u64_, 48},
                {"flags", int_, 56},
                {"id", btf__add_int(types_.get(), "short", 2, BTF_INT_SIGNED), 60}});
  }

  Types types_;
  int u64_;
  int int_;
  int pointer_;
};

TEST(KernelLayoutTest, ListsByIdSince517) {
  Kernel kernel;
  kernel.add(
      "kvm_memslots", 1072,
      {{"generation", kernel.u64_, 0}, {"id_hash", kernel.array_of(kernel.pointer_, 128), 40}});
  EXPECT_EQ(slot_form_in(kernel.types_.get()).value_or(SlotForm::array), SlotForm::hash);
}

TEST(KernelLayoutTest, AnArrayBefore) {
  Kernel kernel;
  kernel.add(
      "kvm_memslots", 24,
      {{"used_slots", kernel.int_, 12}, {"memslots", kernel.array_of(kernel.add_slot(), 0), 24}});
  EXPECT_EQ(slot_form_in(kernel.types_.get()).value_or(SlotForm::hash), SlotForm::array);
}

TEST(KernelLayoutTest, NeitherIsRefused) {
  Kernel kernel;
  EXPECT_EQ(slot_form_in(kernel.types_.get()).error().code, Errc::not_found);
  kernel.add("kvm_memslots", 24, {{"maple_tree", kernel.u64_, 0}});
  const auto unknown = slot_form_in(kernel.types_.get());
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Errc::not_supported);
  EXPECT_THAT(unknown.error().message, testing::HasSubstr("not known here"));
}

// The program for kernels before 5.17, with the types of such a kernel: the verifier of this one
// takes it. It is never run.
TEST(KernelLayoutTest, TheVerifierTakesTheProgramForArrays) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may load a BPF program";
  if (::access("/sys/kernel/btf/vmlinux", R_OK) != 0) GTEST_SKIP() << "the kernel has no BTF";
  Kernel kernel;
  const int slot = kernel.add_slot();
  kernel.add_surroundings(kernel.add("kvm_memslots", 24,
                                     {{"generation", kernel.u64_, 0},
                                      {"used_slots", kernel.int_, 12},
                                      {"memslots", kernel.array_of(slot, 0), 24}}));
  const test::TempFolder folder;
  const std::string file = folder.path() / "kernel.btf";
  __u32 size = 0;
  const auto* raw = static_cast<const char*>(btf__raw_data(kernel.types_.get(), &size));
  std::ofstream(file, std::ios::binary).write(raw, size);

  bpf_object_open_opts options{};
  options.sz = sizeof options;
  options.btf_custom_path = file.c_str();
  const std::unique_ptr<bpf_object, Free> object(
      bpf_object__open_mem(kMemslotProgram, kMemslotProgramSize, &options));
  ASSERT_TRUE(object);
  bpf_program* other = bpf_object__find_program_by_name(object.get(), "memslots_hash");
  ASSERT_TRUE(other);
  bpf_program__set_autoload(other, false);
  EXPECT_EQ(bpf_object__load(object.get()), 0);
}

}  // namespace
}  // namespace microvmi::host
