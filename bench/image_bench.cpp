// SPDX-License-Identifier: Apache-2.0
// Images: reads against memcpy from the same mapping, and how long it takes to open a large one.
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <string>

#include "benches.hpp"
#include "contest.hpp"
#include "microvmi/init.hpp"
#include "target.hpp"

namespace microvmi::bench {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kSize = kTargetSize;  // which Places is made for
constexpr std::uint64_t kOdd = 0x490;         // where data begins in a core of QEMU: at no page

// A file without a name in memory.
class Image {
 public:
  Image() : fd_(::memfd_create("image", MFD_CLOEXEC)) {}
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;
  ~Image() { ::close(fd_); }

  void write(const void* bytes, std::size_t size, std::uint64_t offset) const {
    if (::pwrite(fd_, bytes, size, static_cast<off_t>(offset)) != static_cast<ssize_t>(size))
      give_up("the image was not written");
  }
  void fill(std::uint64_t offset, std::uint64_t size) const {
    std::vector<std::uint64_t> words(kMiB / sizeof(std::uint64_t));
    std::uint64_t state = 1;
    for (std::uint64_t done = 0; done < size; done += kMiB) {
      for (std::uint64_t& word : words) word = state = state * 6364136223846793005ULL + 1;
      write(words.data(), kMiB, offset + done);
    }
  }
  void resize(std::uint64_t size) const {
    if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) give_up("the image was not sized");
  }
  void write_elf_headers(std::uint64_t size) const {
    Elf64_Ehdr head{};
    std::memcpy(head.e_ident, ELFMAG, SELFMAG);
    head.e_ident[EI_CLASS] = ELFCLASS64;
    head.e_ident[EI_DATA] = ELFDATA2LSB;
    head.e_type = ET_CORE;
    head.e_machine = EM_X86_64;
    head.e_phoff = sizeof(head);
    head.e_phentsize = sizeof(Elf64_Phdr);
    head.e_phnum = 1;
    Elf64_Phdr load{};
    load.p_type = PT_LOAD;
    load.p_offset = kOdd;
    load.p_filesz = load.p_memsz = size;
    write(&head, sizeof(head), 0);
    write(&load, sizeof(load), sizeof(head));
  }

  [[nodiscard]] Vm open(DumpFormat format) const {
    const CoredumpParams params{.filepath = "/proc/self/fd/" + std::to_string(fd_),
                                .format = format};
    auto vm = init(DriverType::memflow, {.memflow = MemflowInitParams{.args = params}});
    if (!vm) give_up(vm.error().message);
    return *std::move(vm);
  }

 private:
  int fd_;
};

struct Opened {
  Vm vm;
  View all = vm.memory().view(Gpa{0}, kSize);
};

// How one contest reads; both sides into the same buffer, as how it lies decides memcpy's speed.
struct Shape {
  const char* name;
  std::size_t size;
  bool random = false;
  std::size_t past_page = 0;  // where the buffer begins
};

struct Reads {
  std::shared_ptr<const Opened> from;
  Places places;
  std::vector<std::byte> room;
  std::span<std::byte> buffer;

  Reads(std::shared_ptr<const Opened> opened, const Shape& shape)
      : from(std::move(opened)),
        places(shape.size, std::min<std::size_t>(kTurn / shape.size, 16384), shape.random),
        room(shape.size + 2 * kPageSize) {
    const std::size_t to_page = -reinterpret_cast<std::uintptr_t>(room.data()) % kPageSize;
    buffer = std::span(room).subspan(to_page + shape.past_page, shape.size);
  }

 private:
  static constexpr std::size_t kTurn = 48 * kMiB;
};

void add_reads(const std::string& name, const std::shared_ptr<const Opened>& from,
               const Shape& shape) {
  const auto work = std::make_shared<Reads>(from, shape);
  const auto ours = [work](std::size_t turn) {
    const std::uint64_t* at = work->places.of(turn);
    for (std::size_t i = 0; i < work->places.count(); ++i)
      if (!work->from->vm.memory().read(Gpa{at[i]}, work->buffer)) give_up("a read failed");
  };
  const auto limit = [work](std::size_t turn) {
    const std::uint64_t* at = work->places.of(turn);
    for (std::size_t i = 0; i < work->places.count(); ++i) {
      std::memcpy(work->buffer.data(), work->from->all.bytes().data() + at[i], work->buffer.size());
      asm volatile("" : : "r"(work->buffer.data()) : "memory");
    }
  };
  add({.name = name + shape.name,
       .target = shape.random ? 0.8 : 0.95,
       .operations = work->places.count(),
       .ours = ours,
       .limits = {limit}});
}

void add_all_reads(const std::string& name, DumpFormat format) {
  const Image image;
  const std::uint64_t start = format == DumpFormat::elf ? kOdd : 0;
  if (format == DumpFormat::elf) image.write_elf_headers(kSize);
  image.fill(start, kSize);
  const auto from = std::make_shared<const Opened>(image.open(format));
  if (!from->all) give_up("the image has no view");
  std::byte sum{};  // every page touched, so that nobody pays for it later
  for (std::uint64_t at = 0; at < kSize; at += kPageSize) sum ^= from->all.bytes()[at];
  asm volatile("" : : "r"(sum));
  // As malloc gives it, a buffer begins 16 bytes past a page.
  for (const Shape& shape : {Shape{"/sequential/4K", 4096}, Shape{"/sequential/64K", 64 << 10},
                             Shape{"/sequential/2M", 2 * kMiB}, Shape{"/random/4K", 4096, true},
                             Shape{"/sequential/4K/malloc", 4096, false, 16}})
    add_reads(name, from, shape);
}

void add_open(const char* name, DumpFormat format) {
  constexpr std::uint64_t kLarge = 5ULL << 30;
  const auto image = std::make_shared<Image>();
  image->resize(kLarge + kOdd);
  if (format == DumpFormat::elf) image->write_elf_headers(kLarge);
  add(Deadline{.name = name, .limit_ms = 5, .ours = [image, format] {
                 static_cast<void>(image->open(format));
               }});
}

// What has to be looked at before the first read: a bitmap has an index, the pages of a stream and
// the records of LiME have to be walked along.
void add_other_opens() {
  constexpr std::uint64_t kPages = (5ULL << 30) / kPageSize;
  const auto add_one = [](const char* name, double limit, DumpFormat format, auto fill) {
    const auto image = std::make_shared<Image>();
    fill(*image);
    add(Deadline{.name = name, .limit_ms = limit, .ours = [image, format] {
                   static_cast<void>(image->open(format));
                 }});
  };
  // Half of the pages of 10 GiB: a kernel dump of a guest whose memory is in pieces of four pages,
  // and the worst that there is, pieces of one page.
  const auto windows = [](const Image& image, std::uint8_t pattern) {
    std::vector<std::uint8_t> head(0x2038 + kPages / 4);
    const auto put = [&head](std::size_t at, const void* bytes, std::size_t size) {
      std::memcpy(head.data() + at, bytes, size);
    };
    const std::uint32_t type = 5;
    const std::array<std::uint64_t, 3> numbers{(head.size() + 4095) / 4096 * 4096, kPages,
                                               2 * kPages};
    put(0, "PAGEDU64", 8);
    put(0xF98, &type, sizeof(type));
    put(0x2000, "FDMPDUMP", 8);
    put(0x2020, numbers.data(), sizeof(numbers));
    std::ranges::fill(head.begin() + 0x2038, head.end(), pattern);
    image.resize(numbers[0] + kPages * kPageSize);
    image.write(head.data(), head.size(), 0);
  };
  add_one("image/windows/open5G", 50, DumpFormat::windows,
          [&](const Image& image) { windows(image, 0x0F); });
  add_one("image/windows/open5G/single-pages", 50, DumpFormat::windows,
          [&](const Image& image) { windows(image, 0x55); });
  add_one("image/lime/open5G", 50, DumpFormat::lime, [](const Image& image) {
    const std::array<std::uint64_t, 4> head{0x1'4C694D45, 0, kPages * kPageSize - 1, 0};
    image.resize(sizeof(head) + kPages * kPageSize);
    image.write(head.data(), sizeof(head), 0);
  });
  // A guest of 5 GiB, of which all but 256 MiB are zeros, as of one that has just booted.
  add_one("image/migration/open5G", 1000, DumpFormat::migration, [](const Image& image) {
    constexpr std::uint64_t kWhole = kPages / 20;
    std::string text("QEVM\0\0\0\3\7\0\0\0\12pc-q35-7.2\1\0\0\0\2\3ram\0\0\0\0\0\0\0\4", 40);
    const auto word = [&text](std::uint64_t value) {
      for (unsigned i = 0; i < 8; ++i) text += static_cast<char>(value >> (56 - 8 * i));
    };
    std::uint64_t at = 0;
    const auto flush = [&](std::uint64_t behind) {
      image.write(text.data(), text.size(), at);
      at += text.size() + behind;
      text.clear();
    };
    word(kPages * kPageSize | 4U);
    text += "\6pc.ram";
    word(kPages * kPageSize);
    word(16);
    text += std::string("\3\0\0\0\2", 5);
    image.resize(kWhole * (8 + kPageSize) + (kPages - kWhole) * 9 + kMiB);
    for (std::uint64_t page = 0; page < kPages; ++page) {
      word(page * kPageSize | (page < kWhole ? 8U : 2U) | (page == 0 ? 0U : 32U));
      if (page == 0) text += "\6pc.ram";
      if (page < kWhole) flush(kPageSize);
      if (page >= kWhole) text += '\0';
    }
    word(16);
    flush(0);
  });
}

}  // namespace

void add_image_contests() {
  add_all_reads("image/elf", DumpFormat::elf);
  add_all_reads("image/raw", DumpFormat::raw);
  add_open("image/elf/open5G", DumpFormat::elf);
  add_open("image/raw/open5G", DumpFormat::raw);
  add_other_opens();
}

}  // namespace microvmi::bench
