// SPDX-License-Identifier: Apache-2.0
// The kvm driver: its row, and the guest that it opens.
#include <fmt/format.h>

#include <algorithm>

#include "driver/kvm/look.hpp"
#include "driver/kvm/memory.hpp"
#include "driver/kvm/page_rights.hpp"
#include "driver/kvm/session.hpp"
#include "driver/kvm/vcpu_state.hpp"
#include "qemu/find.hpp"

namespace microvmi::kvm {
namespace {

class Kvm final : public Driver {
 public:
  static Expected<std::unique_ptr<Driver>> open(const DriverInitParams& params,
                                                const InitOptions& options) {
    auto arrival = await_guest(params, options);
    if (!arrival) return std::unexpected(std::move(arrival.error()));
    std::unique_ptr<Kvm> out(new Kvm(std::move(*arrival), answer_time(*params.kvm)));
    if (auto done = out->start(options.wait); !done)
      return std::unexpected(std::move(done.error()));
    return out;
  }

  Kvm(const Kvm&) = delete;
  Kvm& operator=(const Kvm&) = delete;
  ~Kvm() override {
    if (rights_) rights_->close();
    if (memory_) vcpus_->close();
    vcpus_->detach();
  }

  PhysicalMemory& memory() override { return *memory_; }
  RunControl* run_control() override { return vcpus_.get(); }
  RegisterAccess* registers() override { return &*state_; }
  EventControl* events() override { return vcpus_.get(); }
  Injection* injection() override { return &*state_; }
  PageAccessControl* page_access() override { return &*rights_; }

  GuestInfo info() const override {
    const Greeting& greeting = arrival_.greeting;
    GuestInfo out{.pid = arrival_.pid, .vcpus = vcpus_->count()};
    if (!greeting.name.empty()) out.vm_name = greeting.name;
    out.facts = {{"kvmi_dialect", std::string(name_of(abilities_.dialect))},
                 {"kvmi_singlestep", abilities_.singlestep},
                 {"kvmi_views", abilities_.views},
                 {"uuid", uuid_text(greeting)}};
    if (greeting.start_time > 0)
      out.facts.push_back({"start_time", static_cast<std::uint64_t>(greeting.start_time)});
    return out;
  }

 private:
  Kvm(Arrival arrival, std::chrono::milliseconds answer_time)
      : arrival_(std::move(arrival)),
        answer_time_(answer_time),
        vcpus_(std::make_shared<Vcpus>(answer_time)) {}

  Expected<void> start(const Wait& wait) {
    auto connection = Connection::start(
        std::move(arrival_.socket),
        {.on_event = [vcpus = vcpus_](auto told) { return vcpus->on_event(std::move(told)); },
         .on_end = [vcpus = vcpus_](const Error& error) { vcpus->on_end(error); }});
    if (!connection) return std::unexpected(std::move(connection.error()));
    connection_ = *std::move(connection);
    const auto abilities = negotiate(*connection_, wait.within(answer_time_));
    if (!abilities) return std::unexpected(abilities.error());
    abilities_ = *abilities;
    vcpus_->attach(*connection_, abilities_);
    memory_.emplace(*connection_, vcpus_->patches(), Gpa{arrival_.greeting.max_gpa}, answer_time_);
    state_.emplace(*connection_, *vcpus_, answer_time_);
    rights_.emplace(*connection_, *vcpus_, abilities_, answer_time_);
    return memory_->refresh();
  }

  Arrival arrival_;
  std::chrono::milliseconds answer_time_;
  Abilities abilities_{};
  std::shared_ptr<Vcpus> vcpus_;
  std::unique_ptr<Connection> connection_{};
  std::optional<KvmMemory> memory_{};
  std::optional<VcpuState> state_{};
  std::optional<PageControl> rights_{};
};

// What is at the path does not matter before it is opened, unless it can never become our socket.
Expected<void> check_path(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = std::filesystem::symlink_status(path, error);
  const bool absent = status.type() == std::filesystem::file_type::not_found;
  if (absent || status.type() == std::filesystem::file_type::socket) return {};
  if (status.type() == std::filesystem::file_type::none)
    return fail(Errc::io, fmt::format("cannot look at {}: {}", path.string(), error.message()));
  return fail(Errc::invalid_argument, path.string() + " exists and is no socket", {},
              "name a path that does not exist yet");
}

Expected<Readiness> probe(const DriverInitParams& params) {
  if (!params.kvm) return fail(Errc::not_applicable, "kvm.unix-socket is not given");
  const auto* unix_socket = std::get_if<UnixSocket>(&*params.kvm->transport);
  if (!unix_socket)
    return Readiness{false, fmt::format("waits for a QEMU to connect to vsock port {}",
                                        *std::get<VSock>(*params.kvm->transport).port)};
  const std::string path = unix_socket->path->string();
  if (auto done = check_path(path); !done) return std::unexpected(std::move(done.error()));
  const auto all = introspectable();
  const auto one = std::ranges::find(all, path, &Introspectable::path);
  if (one == all.end())
    return Readiness{false, fmt::format("waits for a QEMU to connect to {}", path)};
  return Readiness{true, fmt::format("QEMU process {} ({}) connects to {}", one->pid,
                                     qemu::in_one_line(one->name), path)};
}

Expected<std::unique_ptr<Driver>> open(const DriverInitParams& params, const InitOptions& options) {
  if (!params.kvm) return fail(Errc::not_applicable, "kvm.unix-socket is not given");
  return Kvm::open(params, options);
}

std::vector<Suggestion> candidates(std::string_view key) {
  std::vector<Suggestion> out;
  if (key != "kvm.unix-socket") return out;
  for (const Introspectable& one : introspectable())
    if (!one.path.empty()) out.push_back({one.path, qemu::in_one_line(one.name)});
  return out;
}

}  // namespace

extern const DriverInfo kDriver;
constinit const DriverInfo kDriver{.type = DriverType::kvm,
                                   .summary = "Guest of KVM with KVMi",
                                   .probe = probe,
                                   .open = open,
                                   .candidates = candidates};

}  // namespace microvmi::kvm
