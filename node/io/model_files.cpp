#include "node/io/model_files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/ensure.hpp"

namespace tequio::node {

base::result<mapped_model> mapped_model::open(const std::filesystem::path& folder) {
    mapped_model out;
    TEQUIO_TRY(out.config_, mapped_file::open(folder / training::config_file_name));
    std::error_code ec;
    std::vector<std::string> names{training::weights_file_name};
    // In this order transformers looks for them.
    if (!std::filesystem::exists(folder / training::weights_file_name, ec) &&
        std::filesystem::exists(folder / training::index_file_name, ec)) {
        TEQUIO_TRY(out.index_, mapped_file::open(folder / training::index_file_name));
        TEQUIO_TRY(names, training::shard_names(out.index_->bytes()));
    }
    for (const auto& name : names) {
        TEQUIO_TRY(auto file, mapped_file::open(folder / name));
        out.weights_.emplace(name, std::move(file));
    }
    return out;
}

training::folder_view mapped_model::view() const {
    training::folder_view out;
    out.config = config_.bytes();
    if (index_) out.index = index_->bytes();
    for (const auto& [name, file] : weights_) out.weights[name] = file.bytes();
    return out;
}

base::result<void> write_weights(const std::filesystem::path& path,
                                 const training::weights_plan& plan,
                                 const training::state_layout& slice,
                                 std::span<const float> parameters) {
    base::ensure(parameters.size() == slice.padded_size, "parameters of this slice");
    const unique_fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    if (!file) return io_error(path, "create", errno);
    if (::ftruncate(file.get(), static_cast<off_t>(plan.size)) != 0) {
        return io_error(path, "reserve space for", errno);
    }
    TEQUIO_CHECK(write_at(file.get(), plan.header, 0, path));
    const auto& all = plan.layout;
    for (const auto& t : slice.tensors) {
        const auto at = static_cast<std::size_t>(&all.tensor(t.name) - all.tensors.data());
        const auto values = parameters.subspan(t.offset, t.size);
        TEQUIO_CHECK(write_at(file.get(), training::float_bytes(values), plan.places[at], path));
    }
    if (::fsync(file.get()) != 0) return io_error(path, "sync", errno);
    return {};
}

void remove_other_weights(const std::filesystem::path& folder, const std::set<std::string>& kept) {
    std::error_code ignored;
    std::vector<std::filesystem::path> old;
    for (const auto& item : std::filesystem::directory_iterator(folder, ignored)) {
        const auto name = item.path().filename().string();
        const bool weights = name == training::weights_file_name ||
                             name == training::index_file_name ||
                             (name.starts_with("model-") && name.ends_with(".safetensors"));
        if (weights && !kept.contains(name)) old.push_back(item.path());
    }
    for (const auto& path : old) std::filesystem::remove(path, ignored);
}

bool holds_model(const std::filesystem::path& folder) {
    std::error_code ec;
    return std::filesystem::exists(folder / training::weights_file_name, ec) ||
           std::filesystem::exists(folder / training::index_file_name, ec);
}

}  // namespace tequio::node
