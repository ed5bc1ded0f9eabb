#pragma once

/// What training can refuse. One category object, in errc.cpp.

#include "base/result.hpp"

namespace tequio::training {

/// Reasons, each with what it means.
enum class errc {
    bad_recipe = 1,      ///< a recipe's text is not canonical, or a field is out of bounds
    bad_job_file,        ///< a job file has a line that cannot be meant
    not_in_version,      ///< understood, but this version lacks it; the sentence says what it has
    bad_data,            ///< the data cannot be trained on
    bad_task,            ///< a task's text is not canonical, or a field is out of bounds
    task_too_large,      ///< a task above `task_size_max_bytes`
    task_unsigned,       ///< a task or cancellation without a valid signature of its submitter
    task_expired,        ///< its deadline has passed
    task_from_future,    ///< created later than now by more than clocks may differ
    task_wrong_swarm,    ///< made for another swarm
    task_replayed,       ///< this task is known already
    task_exactness,      ///< made for another exactness identity
    refused_by_policy,   ///< the owner of this node does not want it
    bad_contribution,    ///< bytes that are no canonical contribution to this recipe
    incomplete_sum,      ///< a sum was asked for before every lane was added
    bad_chronicle,       ///< a chronicle entry that is not canonical
    not_finite,          ///< a value that must be finite is not; for a lane see `diverged`
    stopped,             ///< the caller's `keep_going` said no
    bad_state,           ///< a state or model folder does not have the form its recipe asks for
    out_of_memory,       ///< the arena does not fit into what may be used
    bad_message,         ///< a crew message that breaks the protocol
    environment_changed  ///< the floating-point environment is not what the profile asks for
};

boost::system::error_code make_error_code(errc e);
using base::fail;

}  // namespace tequio::training

namespace boost::system {
template <>
struct is_error_code_enum<tequio::training::errc> : std::true_type {};
}  // namespace boost::system
