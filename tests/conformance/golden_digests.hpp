#pragma once

/// Golden digests of kernels: a file of lines "NAME DIGEST", lines that begin with # apart, beside
/// the cases that must come to them.

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace tequio::tests {

/// What a case comes to on the dispatch target that is active, as hex digits.
using golden_case = std::pair<std::string, std::function<std::string()>>;

struct golden_file {
    std::string path;
    std::string heading;             ///< its first lines, each with its #
    std::vector<golden_case> cases;  ///< in the order of the file
};

/// Every case as the plain references compute it. With TEQUIO_WRITE_VECTORS=1 in the environment
/// the file is written from them first.
void check_references(const golden_file& golden);
/// Every case on every dispatch target that this machine has.
void check_every_target(const golden_file& golden);

}  // namespace tequio::tests
