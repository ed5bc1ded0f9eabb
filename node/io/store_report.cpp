#include "node/io/store_report.hpp"

#include <boost/json/array.hpp>

namespace tequio::node {
namespace {

namespace json = boost::json;

json::value time_or_null(const std::optional<base::unix_time>& at) {
    return at ? json::value(base::to_rfc3339(*at)) : json::value(nullptr);
}

json::object share_json(const job_share& share) {
    json::object bytes;
    for (std::size_t i = 0; i < blob_kinds; ++i) {
        bytes[blob_kind_name(static_cast<blob_kind>(i))] = share.bytes[i];
    }
    return {{"task", share.id.hex()},
            {"name", share.name},
            {"state", share.state},
            {"ended", time_or_null(share.ended)},
            {"kept_until", time_or_null(share.kept_until)},
            {"bytes", std::move(bytes)},
            {"total_bytes", share.total},
            {"prunable_bytes", share.prunable}};
}

}  // namespace

json::object store_json(const store_survey& survey, const store_space& space) {
    json::array jobs;
    for (const auto& share : survey.jobs) jobs.push_back(share_json(share));
    return {{"jobs", std::move(jobs)},
            {"unowned_bytes", survey.unowned},
            {"used_bytes", survey.used},
            {"limit_bytes", space.limit},
            {"database_bytes", space.databases},
            {"disk_bytes", space.capacity},
            {"free_bytes", space.available},
            {"keep_free", space.keep_free},
            {"room_bytes", space.room(survey.used)},
            {"prunable_bytes", survey.prunable}};
}

json::object prune_json(const store_survey& survey, bool dry_run) {
    json::array jobs;
    for (const auto& share : survey.jobs) {
        if (share.prunable == 0 && !share.expired) continue;
        jobs.push_back(json::object{{"task", share.id.hex()},
                                    {"name", share.name},
                                    {"forgotten", share.expired},
                                    {"freed_bytes", share.prunable}});
    }
    return {{"dry_run", dry_run},
            {"jobs", std::move(jobs)},
            {"blobs", survey.spare.size()},
            {"freed_bytes", survey.prunable}};
}

}  // namespace tequio::node
