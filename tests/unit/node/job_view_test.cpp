/// What a node says of its job.

#include <boost/test/unit_test.hpp>

#include "node/core/job.hpp"

namespace tequio::node {
namespace {

struct leaving_case {
    const char* what;
    std::vector<std::uint64_t> cuts;
    training::job_state state;
    std::uint32_t slices;          ///< that the crew divides the model into; 0: not known yet
    std::set<std::uint32_t> held;  ///< by others
    bool goes_on;
};

BOOST_AUTO_TEST_SUITE(job_view_suite)

BOOST_AUTO_TEST_CASE(others_go_on_with_a_divided_job_once_they_hold_every_slice) {
    using enum training::job_state;
    const leaving_case cases[] = {
        {"a model in one piece needs no holder", {}, running, 1, {}, true},
        {"nor one that could be divided and is not", {2, 4}, running, 1, {}, true},
        {"how it is divided is not known yet", {2, 4}, waiting, 0, {}, false},
        {"nobody else holds any", {2, 4}, running, 3, {}, false},
        {"one slice is with this node alone", {2, 4}, running, 3, {0, 2}, false},
        {"every slice is elsewhere", {2, 4}, running, 3, {0, 1, 2}, true},
        {"when it is done the means are enough", {2, 4}, done, 3, {}, true},
    };
    for (const auto& c : cases) {
        training::recipe r;
        r.model = {"gpt2", 6, 2, 32, 32, 256};
        r.slices.cuts = c.cuts;
        training::crew_view crew;
        crew.state = c.state;
        crew.slices = c.slices;
        BOOST_TEST(goes_on_with(r, crew, c.held) == c.goes_on, c.what);
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace tequio::node
