// SPDX-License-Identifier: Apache-2.0
// The coredump connector: opens the file, chooses the format, hands over what it made of it.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "connector/coredump/format.hpp"
#include "microvmi/init_params.hpp"

namespace microvmi::coredump_connector {
namespace {

// A count that an image tells and that nothing proves; CONFIG_NR_CPUS of Linux goes no further.
constexpr std::uint32_t kMostCounted = 8192;

// The state that the vCPUs had when the image was made.
class ImageRegisters final : public RegisterAccess {
 public:
  // Of `count` vCPUs; those beyond the list have no known register.
  ImageRegisters(std::vector<Registers> vcpus, std::uint32_t count)
      : vcpus_(std::move(vcpus)),
        count_(std::max<std::size_t>(vcpus_.size(), std::min(count, kMostCounted))) {}
  [[nodiscard]] bool any() const { return !vcpus_.empty(); }
  // Of the first vCPU of which it is known.
  [[nodiscard]] std::optional<std::uint64_t> first(Reg reg) const {
    for (const Registers& one : vcpus_)
      if (one[reg]) return one[reg];
    return std::nullopt;
  }

  [[nodiscard]] Expected<Registers> read(VcpuId vcpu) override {
    const auto index = static_cast<std::size_t>(vcpu);
    if (index < vcpus_.size()) return vcpus_[index];
    if (index < count_) return Registers{};
    return fail(Errc::not_found, "the image is of " + std::to_string(count_) +
                                     " vCPUs; there is no vCPU " + std::to_string(index));
  }
  [[nodiscard]] Expected<void> write(VcpuId, const Registers&) override {
    return fail(Errc::read_only, "an image's registers cannot be written");
  }

 private:
  std::vector<Registers> vcpus_;
  std::size_t count_;
};

class Coredump final : public Driver {
 public:
  explicit Coredump(Image image)
      : memory_(std::move(image.memory)),
        info_(std::move(image.info)),
        registers_(std::move(image.vcpus), info_.vcpus.value_or(0)) {
    info_.connector = "coredump";
    add_page_table();
  }
  PhysicalMemory& memory() override { return *memory_; }
  GuestInfo info() const override { return info_; }
  RegisterAccess* registers() override { return registers_.any() ? &registers_ : nullptr; }

 private:
  // Where to begin with virtual addresses.
  void add_page_table() {
    if (const auto cr3 = registers_.first(Reg::cr3))
      info_.facts.push_back({"cr3", fmt::format("{:#x}", *cr3)});
  }

  std::unique_ptr<PhysicalMemory> memory_;
  GuestInfo info_;
  ImageRegisters registers_;
};

Expected<const CoredumpParams*> args_of(const DriverInitParams& params) {
  const CoredumpParams* args = params.memflow && params.memflow->args
                                   ? std::get_if<CoredumpParams>(&*params.memflow->args)
                                   : nullptr;
  if (args) return args;
  return fail(Errc::not_applicable, "memflow.coredump.filepath is not given");
}

Expected<Source> source_of(const CoredumpParams& args, const InitOptions& options) {
  auto file = host::MappedFile::open(*args.filepath);
  if (!file) return std::unexpected(file.error());
  return Source{std::make_shared<const host::MappedFile>(*std::move(file)), args, options};
}

Expected<Readiness> probe(const DriverInitParams& params) {
  const auto args = args_of(params);
  if (!args) return std::unexpected(args.error());
  const InitOptions quiet;
  const auto source = source_of(**args, quiet);
  if (!source) return std::unexpected(source.error());
  const auto format = choose(*source);
  if (!format) return std::unexpected(format.error());
  const auto index = static_cast<std::size_t>((*format)->type());
  return Readiness{.note = std::string(kDumpFormatNames[index]) + " image"};
}

Expected<std::unique_ptr<Driver>> open(const DriverInitParams& params, const InitOptions& options) {
  const auto args = args_of(params);
  if (!args) return std::unexpected(args.error());
  const auto source = source_of(**args, options);
  if (!source) return std::unexpected(source.error());
  const auto format = choose(*source);
  if (!format) return std::unexpected(format.error());
  auto image = (*format)->open(*source);
  if (!image) return std::unexpected(std::move(image.error()));
  return std::make_unique<Coredump>(*std::move(image));
}

}  // namespace

extern const ConnectorInfo kConnector;
constinit const ConnectorInfo kConnector{
    .type = Connector::coredump, .summary = "Memory image in a file", .probe = probe, .open = open};

}  // namespace microvmi::coredump_connector
