// SPDX-License-Identifier: Apache-2.0
// Machine: what the stand-in for LeechCore opens, a file of memory, and what goes wrong with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace microvmi::test::leechcore {

struct MapEntry {
  std::uint64_t gpa;
  std::uint64_t size;
  std::uint64_t real;
};

// A device string as LeechCore has them: PATH, file://PATH or file://file=PATH,key=value,...
//
// Besides file, volatile and write the keys are faults:
//   bad=FIRST-LAST      reads of these pages fail (hexadecimal addresses)
//   readonly=1          it says that it can be written, and writes nothing
//   version=N           of the library, else 2
//   bitstream=4.6       of an FPGA; there is none otherwise
//   map=KIND            overlap, unaligned, wraps, long, none; or drops: of a map that it is given
//   it
//                       drops the last range and tells success, as LeechCore does with bad ones
//   hang=WHEN, exit=WHEN, crash=WHEN, print=WHEN, flood=WHEN
//                       WHEN is create, read, write, map or close
//   mark=1              a file FILE.closed tells that the device was closed
//   ask=1               asks on the terminal whether to go on, and does not without an answer
class Machine {
 public:
  explicit Machine(const char* device);
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  ~Machine();

  // Does what goes wrong at this point.
  void reach(const char* when) const;
  [[nodiscard]] bool may_go_on() const;

  [[nodiscard]] bool open();
  // Without one of its own: all up to `end`, or what LeechCore assumes.
  void make_map(std::uint64_t end);
  void take_map(const MapEntry* entries, std::size_t count);
  [[nodiscard]] std::vector<MapEntry> map() const;
  [[nodiscard]] std::uint64_t end() const { return map_.back().gpa + map_.back().size; }

  [[nodiscard]] bool flag(const char* key) const;
  [[nodiscard]] std::string text(const char* key) const;

  [[nodiscard]] bool read(std::uint64_t gpa, std::byte* into, std::size_t size) const;
  [[nodiscard]] bool write(std::uint64_t gpa, const std::byte* from, std::size_t size) const;

 private:
  [[nodiscard]] bool add_segments();
  void add(std::uint64_t gpa, std::uint64_t size, std::uint64_t real);
  [[nodiscard]] bool is_bad(std::uint64_t gpa) const;
  [[nodiscard]] const MapEntry* find(std::uint64_t gpa, std::size_t size) const;

  std::map<std::string, std::string> keys_;
  std::vector<MapEntry> map_;
  int file_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace microvmi::test::leechcore
