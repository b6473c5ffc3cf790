// SPDX-License-Identifier: Apache-2.0
// The calls of Xen's libraries in the types of Hypervisor.
#include "driver/xen/native.hpp"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "driver/xen/native_calls.hpp"
#include "driver/xen/state.hpp"

namespace microvmi::xen::native {
namespace {

// The structures that the rest of the driver knows by offset.
static_assert(sizeof(hvm_hw_cpu) == kHvmCpuSize && HVM_SAVE_CODE(CPU) == kHvmCpuCode);
static_assert(HVM_SAVE_CODE(LAPIC) == kHvmLapicCode && sizeof(hvm_hw_lapic) == kHvmLapicSize);
static_assert(CPU_XSAVE_CODE == kHvmXsaveCode);
static_assert(sizeof(vcpu_guest_context) == kPvContextSize);

// Xen's libraries print to stderr unless they are given another place.
void ignore(xentoollog_logger*, xentoollog_level, int, const char*, const char*, va_list) {}
xentoollog_logger silence{.vmessage = ignore, .progress = nullptr, .destroy = nullptr};

Errno errno_of(long result) {
  if (result >= 0) return 0;
  return errno != 0 ? errno : EIO;
}

Domain domain_of(const xc_domaininfo_t& info) {
  Domain out{.domid = info.domain,
             .hvm = (info.flags & XEN_DOMINF_hvm_guest) != 0,
             .dying = (info.flags & XEN_DOMINF_dying) != 0,
             .shutdown = (info.flags & XEN_DOMINF_shutdown) != 0,
             .paused = (info.flags & XEN_DOMINF_paused) != 0,
             .pages = info.tot_pages,
             .most_pages = info.max_pages,
             .shared_info_frame = info.shared_info_frame,
             .vcpus = info.max_vcpu_id == XEN_INVALID_MAX_VCPU_ID ? 0 : info.max_vcpu_id + 1,
             .online = info.nr_online_vcpus};
  std::ranges::copy(info.handle, out.uuid.begin());
  return out;
}

class Native final : public Hypervisor {
 public:
  explicit Native(Libraries libraries) : libraries_(std::move(libraries)) {}
  Native(const Native&) = delete;
  Native& operator=(const Native&) = delete;
  ~Native() override {
    if (events_) calls_.xenevtchn_close(events_);
    if (store_) calls_.xs_close(store_);
    if (memory_) calls_.xenforeignmemory_close(memory_);
    if (control_) calls_.xc_interface_close(control_);
  }

  Expected<void> start() {
    control_ = calls_.xc_interface_open(&silence, &silence, 0);
    if (!control_) return cannot("the interface of Xen");
    memory_ = calls_.xenforeignmemory_open(&silence, 0);
    if (!memory_) return cannot("Xen's foreign memory");
    store_ = calls_.xs_open(0);  // without it domains have no names
    const int running = calls_.xc_version(control_, XENVER_version, nullptr);
    if (running < 0) return cannot("the version of Xen");
    version_ = fmt::format("{}.{}", running >> 16, running & 0xffff);
    is_for_it_ = running == (4 << 16 | libraries_.release);
    return {};
  }

  // Whether the library is that of the Xen that runs.
  [[nodiscard]] bool is_for_it() const { return is_for_it_; }

  std::string version() const override { return version_; }

  Errno domains(std::vector<Domain>& out) override {
    constexpr unsigned kAtOnce = 64;
    std::vector<xc_domaininfo_t> infos(kAtOnce);
    std::uint32_t first = 0;
    out.clear();
    for (;;) {
      const int count = calls_.xc_domain_getinfolist(control_, first, kAtOnce, infos.data());
      if (count < 0) return errno_of(count);
      for (const xc_domaininfo_t& info : std::span(infos).first(static_cast<std::size_t>(count)))
        out.push_back(domain_of(info));
      if (count < static_cast<int>(kAtOnce)) return 0;
      first = out.back().domid + 1U;
    }
  }

  // It tells the first domain whose number is not less.
  Errno domain(std::uint16_t domid, Domain& out) override {
    xc_domaininfo_t info{};
    const int count = calls_.xc_domain_getinfolist(control_, domid, 1, &info);
    if (count < 0) return errno_of(count);
    if (count != 1 || info.domain != domid) return ESRCH;
    out = domain_of(info);
    return 0;
  }

  std::optional<std::string> name(std::uint16_t domid) override {
    const std::lock_guard lock(store_mutex_);
    if (!store_) return std::nullopt;
    const std::string path = fmt::format("/local/domain/{}/name", domid);
    unsigned length = 0;
    void* const text = calls_.xs_read(store_, XBT_NULL, path.c_str(), &length);
    if (!text) return std::nullopt;
    std::string out(static_cast<const char*>(text), length);
    std::free(text);
    return out;
  }

  Errno pause(std::uint16_t domid) override {
    return errno_of(calls_.xc_domain_pause(control_, domid));
  }
  Errno unpause(std::uint16_t domid) override {
    return errno_of(calls_.xc_domain_unpause(control_, domid));
  }

  void* map(std::uint16_t domid, bool writable, std::span<const std::uint64_t> frames,
            std::span<int> errors) override {
    void* const out =
        calls_.xenforeignmemory_map(memory_, domid, writable ? PROT_READ | PROT_WRITE : PROT_READ,
                                    frames.size(), frames.data(), errors.data());
    for (int& error : errors) error = std::abs(error);
    return out;
  }
  void unmap(void* pages, std::size_t count) override {
    calls_.xenforeignmemory_unmap(memory_, pages, count);
  }

  Errno last_frame(std::uint16_t domid, std::uint64_t& frame) override {
    return errno_of(calls_.xc_domain_maximum_gpfn(control_, domid, &frame));
  }
  Errno last_host_frame(std::uint64_t& frame) override {
    return errno_of(calls_.xc_maximum_ram_page(control_, &frame));
  }
  Errno pages_on_demand(std::uint16_t domid, std::uint64_t& pages,
                        std::uint64_t& at_hand) override {
    std::uint64_t all = 0;
    return errno_of(calls_.xc_domain_get_pod_target(control_, domid, &all, &at_hand, &pages));
  }
  Errno frame_types(std::uint16_t domid, std::span<std::uint64_t> frames) override {
    if (!calls_.xc_get_pfn_type_batch) return ENOSYS;
    return errno_of(calls_.xc_get_pfn_type_batch(
        control_, domid, static_cast<unsigned>(frames.size()), frames.data()));
  }

  Errno guest_width(std::uint16_t domid, unsigned& bytes) override {
    return errno_of(calls_.xc_domain_get_guest_width(control_, domid, &bytes));
  }
  Errno vcpu(std::uint16_t domid, std::uint32_t vcpu, VcpuFacts& out) override {
    xc_vcpuinfo_t info{};
    const int result = calls_.xc_vcpu_getinfo(control_, domid, vcpu, &info);
    out = {.online = info.online != 0, .blocked = info.blocked != 0, .cpu_time = info.cpu_time};
    return errno_of(result);
  }
  Errno hvm_record(std::uint16_t domid, std::uint16_t code, std::uint32_t vcpu,
                   std::span<std::byte> out) override {
    return errno_of(calls_.xc_domain_hvm_getcontext_partial(
        control_, domid, code, static_cast<std::uint16_t>(vcpu), out.data(),
        static_cast<std::uint32_t>(out.size())));
  }
  Errno hvm_context(std::uint16_t domid, std::vector<std::byte>& out) override {
    const int size = calls_.xc_domain_hvm_getcontext(control_, domid, nullptr, 0);
    if (size < 0) return errno_of(size);
    out.resize(static_cast<std::size_t>(size));
    const int got = calls_.xc_domain_hvm_getcontext(control_, domid,
                                                    reinterpret_cast<std::uint8_t*>(out.data()),
                                                    static_cast<std::uint32_t>(size));
    if (got < 0) return errno_of(got);
    out.resize(static_cast<std::size_t>(std::min(got, size)));
    return 0;
  }
  Errno set_hvm_context(std::uint16_t domid, std::span<std::byte> context) override {
    return errno_of(calls_.xc_domain_hvm_setcontext(control_, domid,
                                                    reinterpret_cast<std::uint8_t*>(context.data()),
                                                    static_cast<std::uint32_t>(context.size())));
  }
  Errno pv_context(std::uint16_t domid, std::uint32_t vcpu, std::span<std::byte> out) override {
    vcpu_guest_context_any_t context{};
    const Errno error = errno_of(calls_.xc_vcpu_getcontext(control_, domid, vcpu, &context));
    std::memcpy(out.data(), &context, std::min(out.size(), sizeof context));
    return error;
  }
  Errno set_pv_context(std::uint16_t domid, std::uint32_t vcpu,
                       std::span<std::byte> context) override {
    vcpu_guest_context_any_t copy{};
    std::memcpy(&copy, context.data(), std::min(context.size(), sizeof copy));
    return errno_of(calls_.xc_vcpu_setcontext(control_, domid, vcpu, &copy));
  }
  Errno inject(std::uint16_t domid, const Trap& trap) override {
    return errno_of(calls_.xc_hvm_inject_trap(control_, domid, static_cast<int>(trap.vcpu),
                                              trap.vector, trap.type, trap.error_code, trap.length,
                                              trap.extra));
  }

  Errno event_version(std::uint32_t& version) override {
    const int found = calls_.xc_vm_event_get_version(control_);
    version = static_cast<std::uint32_t>(std::max(found, 0));
    return errno_of(found);
  }
  Errno capabilities(std::uint16_t domid, std::uint32_t& bits) override {
    return errno_of(calls_.xc_monitor_get_capabilities(control_, domid, &bits));
  }
  Errno enable_ring(std::uint16_t domid, RingPage& out) override {
    errno = 0;
    out.page = calls_.xc_monitor_enable(control_, domid, &out.port);
    return out.page ? 0 : errno_of(-1);
  }
  void unmap_ring(void* page) override { ::munmap(page, XC_PAGE_SIZE); }
  Errno disable_ring(std::uint16_t domid) override {
    return errno_of(calls_.xc_monitor_disable(control_, domid));
  }
  Errno monitor(std::uint16_t domid, Monitor what, std::uint32_t number, bool on) override {
    const Errno error = errno_of(set_monitor(calls_, control_, {domid, what, number, on}));
    return error == EEXIST ? 0 : error;  // it has that state already
  }
  Errno single_step(std::uint16_t domid, std::uint32_t vcpu, bool on) override {
    return errno_of(calls_.xc_domain_debug_control(
        control_, domid,
        on ? XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON : XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_OFF, vcpu));
  }
  Errno frame_access(std::uint16_t domid, std::uint64_t frame, std::uint8_t& access) override {
    xenmem_access_t found{};
    const int result = calls_.xc_get_mem_access(control_, domid, frame, &found);
    access = static_cast<std::uint8_t>(found);
    return errno_of(result);
  }
  Errno set_frame_access(std::uint16_t domid, std::uint64_t frame, std::uint8_t access) override {
    return errno_of(
        calls_.xc_set_mem_access(control_, domid, static_cast<xenmem_access_t>(access), frame, 1));
  }

  Errno bind(std::uint16_t domid, std::uint32_t port) override {
    if (!events_) events_ = calls_.xenevtchn_open(&silence, 0);
    if (!events_) return errno_of(-1);
    const auto local = calls_.xenevtchn_bind_interdomain(events_, domid, port);
    if (local < 0) return errno_of(local);
    local_ = static_cast<evtchn_port_t>(local);
    return 0;
  }
  void unbind() override {
    if (events_) calls_.xenevtchn_close(std::exchange(events_, nullptr));
  }
  int channel() const override { return events_ ? calls_.xenevtchn_fd(events_) : -1; }
  Errno take_notice() override {
    const auto port = calls_.xenevtchn_pending(events_);
    if (port < 0) return errno_of(port);
    return errno_of(calls_.xenevtchn_unmask(events_, static_cast<evtchn_port_t>(port)));
  }
  Errno notify() override { return errno_of(calls_.xenevtchn_notify(events_, local_)); }

 private:
  static std::unexpected<Error> cannot(const char* what) {
    const int error = errno;
    return fail(error == EACCES || error == EPERM ? Errc::permission_denied : Errc::io,
                fmt::format("cannot open {}: {}", what, std::strerror(error)), {},
                "run as root in the control domain");
  }

  Libraries libraries_;
  const Calls& calls_ = libraries_.calls;
  xc_interface* control_ = nullptr;
  xenforeignmemory_handle* memory_ = nullptr;
  std::mutex store_mutex_{};
  xs_handle* store_ = nullptr;
  xenevtchn_handle* events_ = nullptr;
  evtchn_port_t local_ = 0;
  std::string version_{};
  bool is_for_it_ = false;
};

}  // namespace

// Of several releases that are installed, the one that runs.
Expected<std::unique_ptr<Hypervisor>> open() {
  const auto releases = find_releases();
  if (!releases) return std::unexpected(releases.error());
  std::string running;
  for (const int release : *releases) {
    auto libraries = load_libraries(release);
    if (!libraries) return std::unexpected(std::move(libraries.error()));
    auto out = std::make_unique<Native>(*std::move(libraries));
    if (auto done = out->start(); !done) return std::unexpected(std::move(done.error()));
    if (out->is_for_it()) return out;
    running = out->version();
  }
  return fail(Errc::not_supported,
              fmt::format("this host runs Xen {}, and the library is libxenctrl.so.4.{}", running,
                          releases->front()),
              {}, "install the libraries of the Xen that runs");
}

}  // namespace microvmi::xen::native
