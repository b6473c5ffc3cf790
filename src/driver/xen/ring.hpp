// SPDX-License-Identifier: Apache-2.0
// Ring: our end of the page through which Xen tells events and takes answers (xen/io/ring.h).
#pragma once

#include <optional>

#include "driver/xen/message.hpp"
#include "microvmi/error.hpp"

namespace microvmi::xen {

class Ring {
 public:
  static constexpr std::size_t kPage = 4096;
  static constexpr std::uint32_t kSlots = 8;  // the power of two of messages behind the head

  // Begins with an empty ring; the page must outlive this.
  explicit Ring(void* page);

  // The next request, null where there is none. protocol: the page says what cannot be.
  [[nodiscard]] Expected<std::optional<Message>> take();
  void put(const Message& response);

 private:
  [[nodiscard]] std::uint32_t read(std::size_t offset) const;
  void write(std::size_t offset, std::uint32_t value);
  [[nodiscard]] std::byte* slot(std::uint32_t index) const;

  std::byte* page_;
  std::uint32_t taken_ = 0;
  std::uint32_t put_ = 0;
};

}  // namespace microvmi::xen
