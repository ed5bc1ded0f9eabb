#include "tests/conformance/golden_digests.hpp"

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <fstream>
#include <map>

#include "training/numerics/target.hpp"

namespace tequio::tests {
namespace {

namespace numerics = training::numerics;

std::map<std::string, std::string> read(const std::string& path) {
    std::map<std::string, std::string> out;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        const auto space = line.find(' ');
        if (!line.starts_with('#')) out[line.substr(0, space)] = line.substr(space + 1);
    }
    return out;
}

void write(const golden_file& golden) {
    std::ofstream file(golden.path);
    file << golden.heading;
    for (const auto& [name, run] : golden.cases) file << name << ' ' << run() << '\n';
}

void check(const golden_file& golden) {
    const auto wanted = read(golden.path);
    BOOST_TEST(wanted.size() == golden.cases.size());
    for (const auto& [name, run] : golden.cases) {
        const auto found = wanted.find(name);
        BOOST_REQUIRE_MESSAGE(found != wanted.end(), name + " has no golden digest");
        BOOST_TEST(run() == found->second,
                   name << " on " << numerics::target_name() << " differs from the golden digest");
    }
}

}  // namespace

void check_references(const golden_file& golden) {
    const auto before = numerics::active_target();
    numerics::set_target(numerics::simd_target::reference);
    if (std::getenv("TEQUIO_WRITE_VECTORS") != nullptr) write(golden);
    check(golden);
    numerics::set_target(before);
}

void check_every_target(const golden_file& golden) {
    const auto before = numerics::active_target();
    for (const auto target : numerics::available_targets()) {
        numerics::set_target(target);
        check(golden);
    }
    numerics::set_target(before);
}

}  // namespace tequio::tests
