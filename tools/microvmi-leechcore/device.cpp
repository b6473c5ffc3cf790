// SPDX-License-Identifier: Apache-2.0
// LeechCore's calls. LcRead and LcWrite are not among them: the one fails at a part of a page, the
// other tells success where nothing was written.
#include "device.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace microvmi::leechcore {
namespace {

using pcileech_connector::kSlotSize;
using pcileech_connector::Result;

constexpr std::uint32_t kKnownMajor = 2;  // of LeechCore, whose interface this is

// PCIe register 2 of the bitstream: bit 4 is "clear master abort by itself", with its mask behind.
constexpr std::uint64_t kStatusRegister = 2;
constexpr std::array<std::byte, 4> kAutoClear{std::byte{0x10}, std::byte{}, std::byte{0x10},
                                              std::byte{}};

// What it wants to be asked of the user is told like all else it prints.
void print_and_free(const Functions& call, ErrorInfo* info) {
  if (!info) return;
  if (info->version == kErrorInfoVersion && info->size >= sizeof(ErrorInfo)) {
    const std::size_t room = (info->size - sizeof(ErrorInfo)) / sizeof(char16_t);
    const auto* text = reinterpret_cast<const char*>(info + 1);
    std::string plain;
    for (std::size_t i = 0; i < std::min<std::size_t>(room, info->characters); ++i) {
      char16_t one = 0;
      std::memcpy(&one, text + i * sizeof one, sizeof one);
      if (one != 0) plain += one < 0x7f ? static_cast<char>(one) : '?';
    }
    std::puts(plain.c_str());
  }
  call.free(info);
}

}  // namespace

std::uint64_t Device::option(std::uint64_t key) const {
  std::uint64_t value = 0;
  return call_.get(handle_, key, &value) != 0 ? value : 0;
}

Failure Device::open(const pcileech_connector::Device& wanted, std::span<const Range> ranges,
                     Opened& opened) {
  Config config;
  config.verbosity = kPrintErrors | kPrintMore;
  config.device = wanted.device;
  config.remote = wanted.remote;
  // Else it looks for the end by reading, which the owner of a map need not have.
  if (!ranges.empty()) config.end = ranges.back().gpa + ranges.back().size;
  ErrorInfo* error = nullptr;
  handle_ = call_.create(&config, &error);
  print_and_free(call_, error);
  if (!handle_) return {Result::no_device};
  const auto part = [&](std::uint64_t key) { return static_cast<std::uint32_t>(option(key)); };
  opened.version = {part(kOptionVersionMajor), part(kOptionVersionMinor),
                    part(kOptionVersionRevision)};
  opened.is_volatile = config.is_volatile != 0;
  opened.is_writable = config.is_writable != 0;
  opened.is_remote = config.is_remote != 0;
  opened.end = config.end;
  opened.device = config.device_name;
  if (opened.version[0] != kKnownMajor) return {Result::wrong_version};
  if (wanted.auto_clear != 0)
    if (Failure failure = set_auto_clear(); failure.result != Result::ok) return failure;
  return ranges.empty() ? Failure{} : take_map(ranges);
}

Failure Device::set_auto_clear() {
  const std::uint64_t major = option(kOptionFpgaMajor);
  const std::uint64_t minor = option(kOptionFpgaMinor);
  const std::string version = std::to_string(major) + '.' + std::to_string(minor);
  if (major < 4 || (major == 4 && minor < 7)) return {Result::no_auto_clear, version};
  auto data = kAutoClear;
  if (call_.command(handle_, kCommandFpgaRegister | kStatusRegister, data.size(), data.data(),
                    nullptr, nullptr) != 0)
    return {};
  return {Result::no_auto_clear, version};
}

// It drops ranges that it does not like and still tells success.
Failure Device::take_map(std::span<const Range> ranges) {
  std::vector<Range> given(ranges.begin(), ranges.end());
  for (Range& one : given)
    if (one.real == 0 && one.gpa != 0) one.real = kRealIsZero;
  const auto bytes = std::as_writable_bytes(std::span(given));
  if (call_.command(handle_, kCommandMapSet, static_cast<std::uint32_t>(bytes.size()), bytes.data(),
                    nullptr, nullptr) == 0)
    return {Result::map_refused};
  const auto same = [](const Range& a, const Range& b) {
    return a.gpa == b.gpa && a.size == b.size && a.real == b.real;
  };
  return std::ranges::equal(map(), ranges, same) ? Failure{} : Failure{Result::map_refused};
}

std::vector<Range> Device::map() {
  std::byte* data = nullptr;
  std::uint32_t size = 0;
  if (call_.command(handle_, kCommandMapGet, 0, nullptr, &data, &size) == 0 || !data) return {};
  std::vector<Range> out(size / sizeof(Range));
  if (!out.empty()) std::memcpy(static_cast<void*>(out.data()), data, out.size() * sizeof(Range));
  call_.free(data);
  return out;
}

void Device::move(Move way, std::span<Piece> pieces, std::byte* slots) {
  scatter_.assign(pieces.size(), {});
  pointers_.clear();
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    Scatter& one = scatter_[i];
    one.gpa = pieces[i].gpa;
    one.bytes = slots + i * kSlotSize + pieces[i].gpa % kSlotSize;
    one.size = pieces[i].size;
    pointers_.push_back(&one);
  }
  way(handle_, static_cast<std::uint32_t>(pointers_.size()), pointers_.data());
  for (std::size_t i = 0; i < pieces.size(); ++i) pieces[i].done = scatter_[i].done == 1 ? 1 : 0;
}

void Device::close() {
  if (handle_) call_.close(handle_);
  handle_ = nullptr;
}

}  // namespace microvmi::leechcore
