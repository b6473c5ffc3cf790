// SPDX-License-Identifier: Apache-2.0
// Raw images alone, as one region from address 0; the other layouts are still to come.
#include "microvmi/connector/coredump.hpp"

#include <algorithm>
#include <cstring>

#include "connector/coredump/native.hpp"
#include "microvmi/init_params.hpp"
#include "microvmi/registry.hpp"

namespace microvmi::coredump_connector {
namespace {

class Image final : public PhysicalMemory {
 public:
  explicit Image(MappedFile file) : file_(std::make_shared<const MappedFile>(std::move(file))) {
    map_ = std::make_shared<const MemoryMap>(
        MemoryMap{.regions = {{.gpa = Gpa{}, .size = bytes().size()}}});
  }

  std::shared_ptr<const MemoryMap> map() const override { return map_; }
  Expected<void> refresh() override { return {}; }

  View view(Gpa gpa, std::size_t size) const override {
    const std::uint64_t start = to_integer(gpa);
    if (start > bytes().size() || size > bytes().size() - start) return {};
    return {file_, bytes().subspan(start, size)};
  }

 protected:
  void read_batch(std::span<ReadRequest> batch) const override {
    for (ReadRequest& request : batch) {
      const std::uint64_t start = std::min(to_integer(request.gpa), bytes().size());
      request.done = std::min(request.into.size(), bytes().size() - start);
      if (request.done != 0) std::memcpy(request.into.data(), bytes().data() + start, request.done);
      if (request.done == request.into.size()) continue;
      request.status = Errc::hole;
      request.failed_at = request.gpa + request.done;
    }
  }

  void write_batch(std::span<WriteRequest> batch) override {
    for (WriteRequest& request : batch) request.status = Errc::read_only;
  }

 private:
  [[nodiscard]] std::span<const std::byte> bytes() const { return file_->bytes(); }

  std::shared_ptr<const MappedFile> file_;
  std::shared_ptr<const MemoryMap> map_;
};

class Coredump final : public Driver {
 public:
  explicit Coredump(MappedFile file) : memory_(std::move(file)) {}
  PhysicalMemory& memory() override { return memory_; }
  GuestInfo info() const override { return {.connector = "coredump"}; }

 private:
  Image memory_;
};

const CoredumpParams* args_of(const DriverInitParams& params) {
  return params.memflow && params.memflow->args
             ? std::get_if<CoredumpParams>(&*params.memflow->args)
             : nullptr;
}

Expected<Readiness> probe(const DriverInitParams& params) {
  const CoredumpParams* args = args_of(params);
  if (!args) return fail(Errc::not_applicable, "memflow.coredump.filepath is not given");
  std::error_code ec;
  if (!std::filesystem::is_regular_file(*args->filepath, ec))
    return fail(Errc::not_found, args->filepath->string() + " is not a file");
  return Readiness{};
}

Expected<std::unique_ptr<Driver>> open(const DriverInitParams& params, const InitOptions&) {
  const CoredumpParams* args = args_of(params);
  if (!args) return fail(Errc::not_applicable, "memflow.coredump.filepath is not given");
  if (args->format != DumpFormat::raw || !args->map.empty())
    return fail(Errc::not_supported, "only memflow.coredump.format=raw without a map is written");
  auto file = MappedFile::open(*args->filepath);
  if (!file) return std::unexpected(file.error());
  return std::make_unique<Coredump>(*std::move(file));
}

}  // namespace

extern const ConnectorInfo kConnector;
constinit const ConnectorInfo kConnector{
    .type = Connector::coredump, .summary = "Memory image in a file", .probe = probe, .open = open};

}  // namespace microvmi::coredump_connector
