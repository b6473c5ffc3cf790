/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The memory slots of the KVM virtual machines that a process has open, as records of a task_file
 * iterator. What stands where in a kernel's structures is taken from its BTF when this is loaded;
 * the structures below name nothing but what is read. */
#include <linux/bpf.h>
/* these need what stands above */
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define CORE __attribute__((preserve_access_index))

struct seq_file;
struct mm_struct;
struct bpf_iter_meta {
  struct seq_file* seq;
} CORE;
struct qstr {
  const unsigned char* name;
} CORE;
struct super_block {
  unsigned long s_magic;
} CORE;
struct dentry {
  struct qstr d_name;
  struct super_block* d_sb;
} CORE;
struct path {
  struct dentry* dentry;
} CORE;
struct file {
  struct path f_path;
  void* private_data;
} CORE;
struct task_struct {
  int tgid;
  struct mm_struct* mm;
} CORE;
struct bpf_iter__task_file {
  struct bpf_iter_meta* meta;
  struct task_struct* task;
  __u32 fd;
  struct file* file;
} CORE;

struct hlist_node {
  struct hlist_node* next;
} CORE;
struct hlist_head {
  struct hlist_node* first;
} CORE;
struct kvm_memory_slot {
  struct hlist_node id_node[2];
  __u64 base_gfn;
  unsigned long npages;
  unsigned long userspace_addr;
  __u32 flags;
  short id;
} CORE;
struct kvm_memslots {
  __u64 generation;
} CORE;
/* since Linux 5.17: lists by id, of which node_idx tells the links of this set */
struct kvm_memslots___hash {
  struct hlist_head id_hash[128];
  int node_idx;
} CORE;
/* before: used_slots of them, one behind the other */
struct kvm_memslots___array {
  int used_slots;
  struct kvm_memory_slot memslots[1];
} CORE;
struct kvm_arch {
  unsigned long vm_type;
} CORE;
struct kvm {
  struct mm_struct* mm;
  struct kvm_memslots* memslots[2];
  struct kvm_arch arch;
} CORE;

/* Every record is of this form; memslot_records.cpp reads them. */
enum kind { VM = 1, SLOT = 2, END = 3 };
enum vm_flag { OWN_MEMORY = 1 };
enum end_flag { MORE = 1, CHANGED = 2, FAULTED = 4 };
struct record {
  __u32 kind;
  __u32 fd;
  __u64 vm;   /* which one: the same for all of its descriptors */
  __u64 gpa;  /* VM: its type.               END: how many slots there were */
  __u64 size; /* VM, END: generation of the first address space */
  __u64 hva;  /* VM, END: generation of the second one */
  __u32 flags;
  __s16 id; /* VM: how many address spaces */
  __u16 space;
};
_Static_assert(sizeof(struct record) == 48, "as memslot_records.cpp has it");

#define PAGE_SHIFT 12
#define MOST_SPACES 2
/* Slots of one address space: KVM_USER_MEM_SLOTS is at most SHRT_MAX, and a step per list. */
#define MOST_STEPS (32768 + 4096)
/* Of an array in one pass; each_pass is not more. */
#define STEPS_OF_ARRAY 64
/* KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS of linux/kvm_host.h */
#define UPDATE_IN_PROGRESS (1ULL << 63)
/* ANON_INODE_FS_MAGIC of linux/magic.h */
#define ANON_INODES 0x09041934

/* Set before each pass. */
__u32 wanted_tgid = 0; /* 0: of any process that the iterator shows */
__u32 first_slot = 0;  /* slots before this one were told by earlier passes */
__u32 each_pass = 0;   /* so many slots are told at once */

struct walk {
  struct seq_file* seq;
  struct hlist_node* node;
  struct kvm_memslots* set;
  __u64 vm;
  __u64 seen;
  __u64 told;
  __u32 fd;
  __u32 list;
  __u32 lists;
  __u32 node_idx;
  __u32 flags;
  __u32 space;
};

static __always_inline void* load(const void* place) {
  void* value = 0;
  bpf_probe_read_kernel(&value, sizeof value, place);
  return value;
}

/* What does not fit into the kernel's buffer is asked of this program once more, by the kernel. */
static __always_inline void tell(struct walk* w, struct kvm_memory_slot* slot) {
  struct record r = {.kind = SLOT, .fd = w->fd, .vm = w->vm, .space = w->space};
  r.gpa = BPF_CORE_READ(slot, base_gfn) << PAGE_SHIFT;
  r.size = (__u64)BPF_CORE_READ(slot, npages) << PAGE_SHIFT;
  r.hva = BPF_CORE_READ(slot, userspace_addr);
  r.flags = BPF_CORE_READ(slot, flags);
  r.id = BPF_CORE_READ(slot, id);
  bpf_seq_write(w->seq, &r, sizeof r);
}

/* The next list, or the next slot of it. */
static long hash_step(__u32 step, struct walk* w) {
  struct kvm_memslots___hash* set = (void*)w->set;
  char* slot;
  if (!w->node) {
    if (w->list >= w->lists) return 1;
    w->node = load((char*)set + bpf_core_field_offset(struct kvm_memslots___hash, id_hash) +
                   w->list * sizeof(void*));
    w->list++;
    return 0;
  }
  slot = (char*)w->node - bpf_core_field_offset(struct kvm_memory_slot, id_node) -
         w->node_idx * bpf_core_type_size(struct hlist_node);
  if (w->seen++ >= first_slot) {
    if (w->told++ >= each_pass) {
      w->flags |= MORE;
      return 1;
    }
    tell(w, (struct kvm_memory_slot*)slot);
  }
  w->node = load((char*)w->node + bpf_core_field_offset(struct hlist_node, next));
  return 0;
}

static __always_inline void walk_hash(struct walk* w) {
  struct kvm_memslots___hash* set = (void*)w->set;
  w->node = 0;
  w->list = 0;
  w->lists = bpf_core_field_size(set->id_hash) / sizeof(void*);
  w->node_idx = BPF_CORE_READ(set, node_idx) & 1;
  if (bpf_loop(MOST_STEPS, hash_step, w, 0) >= MOST_STEPS) w->flags |= FAULTED;
}

static __always_inline __u64 slots_in(struct kvm_memslots___array* set) {
  return set ? (__u32)BPF_CORE_READ(set, used_slots) : 0;
}

/* Both address spaces in one loop, with as few branches as can be: the verifier follows each. */
static __always_inline void walk_arrays(struct walk* w, struct kvm_memslots** sets) {
  const __u64 size = bpf_core_type_size(struct kvm_memory_slot);
  const __u64 offset = bpf_core_field_offset(struct kvm_memslots___array, memslots);
  const __u64 first = slots_in((void*)sets[0]);
  const __u64 both = (__u64)sets[0] ^ (__u64)sets[1];
  __u64 left;
  int i;
  w->seen = first + slots_in((void*)sets[1]);
  left = w->seen - first_slot;
  if (first_slot >= w->seen) return;
  if (left > each_pass) w->flags |= MORE;
  if (left > each_pass) left = each_pass;
  for (i = 0; i < STEPS_OF_ARRAY && i < left; ++i) {
    const __u64 at = (__u64)first_slot + i;
    const __u64 in_first = (__u64)((__s64)(at - first) >> 63); /* all bits or none */
    const __u64 set = (__u64)sets[1] ^ (both & in_first);
    w->space = 1 + (__u32)in_first;
    tell(w, (void*)(set + offset + (at - (first & ~in_first)) * size));
  }
}

static __always_inline struct kvm_memslots* set_of(struct kvm* kvm, int space) {
  return load((char*)kvm + bpf_core_field_offset(struct kvm, memslots) + space * sizeof(void*));
}

static __always_inline __u64 generation_of(struct kvm_memslots* set) {
  return set ? BPF_CORE_READ(set, generation) & ~UPDATE_IN_PROGRESS : 0;
}

static __always_inline int is_vm(struct file* file) {
  const char expected[] = "kvm-vm";
  char name[8] = {};
  struct dentry* dentry = BPF_CORE_READ(file, f_path.dentry);
  int i;
  if (BPF_CORE_READ(dentry, d_sb, s_magic) != ANON_INODES) return 0;
  bpf_probe_read_kernel_str(name, sizeof name, BPF_CORE_READ(dentry, d_name.name));
  for (i = 0; i < (int)sizeof expected; ++i)
    if (name[i] != expected[i]) return 0;
  return 1;
}

static __always_inline __u64 type_of(struct kvm* kvm) {
  __u64 type = 0;
  if (!bpf_core_field_exists(kvm->arch.vm_type)) return 0;
  bpf_probe_read_kernel(&type, bpf_core_field_size(kvm->arch.vm_type) & 15, &kvm->arch.vm_type);
  return type;
}

static __always_inline int tell_vm(struct bpf_iter__task_file* ctx, int hash) {
  struct task_struct* task = ctx->task;
  struct file* file = ctx->file;
  struct kvm* kvm = 0;
  struct kvm_memslots* sets[MOST_SPACES] = {};
  struct record r = {.kind = VM, .fd = ctx->fd};
  struct walk w = {.fd = ctx->fd};
  int spaces = bpf_core_field_size(kvm->memslots) / sizeof(void*);
  int space;
  if (!task || !file || (wanted_tgid && (__u32)BPF_CORE_READ(task, tgid) != wanted_tgid) ||
      !is_vm(file))
    return 0;
  kvm = BPF_CORE_READ(file, private_data);
  if (spaces > MOST_SPACES) spaces = MOST_SPACES;
  for (space = 0; space < MOST_SPACES; ++space)
    if (space < spaces) sets[space] = set_of(kvm, space);
  w.seq = ctx->meta->seq;
  w.vm = r.vm = (__u64)kvm;
  r.id = spaces;
  r.gpa = type_of(kvm);
  r.size = generation_of(sets[0]);
  r.hva = generation_of(sets[1]);
  if (BPF_CORE_READ(kvm, mm) == BPF_CORE_READ(task, mm)) r.flags = OWN_MEMORY;
  bpf_seq_write(w.seq, &r, sizeof r);
  if (!hash) walk_arrays(&w, sets);
  for (space = 0; hash && space < MOST_SPACES; ++space) {
    if (!sets[space] || (w.flags & MORE)) continue;
    w.set = sets[space];
    w.space = space;
    walk_hash(&w);
  }
  r.kind = END;
  r.gpa = w.seen;
  r.flags = w.flags;
  /* A set is changed only while another one counts, and each change has a new generation. */
  for (space = 0; space < MOST_SPACES; ++space)
    if (space < spaces && set_of(kvm, space) != sets[space]) r.flags |= CHANGED;
  if (r.size != generation_of(sets[0]) || r.hva != generation_of(sets[1])) r.flags |= CHANGED;
  bpf_seq_write(w.seq, &r, sizeof r);
  return 0;
}

SEC("iter/task_file")
int memslots_hash(struct bpf_iter__task_file* ctx) { return tell_vm(ctx, 1); }

SEC("iter/task_file")
int memslots_array(struct bpf_iter__task_file* ctx) { return tell_vm(ctx, 0); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
