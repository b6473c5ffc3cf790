// SPDX-License-Identifier: Apache-2.0
// kvm_vmm [vcpus=N] [backing=memfd] [smm=1] [mask=N]: runs the machine until its stdin ends.
//
// A line of JSON for the machine, then one for each command that it reads:
//   status | slots | read SPACE GPA SIZE | add ID GPA SIZE FLAGS | delete ID | forget ID |
//   remap ID | move ID GPA | flags ID FLAGS | churn on | churn off | stop | go |
//   second vm
// forget deletes a slot and leaves its memory mapped. The answer to read is followed by the bytes
// that it counts. Numbers are decimal or 0x.
#include <sys/ioctl.h>
#include <sys/prctl.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "support/kvm_vmm/vcpu.hpp"

namespace microvmi::kvm_vmm {
namespace {

using nlohmann::json;
using Vcpus = std::vector<std::unique_ptr<Vcpu>>;

json to_json(const Slot& s) {
  return {{"space", s.id >> 16U}, {"id", s.id & 0xFFFFU}, {"gpa", s.gpa},
          {"size", s.size},       {"hva", s.hva},         {"flags", s.flags}};
}

json to_json(const std::vector<Slot>& slots) {
  json out = json::array();
  for (const Slot& one : slots) out.push_back(to_json(one));
  return out;
}

json to_json(const State& s) {
  const kvm_regs& r = s.regs;
  json out{{"rax", r.rax}, {"rbx", r.rbx}, {"rcx", r.rcx},      {"rdx", r.rdx}, {"rsi", r.rsi},
           {"rdi", r.rdi}, {"rsp", r.rsp}, {"rbp", r.rbp},      {"r8", r.r8},   {"r9", r.r9},
           {"r10", r.r10}, {"r11", r.r11}, {"r12", r.r12},      {"r13", r.r13}, {"r14", r.r14},
           {"r15", r.r15}, {"rip", r.rip}, {"rflags", r.rflags}};
  out.update({{"cr0", s.sregs.cr0},
              {"cr2", s.sregs.cr2},
              {"cr3", s.sregs.cr3},
              {"cr4", s.sregs.cr4},
              {"cr8", s.sregs.cr8},
              {"efer", s.sregs.efer},
              {"cs", s.sregs.cs.selector},
              {"ss", s.sregs.ss.selector},
              {"fs_base", s.sregs.fs.base},
              {"gs_base", s.sregs.gs.base},
              {"gdt_base", s.sregs.gdt.base},
              {"gdt_limit", s.sregs.gdt.limit},
              {"idt_base", s.sregs.idt.base},
              {"idt_limit", s.sregs.idt.limit}});
  for (std::size_t i = 0; i < kMsrs.size(); ++i) out[kMsrs[i].name] = s.msrs[i];
  for (const auto& one : s.xmm) out["xmm"].push_back(one);
  return out;
}

class Program {
 public:
  explicit Program(const Options& options) : machine_(options) {
    for (unsigned i = 0; i < options.vcpus; ++i)
      vcpus_.push_back(std::make_unique<Vcpu>(machine_, i));
    for (const auto& one : vcpus_) one->start();
    std::thread([this] { churn(); }).detach();
  }

  [[nodiscard]] json introduction() const {
    json vcpus = json::array();
    for (const auto& one : vcpus_)
      vcpus.push_back({{"fd", one->fd()},
                       {"tid", one->tid()},
                       {"run", one->run_address()},
                       {"run_size", one->run_size()},
                       {"registers", to_json(one->given())}});
    return {{"pid", ::getpid()},
            {"vm_fd", machine_.vm()},
            {"slots", to_json(machine_.slots())},
            {"loop", {kCode, kCode + 24}},
            {"counters", kCounters},
            {"still", kFirstStill},
            {"vcpus", vcpus},
            {"spaces", std::max(1, machine_.extension(KVM_CAP_MULTI_ADDRESS_SPACE))},
            {"sync_regs", machine_.extension(KVM_CAP_SYNC_REGS)}};
  }

  // What follows the last answer.
  std::string take_bytes() { return std::exchange(bytes_, {}); }

  json answer(const std::string& line) {
    std::istringstream words(line);
    words.unsetf(std::ios::basefield);  // 0x as well
    std::string verb;
    words >> verb;
    if (verb == "status") return status();
    if (verb == "read") return read(words);
    if (verb == "stop") return stop();
    if (verb == "second") return {{"vm_fd", ::ioctl(machine_.system(), KVM_CREATE_VM, 0)}};
    if (verb == "go") {
      for (const auto& one : vcpus_) one->go();
      return json::object();
    }
    if (verb == "churn") {
      words >> verb;
      const std::lock_guard none_under_way(round_);
      churning_ = verb == "on";
      return {{"rounds", churned_.load()}};
    }
    if (!change_slot(verb, words)) return {{"error", line}};
    return {{"slots", to_json(machine_.slots())}};
  }

 private:
  json status() const {
    json out{{"interrupted", 0}, {"corrupted", 0}, {"exits", 0}, {"counters", json::array()}};
    std::uint64_t interrupted = 0;
    std::uint64_t corrupted = 0;
    std::uint64_t exits = 0;
    for (const auto& one : vcpus_) {
      interrupted += one->interrupted();
      corrupted += one->corrupted();
      exits += one->exits();
      out["counters"].push_back(one->counter());
    }
    out.update({{"interrupted", interrupted}, {"corrupted", corrupted}, {"exits", exits}});
    out["churned"] = churned_.load();
    return out;
  }

  json read(std::istringstream& words) {
    std::uint32_t space = 0;
    std::uint64_t gpa = 0;
    std::uint64_t size = 0;
    words >> space >> gpa >> size;
    bytes_ = machine_.read(space, gpa, size);
    return {{"bytes", bytes_.size()}};
  }

  json stop() const {
    json out{{"registers", json::array()}, {"counters", json::array()}};
    for (const auto& one : vcpus_) {
      one->stop();
      out["registers"].push_back(to_json(one->state()));
      out["counters"].push_back(one->counter());
    }
    return out;
  }

  bool change_slot(const std::string& verb, std::istringstream& words) {
    std::uint32_t id = 0;
    std::uint64_t first = 0;
    std::uint64_t second = 0;
    std::uint32_t flags = 0;
    words >> id >> first >> second >> flags;
    if (verb == "slots") return true;
    if (verb == "add") return machine_.add(id, first, second, flags), true;
    if (verb == "delete") return machine_.remove(id, true), true;
    if (verb == "forget") return machine_.remove(id, false), true;
    if (verb == "remap") return machine_.remap(id), true;
    if (verb == "move") return machine_.move(id, first), true;
    if (verb == "flags") return machine_.set_flags(id, static_cast<std::uint32_t>(first)), true;
    return false;
  }

  [[noreturn]] void churn() {
    for (;;) {
      {
        const std::lock_guard lock(round_);
        if (churning_) {
          machine_.remap(kChurned);
          ++churned_;
        }
      }
      std::this_thread::sleep_for(std::chrono::microseconds(churning_ ? 200 : 20'000));
    }
  }

  Machine machine_;
  Vcpus vcpus_;
  std::string bytes_;
  std::mutex round_;  // of churning
  std::atomic<bool> churning_{false};
  std::atomic<std::uint64_t> churned_{0};
};

Options options_of(int argc, char** argv) {
  Options out;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const std::size_t at = word.find('=');
    const std::string name = word.substr(0, at);
    const std::string value = at == std::string::npos ? "" : word.substr(at + 1);
    if (name == "vcpus") out.vcpus = static_cast<unsigned>(std::stoul(value));
    if (name == "backing" && value == "memfd") out.backing = Backing::memfd;
    if (name == "smm") out.smm = value == "1";
    if (name == "mask") out.mask = std::stoull(value, nullptr, 0);
  }
  return out;
}

void serve(const Options& options) {
  Program program(options);
  std::cout << program.introduction().dump() << std::endl;
  for (std::string line; std::getline(std::cin, line);)
    std::cout << program.answer(line).dump() << '\n' << program.take_bytes() << std::flush;
  std::_Exit(0);  // the vCPUs never end
}

}  // namespace
}  // namespace microvmi::kvm_vmm

int main(int argc, char** argv) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  struct sigaction nothing{};
  nothing.sa_handler = [](int) {};
  ::sigaction(SIGUSR1, &nothing, nullptr);
  microvmi::kvm_vmm::serve(microvmi::kvm_vmm::options_of(argc, argv));
}
