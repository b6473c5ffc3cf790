// SPDX-License-Identifier: Apache-2.0
// The kvm driver against the simulated kernel: pipelined reads against one at a time and against a
// bare loop of sends and receives, and how fast events are handled.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <memory>
#include <thread>
#include <vector>

#include "contest.hpp"
#include "driver/kvm/memory.hpp"
#include "microvmi/init.hpp"
#include "support/kvmi_peer/kernel.hpp"
#include "support/temp_folder.hpp"

namespace microvmi::bench {
namespace {

namespace peer = test::kvmi;

constexpr std::size_t kPages = 4096;  // read in a round
constexpr std::size_t kGuestPages = 256;
constexpr std::size_t kReply = 8 + 8 + kPageSize;  // header, error, data
constexpr std::size_t kEvents = 5000;

void send_all(int fd, std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
}

// The kernel at one end of a socket pair; the other end is for who asks.
class Line {
 public:
  Line() {
    std::array<int, 2> pair{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0)
      give_up("no socket pair");
    ours_ = host::Descriptor(pair[0]);
    thread_ = std::jthread([fd = pair[1]] { serve(host::Descriptor(fd)); });
  }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;
  ~Line() {
    if (ours_) ::shutdown(ours_.get(), SHUT_RDWR);
  }

  [[nodiscard]] host::Descriptor take() { return std::move(ours_); }
  [[nodiscard]] int get() const { return ours_.get(); }

 private:
  static void serve(const host::Descriptor& fd) {
    peer::KernelSetup setup;
    peer::Guest guest(1);
    guest.add_memory(0, kGuestPages * kPageSize);
    peer::Record record;
    peer::Kernel kernel(guest, setup, record);
    std::vector<std::uint8_t> block(1 << 16);
    for (ssize_t got = 0; (got = ::recv(fd.get(), block.data(), block.size(), 0)) > 0;) {
      kernel.receive(std::span(block).first(static_cast<std::size_t>(got)));
      send_all(fd.get(), kernel.take_output());
    }
  }

  host::Descriptor ours_{};
  std::jthread thread_{};
};

// The driver's memory on such a line.
class Driven {
 public:
  explicit Driven(std::size_t window) {
    auto started = kvm::Connection::start(line_.take(), {});
    if (!started) give_up(started.error().message);
    connection_ = *std::move(started);
    connection_->set_window(window);
    memory_.emplace(*connection_, patches_, Gpa{0}, std::chrono::milliseconds(10'000));
  }

  void read_all() {
    for (std::size_t done = 0; done != kPages; done += kGuestPages)
      if (!std::as_const(*memory_).read(Gpa{0}, bytes_)) give_up("a read failed");
  }

 private:
  Line line_{};
  kvm::Patches patches_{};
  std::unique_ptr<kvm::Connection> connection_{};
  std::optional<kvm::KvmMemory> memory_{};
  std::vector<std::byte> bytes_ = std::vector<std::byte>(kGuestPages * kPageSize);
};

// As many requests on their way as the driver has, and nothing else.
class Bare {
 public:
  void read_all() {
    for (std::size_t page = 0; page != kPages; page += kvm::Connection::kWindow) {
      peer::Bytes requests;
      for (std::size_t i = 0; i != kvm::Connection::kWindow; ++i) {
        peer::append(requests, std::uint16_t{17});  // READ_PHYSICAL, 16 bytes
        peer::append(requests, std::uint16_t{16});
        peer::append(requests, static_cast<std::uint32_t>(page + i));
        peer::append(requests, std::uint64_t{(page + i) % kGuestPages * kPageSize});
        peer::append(requests, std::uint64_t{kPageSize});
      }
      send_all(line_.get(), requests);
      for (std::size_t left = replies_.size(); left != 0;) {
        const ssize_t got = ::recv(line_.get(), replies_.data(), left, 0);
        if (got <= 0) give_up("the simulated kernel is gone");
        left -= static_cast<std::size_t>(got);
      }
    }
  }

 private:
  Line line_{};
  std::vector<std::uint8_t> replies_ = std::vector<std::uint8_t>(kReply * kvm::Connection::kWindow);
};

// A guest that does nothing but write an MSR: the next event follows each answer.
class Writer {
 public:
  Writer() : thread_([path = folder_.path() / "kvmi"] { write_for_ever(path); }) {
    auto opened = init(DriverType::kvm,
                       {.kvm = KvmInitParams{.transport = UnixSocket{folder_.path() / "kvmi"}}});
    if (!opened) give_up(opened.error().message);
    vm_.emplace(*std::move(opened));
    if (!vm_->intercept(VcpuId{0}, MsrWrite::Filter{kMsr})) give_up("no interception");
  }

  void handle_all() {
    for (std::size_t i = 0; i != kEvents; ++i)
      if (!vm_->next_event(Wait::at_most(std::chrono::seconds(10)))) give_up("an event is missing");
  }

 private:
  static constexpr std::uint32_t kMsr = 0x174;

  static host::Descriptor connect(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.native().copy(address.sun_path, sizeof(address.sun_path) - 1);
    host::Descriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    for (int i = 0; i != 5000; ++i) {
      if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0)
        return fd;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    give_up("nobody listens");
  }

  static void write_for_ever(const std::filesystem::path& path) {
    const host::Descriptor fd = connect(path);
    peer::Bytes hello(96);  // the handshake of QEMU: its size, then uuid, time and name
    hello[0] = 96;
    hello[32] = 'w';
    send_all(fd.get(), hello);
    std::array<std::uint8_t, 4096> block{};
    if (::recv(fd.get(), block.data(), 24, MSG_WAITALL) != 24) give_up("no answer");
    peer::KernelSetup setup;
    peer::Guest guest(1);
    guest.add_memory(0, kPageSize);
    peer::Record record;
    peer::Kernel kernel(guest, setup, record);
    std::uint64_t value = 0;
    for (ssize_t got = 0; (got = ::recv(fd.get(), block.data(), block.size(), 0)) > 0;) {
      kernel.receive(std::span(block).first(static_cast<std::size_t>(got)));
      // CONTROL_MSR comes last, and then each answer is one whole message.
      if (record.commands[peer::Cmd::control_msr] != 0 && !kernel.waits(0))
        kernel.do_deed(0, {.deed = peer::Deed::write_msr(kMsr, ++value)});
      send_all(fd.get(), kernel.take_output());
    }
  }

  test::TempFolder folder_{};
  std::jthread thread_;
  std::optional<Vm> vm_{};
};

void add_kvmi_races() {
  const auto ours = std::make_shared<Driven>(kvm::Connection::kWindow);
  const auto single = std::make_shared<Driven>(1);
  const auto bare = std::make_shared<Bare>();
  add(Race{.name = "kvmi/read/4K/pipelined_to_single",
           .target = 3,
           .prepare = [] {},
           .ours = [ours] { ours->read_all(); },
           .limit = [single] { single->read_all(); },
           .finish = [] {}});
  add(Race{.name = "kvmi/read/4K/pipelined_to_bare",
           .target = 0.8,
           .prepare = [] {},
           .ours = [ours] { ours->read_all(); },
           .limit = [bare] { bare->read_all(); },
           .finish = [] {}});
  const auto writer = std::make_shared<Writer>();
  // The ratio times 5000 is how many events are handled in a second.
  add(Deadline{.name = "kvmi/events/5000", .limit_ms = 1000, .turns = 5, .ours = [writer] {
                 writer->handle_all();
               }});
}

}  // namespace
}  // namespace microvmi::bench

int main(int argc, char** argv) {
  microvmi::bench::add_kvmi_races();
  return microvmi::bench::run(argc, argv);
}
