#include "node/cli/job_archive.hpp"

#include <fcntl.h>

#include <cerrno>

#include "node/cli/context.hpp"
#include "node/io/key_value_store.hpp"

namespace tequio::node {
namespace {

constexpr std::string_view job_bucket = "job/";

/// The one job that begins with `id`, in full digits; "" for none.
base::result<std::string> full_id(const std::vector<stored_item>& items, const std::string& id) {
    std::string found;
    for (const auto& item : items) {
        if (!item.bucket.starts_with(job_bucket) || item.key != "note") continue;
        const auto hex = item.bucket.substr(job_bucket.size());
        if (!hex.starts_with(id)) continue;
        if (!found.empty()) {
            return ends_with(exit_code::usage, "several jobs begin with " + id + ": " + found +
                                                   " and " + hex + "; give more digits");
        }
        found = hex;
    }
    return found;
}

}  // namespace

base::result<std::optional<archived_job>> find_archived_job(const std::filesystem::path& data_dir,
                                                            const std::string& id) {
    const auto file = data_dir / "node.db";
    std::error_code ec;
    if (!std::filesystem::exists(file, ec)) return std::optional<archived_job>();
    TEQUIO_TRY(const auto store, key_value_store::open_read_only(file));
    TEQUIO_TRY(const auto items, store->load_all());
    TEQUIO_TRY(const auto hex, full_id(items, id));
    if (hex.empty()) return std::optional<archived_job>();
    archived_job out;
    TEQUIO_TRY(out.id, base::parse_id<base::task_id>(hex));
    for (const auto& item : items) {
        if (item.bucket == std::string(job_bucket) + hex && item.key == "note") {
            TEQUIO_TRY(out.task, training::parse_task(item.value));
        } else if (item.bucket == "entry/" + hex) {  // keys ascend with rounds
            TEQUIO_TRY(auto entry, training::parse_chronicle_entry(item.value));
            if (entry.round.value != out.chronicle.size()) break;
            out.chronicle.push_back(std::move(entry));
        }
    }
    return std::optional(std::move(out));
}

base::result<worker_input_file> open_archived_blob(const std::filesystem::path& data_dir,
                                                   const base::blob_ref& ref) {
    const auto hex = ref.root.hex();
    const auto path =
        data_dir / "blobs" / hex.substr(0, 2) / (hex + "-" + std::to_string(ref.size));
    unique_fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return io_error(path, "open", errno);
    return worker_input_file{ref, std::move(fd)};
}

}  // namespace tequio::node
