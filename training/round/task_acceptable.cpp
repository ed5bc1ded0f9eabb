#include <algorithm>

#include "training/errc.hpp"
#include "training/round/lines.hpp"
#include "training/task.hpp"

namespace tequio::training {
namespace {

template <class T>
bool has(const std::vector<T>& list, const T& item) {
    return std::find(list.begin(), list.end(), item) != list.end();
}

base::result<void> check_policy(const task& t, const task_policy& policy) {
    const auto refuse = [](std::string why) {
        return fail(errc::refused_by_policy, std::move(why));
    };
    if (has(policy.blocked, t.submitter)) {
        return refuse("submitter " + t.submitter.brief() + " is blocked here");
    }
    if (!policy.submitters.empty() && !has(policy.submitters, t.submitter)) {
        return refuse("submitter " + t.submitter.brief() +
                      " is not among those accepted (accept.submitters)");
    }
    for (const auto& license : {t.data_license, t.model_license, t.base_license}) {
        if (license.empty() || policy.licenses.empty() || has(policy.licenses, license)) continue;
        return refuse("licence " + quoted(license) + " is not accepted here (accept.licenses)");
    }
    const auto parameters = parameter_count(t.work.model).value_or(recipe_limits::parameters);
    if (parameters > policy.max_parameters) {
        return refuse("the model has " + std::to_string(parameters) +
                      " parameters, accepted are at most " + std::to_string(policy.max_parameters) +
                      " (accept.max_parameters)");
    }
    if (task_blob_bytes(t) > policy.max_data_bytes) {
        return refuse("the data" +
                      std::string(t.work.model.init ? " and the weights to start from" : "") +
                      " have " + std::to_string(task_blob_bytes(t)) + " bytes, there is room for " +
                      std::to_string(policy.max_data_bytes) + " (limits.disk)");
    }
    return {};
}

}  // namespace

base::result<void> task_acceptable(const task& t, const task_circumstances& here,
                                   const task_policy& policy) {
    if (t.swarm != here.swarm) {
        return fail(errc::task_wrong_swarm, "the task is for swarm " + t.swarm.brief() +
                                                ", this is swarm " + here.swarm.brief());
    }
    if (t.created.seconds - here.now.seconds > task_clock_skew_max_seconds) {
        return fail(errc::task_from_future, "the task was created at " +
                                                base::to_rfc3339(t.created) + ", here it is " +
                                                base::to_rfc3339(here.now) + ": check the clocks");
    }
    if (t.deadline <= here.now) {
        return fail(errc::task_expired, "the task expired at " + base::to_rfc3339(t.deadline));
    }
    if (here.known) return fail(errc::task_replayed, "the task is known here already");
    if (t.exactness != here.exactness) {
        return fail(errc::task_exactness, "the task asks for " + quoted(t.exactness) +
                                              ", this node computes " + quoted(here.exactness));
    }
    return check_policy(t, policy);
}

}  // namespace tequio::training
