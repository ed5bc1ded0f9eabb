#pragma once

/// What `tequio store` says, the same with a daemon and without.

#include <boost/json/object.hpp>

#include "node/io/store_files.hpp"

namespace tequio::node {

/// `store show`: `jobs[]` with `bytes` by kind, totals, what there is room for, what `prune` would
/// free.
boost::json::object store_json(const store_survey& survey, const store_space& space);
/// `store prune`: what goes, or with `dry_run` would go.
boost::json::object prune_json(const store_survey& survey, bool dry_run);

}  // namespace tequio::node
