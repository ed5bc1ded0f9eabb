#pragma once

/// What the node itself can refuse.

#include "base/result.hpp"

namespace tequio::node {

enum class errc {
    bad_config = 1,  ///< a configuration file with a line that cannot be meant
    not_found,       ///< a job or peer that this node does not know, or no such file
    refused,         ///< by the owner's policy, or not now
    not_in_version,  ///< understood, but this version lacks it
    bad_request,     ///< an API request that is not of the form it must have
    compute_failed,  ///< the worker could not do what it was asked
};

boost::system::error_code make_error_code(errc e);
using base::fail;

}  // namespace tequio::node
