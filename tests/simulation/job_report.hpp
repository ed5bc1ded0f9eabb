#pragma once

/// How `tequio-sim job` says what it found.

#include <boost/json/object.hpp>
#include <string>

#include "tests/simulation/job_run.hpp"

namespace tequio::simulation {

/// A table of lines, for people.
std::string report_text(const job_scenario& s, const job_report& r);
/// The same: `scenario` by option names, then every figure in bytes, seconds and shares.
boost::json::object report_json(const job_scenario& s, const job_report& r);

}  // namespace tequio::simulation
