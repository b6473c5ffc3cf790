// SPDX-License-Identifier: Apache-2.0
// The xen driver: its row, and the domain that it opens.
#include <fmt/format.h>

#include <cerrno>

#include "driver/xen/memory.hpp"
#include "driver/xen/page_rights.hpp"
#include "driver/xen/run_control.hpp"
#include "driver/xen/selection.hpp"
#include "driver/xen/vcpu_state.hpp"
#include "microvmi/registry.hpp"

namespace microvmi::xen {
namespace {

Expected<std::shared_ptr<Hypervisor>> connect() {
  if (auto host = native::check_host(); !host) return std::unexpected(std::move(host.error()));
  auto xen = native::open();
  if (!xen) return std::unexpected(std::move(xen.error()));
  return std::shared_ptr<Hypervisor>(*std::move(xen));
}

// "0,2"
std::string online_vcpus(const Guest& guest, std::uint32_t count) {
  std::string out;
  for (std::uint32_t i = 0; i < count; ++i) {
    VcpuFacts facts;
    if (guest.xen().vcpu(guest.domid(), i, facts) == 0 && facts.online)
      out += fmt::format("{}{}", out.empty() ? "" : ",", i);
  }
  return out;
}

// Where programs tell each other that they listen to a domain.
constexpr const char* kClaims = "/run";

// Xen looks at the processor first, and then for a ring, which there is none of yet.
bool has_page_rights(const Guest& guest) {
  std::uint8_t access = 0;
  const Errno error = guest.xen().frame_access(guest.domid(), 0, access);
  return error == 0 || error == ENODEV;
}

class XenDriver final : public Driver {
 public:
  XenDriver(std::shared_ptr<Hypervisor> xen, const NamedDomain& domain)
      : guest_(std::move(xen), domain.domain), name_(domain.name) {
    state_.look_at(*events_);
    if (guest_.is_hvm() && has_page_rights(guest_)) rights_.emplace(guest_, *events_);
  }
  XenDriver(const XenDriver&) = delete;
  XenDriver& operator=(const XenDriver&) = delete;
  ~XenDriver() override {
    if (rights_) rights_->close();
    events_->close();
  }

  PhysicalMemory& memory() override { return memory_; }
  RunControl* run_control() override { return &run_control_; }
  RegisterAccess* registers() override { return &state_; }
  EventControl* events() override { return guest_.is_hvm() ? events_.get() : nullptr; }
  Injection* injection() override { return guest_.is_hvm() ? &state_ : nullptr; }
  PageAccessControl* page_access() override { return rights_ ? &*rights_ : nullptr; }

  GuestInfo info() const override {
    const auto now = guest_.look();
    const Domain& domain = now ? *now : guest_.when_opened();
    return {.vm_name = name_,
            .vcpus = domain.vcpus,
            .facts = {{"xen_version", guest_.xen().version()},
                      {"domid", std::uint64_t{domain.domid}},
                      {"uuid", uuid_text(domain)},
                      {"guest_type", std::string(domain.hvm ? "hvm" : "pv")},
                      {"addresses", std::string(domain.hvm ? "guest" : "machine")},
                      {"online_vcpus", online_vcpus(guest_, domain.vcpus)},
                      {"pages", domain.pages}}};
  }

 private:
  Guest guest_;
  std::optional<std::string> name_;
  XenMemory memory_{guest_};
  XenRunControl run_control_{guest_, memory_.kept()};
  VcpuState state_{guest_};
  std::shared_ptr<Events> events_ = std::make_shared<Events>(guest_, state_, kClaims);
  std::optional<PageRightsControl> rights_{};
};

Expected<Readiness> probe(const DriverInitParams&) {
  if (auto host = native::check_host(); !host) return std::unexpected(std::move(host.error()));
  const auto library = native::find_libraries();
  if (!library) return std::unexpected(library.error());
  return Readiness{true, "through " + *library};
}

Expected<std::unique_ptr<Driver>> open(const DriverInitParams& params, const InitOptions&) {
  auto xen = connect();
  if (!xen) return std::unexpected(std::move(xen.error()));
  const auto found = guests(**xen);
  if (!found) return std::unexpected(found.error());
  const auto chosen = choose(*found, wanted_of(params));
  if (!chosen) return std::unexpected(chosen.error());
  return std::make_unique<XenDriver>(*std::move(xen), *chosen);
}

std::vector<NamedDomain> look_around() {
  const auto xen = connect();
  if (!xen) return {};
  return guests(**xen).value_or(std::vector<NamedDomain>{});
}

std::vector<Found> scan(const ScanOptions&) {
  std::vector<Found> out;
  for (const NamedDomain& one : look_around())
    out.push_back({.driver = DriverType::xen,
                   .vm_name = one.name,
                   .running = !one.domain.paused && !one.domain.shutdown,
                   .vcpus = one.domain.vcpus,
                   .facts = {{"domid", std::uint64_t{one.domain.domid}},
                             {"uuid", uuid_text(one.domain)},
                             {"guest_type", std::string(one.domain.hvm ? "hvm" : "pv")}},
                   .params = {{.key = "xen.domid", .value = std::to_string(one.domain.domid)}}});
  return out;
}

std::vector<Suggestion> candidates(std::string_view key) {
  std::vector<Suggestion> out;
  for (const NamedDomain& one : look_around()) {
    const std::string name = one.name.value_or("");
    if (key == "xen.domid") out.push_back({std::to_string(one.domain.domid), name});
    if (key == "xen.uuid") out.push_back({uuid_text(one.domain), name});
    if ((key == "xen.vm-name" || key == "vm-name") && !name.empty())
      out.push_back({name, fmt::format("domain {}", one.domain.domid)});
  }
  return out;
}

}  // namespace

extern const DriverInfo kDriver;
constinit const DriverInfo kDriver{.type = DriverType::xen,
                                   .summary = "Guest of Xen",
                                   .probe = probe,
                                   .open = open,
                                   .scan = scan,
                                   .candidates = candidates};

}  // namespace microvmi::xen
