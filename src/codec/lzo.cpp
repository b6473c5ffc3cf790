// SPDX-License-Identifier: Apache-2.0
// The instructions of LZO1X, as the kernel's Documentation/staging/lzo.rst describes them.
#include "codec/lzo.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "codec/codec.hpp"

namespace microvmi::codec {
namespace {

// Copies go in steps of this; where less room is left they go byte by byte.
constexpr std::size_t kStep = 16;
constexpr std::size_t kFarBase = 16384;    // distances of instructions 16 to 31 begin here
constexpr std::size_t kMiddleBase = 2049;  // those of a three-byte match after a literal run
constexpr unsigned kFirstLiterals = 17;    // what a first byte has above its number of literals
constexpr std::size_t kShortestRun = 3;    // of a literal run, without its number
constexpr std::size_t kMostTrailing = 3;   // literals that follow a match
constexpr std::ptrdiff_t kMargin = 64;     // more than any instruction of the fast way goes on

class Decoder {
 public:
  Decoder(std::span<const std::byte> in, std::span<std::byte> out)
      : in_(reinterpret_cast<const std::uint8_t*>(in.data())),
        in_end_(in_ + in.size()),
        begin_(reinterpret_cast<std::uint8_t*>(out.data())),
        out_(begin_),
        out_end_(begin_ + out.size()) {}

  std::optional<std::size_t> run() {
    if (in_left() == 0 || !first()) return std::nullopt;
    while (!is_over_) {
      if (!far_from_the_ends()) return std::nullopt;
      if (in_left() == 0 || !step(*in_++)) return std::nullopt;
    }
    if (in_ != in_end_) return std::nullopt;
    return static_cast<std::size_t>(out_ - begin_);
  }

 private:
  // What the instruction before copied: nothing, one to three literals, or a run of them.
  enum : unsigned { kNothing = 0, kRun = 4 };

  [[nodiscard]] std::size_t in_left() const { return static_cast<std::size_t>(in_end_ - in_); }
  [[nodiscard]] std::size_t out_left() const { return static_cast<std::size_t>(out_end_ - out_); }

  bool first() {
    if (*in_ <= kFirstLiterals) return true;
    const unsigned count = *in_++ - kFirstLiterals;
    before_ = count <= kMostTrailing ? count : kRun;
    return literals(count);
  }

  // The two commonest instructions, where neither end is near: no other check than that of the
  // distance, and copies longer than what they are for. Places are kept in registers: what is
  // written may be anything for the compiler, members of this too. Stops before any other.
  bool far_from_the_ends() {
    const std::uint8_t* in = in_;
    std::uint8_t* out = out_;
    unsigned before = before_;
    bool good = true;
    while (in_end_ - in >= kMargin && out_end_ - out >= kMargin) {
      const unsigned code = *in;
      if (code >= 64) {
        const std::ptrdiff_t distance = (std::ptrdiff_t{in[1]} << 3) + (code >> 2 & 7) + 1;
        good = distance <= out - begin_;
        if (!good) break;
        copy_short(out, out - distance, distance);
        out += (code >> 5) + 1;
        in += 2;
      } else if (code >= 32 && (code & 31) != 0) {
        const std::ptrdiff_t distance = (in[1] >> 2) + (std::ptrdiff_t{in[2]} << 6) + 1;
        good = distance <= out - begin_;
        if (!good) break;
        const unsigned length = (code & 31) + 2;
        copy_long(out, out - distance, distance, length);
        out += length;
        in += 3;
      } else if (code < 16 && before == kNothing && code != 0) {
        std::memcpy(out, in + 1, 32);
        out += code + kShortestRun;
        in += code + kShortestRun + 1;
        before = kRun;
        continue;
      } else {
        break;
      }
      // Of both, the last two bits of the byte before the last.
      before = in[-2] & 3;
      std::memcpy(out, in, sizeof(std::uint32_t));
      out += before;
      in += before;
    }
    in_ = in;
    out_ = out;
    before_ = before;
    return good;
  }

  // Up to 8 bytes.
  static void copy_short(std::uint8_t* out, const std::uint8_t* from, std::ptrdiff_t distance) {
    if (distance >= 8) [[likely]] {
      std::memcpy(out, from, 8);
    } else {
      for (int i = 0; i < 8; ++i) out[i] = from[i];
    }
  }

  // Up to 33.
  static void copy_long(std::uint8_t* out, const std::uint8_t* from, std::ptrdiff_t distance,
                        unsigned length) {
    if (distance >= 16) [[likely]] {
      std::memcpy(out, from, 16);
      if (length > 16) {
        std::memcpy(out + 16, from + 16, 16);
        out[32] = from[32];
      }
    } else {
      for (unsigned i = 0; i < length; ++i) out[i] = from[i];
    }
  }

  bool step(unsigned code) {
    if (code >= 64) [[likely]] {
      if (in_left() == 0) return false;
      const std::size_t distance = (std::size_t{*in_++} << 3) + (code >> 2 & 7) + 1;
      return match(distance, (code >> 5) + 1, code & 3);
    }
    if (code >= 32) return near(code);
    if (code >= 16) return far(code);
    if (before_ == kNothing) return run_of_literals(code);
    return after_literals(code);
  }

  // 32 to 63: any length, up to 16 KiB back.
  bool near(unsigned code) {
    std::size_t length = code & 31;
    if (length == 0 && !longer(length, 31)) return false;
    if (in_left() < 2) return false;
    const unsigned word = two_bytes();
    return match((word >> 2) + 1, length + 2, word & 3);
  }

  // 16 to 31: any length, 16 to 48 KiB back; or the end.
  bool far(unsigned code) {
    std::size_t length = code & 7;
    if (length == 0 && !longer(length, 7)) return false;
    if (in_left() < 2) return false;
    const unsigned word = two_bytes();
    const std::size_t distance = kFarBase + ((code & 8) << 11) + (word >> 2);
    if (distance != kFarBase) return match(distance, length + 2, word & 3);
    is_over_ = true;
    return true;
  }

  bool run_of_literals(unsigned code) {
    std::size_t length = code;
    if (length == 0 && !longer(length, 15)) return false;
    before_ = kRun;
    return literals(length + kShortestRun);
  }

  // 0 to 15 with literals before it: two bytes, or three from behind the nearest 2 KiB.
  bool after_literals(unsigned code) {
    if (in_left() == 0) return false;
    const std::size_t place = (code >> 2) + (std::size_t{*in_++} << 2);
    return before_ == kRun ? match(place + kMiddleBase, 3, code & 3)
                           : match(place + 1, 2, code & 3);
  }

  // A length that did not fit: 255 for each zero byte, and the first other one.
  bool longer(std::size_t& length, std::size_t base) {
    length = base;
    for (;;) {
      if (in_left() == 0) return false;
      const unsigned more = *in_++;
      if (more != 0) {
        length += more;
        return true;
      }
      length += 255;
      if (length > out_left() + base) return false;  // no stream of our size goes on like this
    }
  }

  unsigned two_bytes() {
    const unsigned word = in_[0] | static_cast<unsigned>(in_[1]) << 8;
    in_ += 2;
    return word;
  }

  bool literals(std::size_t count) {
    if (count > in_left() || count > out_left()) return false;
    if (in_left() >= count + kStep && out_left() >= count + kStep) {
      for (std::size_t done = 0; done < count; done += kStep)
        std::memcpy(out_ + done, in_ + done, kStep);
    } else {
      std::memcpy(out_, in_, count);
    }
    in_ += count;
    out_ += count;
    return true;
  }

  bool match(std::size_t distance, std::size_t length, unsigned trailing) {
    if (distance > static_cast<std::size_t>(out_ - begin_) || length > out_left()) return false;
    if (out_left() >= length + kStep && distance >= sizeof(std::uint64_t))
      copy_in_steps(out_ - distance, length);
    else
      repeat(distance, length);
    out_ += length;
    before_ = trailing;
    return trailing == 0 || few_literals(trailing);
  }

  // A step of eight never reads what it has yet to write.
  void copy_in_steps(const std::uint8_t* from, std::size_t length) {
    for (std::size_t done = 0; done < length; done += sizeof(std::uint64_t))
      std::memcpy(out_ + done, from + done, sizeof(std::uint64_t));
  }

  // What was repeated once is twice as long for the next time: a page of zeros is one match, up to
  // the end.
  void repeat(std::size_t period, std::size_t length) {
    const std::uint8_t* const from = out_ - period;
    for (std::uint8_t* to = out_; length != 0;) {
      const std::size_t some = std::min(period, length);
      std::memcpy(to, from, some);
      to += some;
      length -= some;
      period += some;
    }
  }

  // Mostly none is near an end, and four bytes go at once.
  bool few_literals(unsigned count) {
    if (in_left() < sizeof(std::uint32_t) || out_left() < sizeof(std::uint32_t))
      return literals(count);
    std::memcpy(out_, in_, sizeof(std::uint32_t));
    in_ += count;
    out_ += count;
    return true;
  }

  const std::uint8_t* in_;
  const std::uint8_t* in_end_;
  std::uint8_t* begin_;
  std::uint8_t* out_;
  std::uint8_t* out_end_;
  unsigned before_ = kNothing;
  bool is_over_ = false;
};

bool from_lzo(std::span<const std::byte> in, std::span<std::byte> out) {
  return lzo1x_decompress(in, out) == out.size();
}

}  // namespace

std::optional<std::size_t> lzo1x_decompress(std::span<const std::byte> in,
                                            std::span<std::byte> out) {
  return Decoder(in, out).run();
}

constinit const Codec kLzo{
    .name = "lzo", .decompress = from_lzo, .compress = nullptr, .library = ""};

}  // namespace microvmi::codec
