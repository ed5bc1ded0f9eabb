#include "node/io/store_files.hpp"

#include <sys/stat.h>

#include <algorithm>

#include "base/text.hpp"
#include "node/io/blob_store.hpp"
#include "node/io/key_value_store.hpp"
#include "training/crew.hpp"

namespace tequio::node {
namespace {

constexpr std::string_view part_ending = ".part";

std::optional<stored_blob> stored_blob_at(const std::filesystem::path& path) {
    auto name = path.filename().string();
    if (name.ends_with(part_ending)) name.resize(name.size() - part_ending.size());
    const auto ref = blob_ref_of_file(std::move(name));
    struct stat info {};
    if (!ref || ::stat(path.c_str(), &info) != 0) return std::nullopt;
    return stored_blob{*ref, static_cast<std::uint64_t>(info.st_size), {info.st_mtime}};
}

/// (bucket, key) -> value, as node.db holds them.
using node_items = std::map<std::pair<std::string, std::string>, std::string>;

/// What the items of one job say.
class job_reader {
public:
    explicit job_reader(const node_items& items) : items_(items) {}

    std::optional<stored_job> read(const std::string& hex) const {
        const auto* note = value("job/" + hex, "note");
        const auto id = base::parse_id<base::task_id>(hex);
        if (!note || !id) return std::nullopt;
        auto task = training::parse_task(*note);
        if (!task) return std::nullopt;
        stored_job out;
        out.id = *id;
        out.task = std::make_shared<const training::task>(std::move(*task));
        read_chronicle(hex, out);
        read_end(hex, out);
        return out;
    }

private:
    const std::string* value(const std::string& bucket, const std::string& key) const {
        const auto it = items_.find({bucket, key});
        return it == items_.end() ? nullptr : &it->second;
    }
    void read_chronicle(const std::string& hex, stored_job& out) const {
        const auto bucket = "entry/" + hex;
        for (auto it = items_.lower_bound({bucket, ""});
             it != items_.end() && it->first.first == bucket; ++it) {
            auto entry = training::parse_chronicle_entry(it->second);
            if (!entry || entry->round.value != out.chronicle.size()) break;
            out.chronicle.push_back(std::move(*entry));
        }
        const auto* states = value("fact/" + hex, training::crew_states_key);
        const auto named = training::decode_states(base::as_bytes(states ? *states : ""));
        if (!named) return;
        for (const auto& [round, ref] : named->kept) out.full_states.push_back(ref);
    }
    void read_end(const std::string& hex, stored_job& out) const {
        const auto bucket = "job/" + hex;
        constexpr std::string_view file = "file:";
        for (auto it = items_.lower_bound({bucket, std::string(file)});
             it != items_.end() && it->first.first == bucket && it->first.second.starts_with(file);
             ++it) {
            if (const auto ref = base::parse_blob_ref(it->second))
                out.files[it->first.second.substr(file.size())] = *ref;
        }
        // "final": the crew's own word on how it ended, its number first.
        const auto* final = value("fact/" + hex, "final");
        const bool cancelled = value(bucket, "cancelled") != nullptr;
        const bool done = !out.files.empty() || (final && final->starts_with('2'));
        const auto* ended = value(bucket, "ended");
        out.open = !ended && !cancelled && !final && out.files.empty();
        out.state = out.open ? "open" : cancelled ? "cancelled" : done ? "done" : "failed";
        if (ended) {
            if (const auto at = base::parse_i64(*ended)) out.ended = base::unix_time{*at};
        }
    }

    const node_items& items_;
};

}  // namespace

std::vector<stored_blob> list_blob_files(const std::filesystem::path& data_dir) {
    std::vector<stored_blob> out;
    std::error_code ec;
    for (const auto& group : std::filesystem::directory_iterator(data_dir / "blobs", ec)) {
        std::error_code inner;
        for (const auto& file : std::filesystem::directory_iterator(group.path(), inner)) {
            if (auto blob = stored_blob_at(file.path())) out.push_back(*blob);
        }
    }
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.ref < b.ref; });
    return out;
}

base::result<std::vector<stored_job>> read_stored_jobs(const std::filesystem::path& data_dir) {
    std::vector<stored_job> out;
    const auto file = data_dir / "node.db";
    std::error_code ec;
    if (!std::filesystem::exists(file, ec)) return out;
    TEQUIO_TRY(const auto memory, key_value_store::open_read_only(file));
    TEQUIO_TRY(auto stored, memory->load_all());
    node_items items;
    std::vector<std::string> jobs;
    for (auto& item : stored) {
        if (item.bucket.starts_with("job/") && item.key == "note") {
            jobs.push_back(item.bucket.substr(4));
        }
        items.emplace(std::pair(std::move(item.bucket), std::move(item.key)),
                      std::move(item.value));
    }
    const job_reader reader(items);
    for (const auto& hex : jobs) {
        if (auto job = reader.read(hex)) out.push_back(std::move(*job));
    }
    return out;
}

base::result<void> prune_files(const std::filesystem::path& data_dir, const store_survey& survey,
                               const std::vector<stored_job>& jobs, base::unix_time now) {
    std::vector<store_change> changes;
    for (const auto& share : survey.jobs) {
        if (!share.expired) continue;
        const auto hex = share.id.hex();
        const auto job =
            std::find_if(jobs.begin(), jobs.end(), [&](const auto& j) { return j.id == share.id; });
        if (job != jobs.end() && job->task->deadline > now) {
            changes.push_back(
                {std::string(forgotten_bucket), hex, std::to_string(job->task->deadline.seconds)});
        }
        for (const char* bucket : job_buckets)
            changes.push_back({bucket + hex, std::nullopt, std::nullopt});
    }
    if (!changes.empty()) {
        TEQUIO_TRY(const auto memory, key_value_store::open(data_dir / "node.db"));
        TEQUIO_CHECK(memory->apply(changes));
    }
    TEQUIO_TRY(const auto blobs, blob_store::open(data_dir / "blobs", {}));
    for (const auto& blob : survey.spare) TEQUIO_CHECK(blobs->remove(blob.ref));
    return {};
}

std::uint64_t store_space::room(std::uint64_t used) const {
    const auto kept = static_cast<std::uint64_t>(keep_free * static_cast<double>(capacity));
    const auto below_limit = limit - std::min(limit, used);
    return std::min(below_limit, available - std::min(available, kept));
}

store_space space_of(const std::filesystem::path& data_dir, std::uint64_t limit, double keep_free) {
    store_space out;
    out.limit = limit;
    out.keep_free = keep_free;
    std::error_code ec;
    const auto space = std::filesystem::space(data_dir, ec);
    if (!ec) {
        out.capacity = space.capacity;
        out.available = space.available;
    }
    for (const char* name : {"node.db", "node.db-wal", "ledger.db", "ledger.db-wal"}) {
        const auto size = std::filesystem::file_size(data_dir / name, ec);
        if (!ec) out.databases += size;
    }
    return out;
}

}  // namespace tequio::node
