// SPDX-License-Identifier: Apache-2.0
// Both kinds of addresses behind one answer.
#include "guest_bytes.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "terminal.hpp"

namespace microvmi::tool {
namespace {

// What was transferred before the place that the error names.
Transferred outcome_of(const Expected<void>& result, std::uint64_t address, std::size_t size) {
  if (result) return {.done = size};
  const auto* place = std::get_if<Gva>(&result.error().where);
  return {.done = place ? to_integer(*place) - address : 0,
          .status = result.error().code,
          .why = to_text(result.error())};
}

template <class Request>
Transferred outcome_of(const Request& request, const char* verb) {
  if (request.status == Errc::none) return {.done = request.done};
  const std::string reason = request.status == Errc::hole && verb == std::string("write")
                                 ? "there is no memory"
                                 : fmt::format("cannot {} guest memory", verb);
  return {.done = request.done,
          .status = request.status,
          .why = fmt::format("{}: {} at {}", microvmi::name_of(request.status), reason,
                             hex(to_integer(request.failed_at)))};
}

}  // namespace

Transferred GuestBytes::read(std::uint64_t address, std::span<std::byte> into) {
  if (virtual_) return outcome_of(virtual_->read(Gva{address}, into), address, into.size());
  std::array batch{ReadRequest{.gpa = Gpa{address}, .into = into}};
  std::as_const(vm_).memory().read(batch);
  return outcome_of(batch[0], "read");
}

Transferred GuestBytes::write(std::uint64_t address, std::span<const std::byte> bytes) {
  if (virtual_) return outcome_of(virtual_->write(Gva{address}, bytes), address, bytes.size());
  std::array batch{WriteRequest{.gpa = Gpa{address}, .from = bytes}};
  vm_.memory().write(batch);
  return outcome_of(batch[0], "write");
}

Transferred GuestBytes::read_padded(std::uint64_t address, std::span<std::byte> into,
                                    std::byte pad) {
  std::size_t done = 0;
  while (done != into.size()) {
    Transferred part = read(address + done, into.subspan(done));
    done += part.done;
    if (part.status == Errc::none) break;
    if (part.status != Errc::hole) return {done, part.status, std::move(part.why)};
    const std::size_t hole =
        std::min<std::size_t>(into.size() - done, kPageSize - (address + done) % kPageSize);
    std::ranges::fill(into.subspan(done, hole), pad);
    done += hole;
  }
  return {.done = done};
}

void AddressKind::declare(CLI::App& app) {
  add_flag(app, "--gva", is_virtual, "The address is virtual");
  space.declare(app);
}

void AddressKind::check(Session& session) {
  if (!is_virtual && space.given()) session.wrong("--cr3, --vcpu and --paging need --gva");
  if (is_virtual) space.check(session);
}

Result<std::optional<AddressSpace>> AddressKind::resolve(Vm& vm) const {
  if (!is_virtual) return std::optional<AddressSpace>{};
  const auto found = space.resolve(vm);
  if (!found) return std::unexpected(found.error());
  return std::optional(*found);
}

}  // namespace microvmi::tool
