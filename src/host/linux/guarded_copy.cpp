// SPDX-License-Identifier: Apache-2.0
// The SIGBUS handler behind guarded_copy.
#include "host/linux/guarded_copy.hpp"

#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <mutex>

#include "microvmi/address.hpp"

namespace microvmi::host {
namespace {

struct Guard {
  sigjmp_buf back;
  std::uintptr_t first;
  std::uintptr_t size;
  volatile std::uintptr_t fault;
};

// initial-exec: a handler must not be the first to touch this, as that could allocate.
[[gnu::tls_model("initial-exec")]] thread_local constinit Guard* volatile t_guard = nullptr;

struct sigaction g_previous{};

void end_by_default() {
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  ::sigaction(SIGBUS, &standard, nullptr);
}

void chain(int signal, siginfo_t* info, void* context) {
  if ((g_previous.sa_flags & SA_SIGINFO) != 0)
    return g_previous.sa_sigaction(signal, info, context);
  // Codes above 0 are of the kernel: a fault, which comes again on return. Others were sent.
  const bool fault = info->si_code > 0;
  if (g_previous.sa_handler == SIG_IGN && !fault) return;
  if (g_previous.sa_handler != SIG_DFL && g_previous.sa_handler != SIG_IGN)
    return g_previous.sa_handler(signal);
  end_by_default();
  if (!fault) ::raise(signal);
}

void on_sigbus(int signal, siginfo_t* info, void* context) {
  Guard* guard = t_guard;
  const auto fault = reinterpret_cast<std::uintptr_t>(info->si_addr);
  // si_addr may be rounded down to its page, so that it lies before the first byte.
  const bool ours =
      guard && info->si_code > 0 && fault >= (guard->first & ~(kPageSize - 1)) &&
      fault - (guard->first & ~(kPageSize - 1)) < guard->size + (guard->first & (kPageSize - 1));
  if (!ours) return chain(signal, info, context);
  guard->fault = fault;
  siglongjmp(guard->back, 1);
}

}  // namespace

void install_copy_guard() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action{};
    action.sa_sigaction = on_sigbus;
    // NODEFER: the jump out leaves SIGBUS unblocked, so the mask need not be saved for each copy.
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    ::sigemptyset(&action.sa_mask);
    ::sigaction(SIGBUS, &action, &g_previous);
  });
}

std::size_t guarded_copy(void* to, const void* from, std::size_t size) {
  Guard guard;
  guard.first = reinterpret_cast<std::uintptr_t>(from);
  guard.size = size;
  Guard* const outer = t_guard;
  if (sigsetjmp(guard.back, 0) != 0) {
    // memcpy goes in any order: what lies before the page that failed is copied again.
    const std::uintptr_t page = guard.fault & ~(kPageSize - 1);
    guard.size = page > guard.first ? page - guard.first : 0;
  }
  t_guard = &guard;
  std::atomic_signal_fence(std::memory_order_seq_cst);  // the copy stays between the two stores
  std::memcpy(to, from, guard.size);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  t_guard = outer;
  return guard.size;
}

}  // namespace microvmi::host
