// A task made to produce subnormals slows a lane by less than a tenth (the issue of exact
// numerics). Two cases, for processors differ. The first measures lanes on this one. The second
// counts, on any x86-64 processor, what one would pay that hands subnormals to microcode;
// NUMERICS.md, ground rule 2, has the price.

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tests/conformance/subnormal_job.hpp"
#include "tests/support/assist_meter.hpp"
#include "training/engine.hpp"
#include "training/numerics/environment.hpp"

namespace tequio::tests {
namespace {

constexpr double slowdown_max = 1.10;
constexpr double assist_seconds = 39e-9;

/// One thread; counts assists between the start of a lane's first batch and its contribution, where
/// nothing else looks at the floating-point environment.
class metered_executor final : public training::executor {
public:
    unsigned threads() const override { return 1; }
    void run(std::size_t tasks, training::task_ref body) override {
        for (std::size_t task = 0; task < tasks; ++task) body(task, 0);
    }
    void note(const training::kernel_note& kernel) override {
        const std::string_view name = kernel.name;
        if (most_ > 0 && !counting_ && name == "reading the batch") {
            counting_ = true;
            start_assist_meter(most_);
        } else if (counting_ && name == "contribution") {
            counting_ = false;
            assists_ = stop_assist_meter();
        }
    }
    /// Of the next lanes; 0: none are counted.
    void count(std::uint64_t most) { most_ = most; }
    std::uint64_t assists() const { return assists_; }

private:
    std::uint64_t most_ = 0;
    std::uint64_t assists_ = 0;
    bool counting_ = false;
};

/// A job whose first lane is run over and over.
class repeated_lane {
public:
    explicit repeated_lane(lane_job job) : job_(std::move(job)) {
        engine_ = training::engine::create(job_.work, job_.view(), run, {}, job_.weights).value();
        parameters_.resize(engine_->layout().padded_size);
        momentum_.resize(engine_->layout().padded_size);
        engine_->initial_state({parameters_, momentum_});
    }
    /// Seconds. A lane that diverges fails the test: it would end early.
    double seconds() {
        const auto begin = std::chrono::steady_clock::now();
        const auto result = engine_->run_lane({parameters_, momentum_}, {0}, {0},
                                              [](std::uint64_t) { return true; });
        const auto end = std::chrono::steady_clock::now();
        BOOST_REQUIRE_MESSAGE(result, result.error().message());
        BOOST_REQUIRE_MESSAGE(std::holds_alternative<base::byte_vector>(result->outcome),
                              "a lane stays finite");
        return std::chrono::duration<double>(end - begin).count();
    }
    /// Assists in one lane; more than `most` are not counted.
    std::uint64_t assists(std::uint64_t most) {
        run.count(most + 1);
        (void)seconds();
        run.count(0);
        return run.assists();
    }

private:
    metered_executor run;
    lane_job job_;
    std::unique_ptr<training::engine> engine_;
    std::vector<float> parameters_, momentum_;
};

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

std::string name_of(const subnormal_attack& attack) {
    return std::string(attack.family) + ", " + std::string(attack.name);
}

/// Medians of the ratios of lanes run one after the other. Each engine is made anew some times, for
/// where its memory comes to lie is worth some per cent.
double measured_slowdown(const subnormal_attack& attack) {
    constexpr int engines = 3;
    constexpr int pairs = 7;
    std::vector<double> ratios;
    for (int i = 0; i < engines; ++i) {
        repeated_lane ordinary(ordinary_job(attack.family));
        repeated_lane hostile(hostile_job(attack));
        (void)ordinary.seconds();
        (void)hostile.seconds();
        for (int pair = 0; pair < pairs; ++pair) {
            const double usual = ordinary.seconds();
            ratios.push_back(hostile.seconds() / usual);
        }
    }
    return median(ratios);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(subnormal_lanes)

BOOST_AUTO_TEST_CASE(attacks_slow_a_lane_by_less_than_a_tenth) {
    training::numerics::set_float_environment();
    for (const auto& attack : subnormal_attacks()) {
        const double slowdown = measured_slowdown(attack);
        BOOST_TEST_MESSAGE(name_of(attack) << ": " << slowdown << " of the ordinary lane's time");
        BOOST_TEST(slowdown < slowdown_max, name_of(attack) << ": " << slowdown);
    }
}

BOOST_AUTO_TEST_CASE(attacks_would_cost_less_than_a_tenth_in_microcode,
                     *boost::unit_test::precondition([](boost::unit_test::test_unit_id) {
                         return assist_meter_works();
                     })) {
    training::numerics::set_float_environment();
    for (const auto& attack : subnormal_attacks()) {
        repeated_lane ordinary(ordinary_job(attack.family));
        repeated_lane hostile(hostile_job(attack));
        (void)ordinary.seconds();
        const double lane = median({ordinary.seconds(), ordinary.seconds(), ordinary.seconds()});
        const auto allowed =
            static_cast<std::uint64_t>((slowdown_max - 1.0) * lane / assist_seconds);
        const auto assists = hostile.assists(allowed);
        BOOST_TEST_MESSAGE(name_of(attack) << ": " << assists << " assists, " << allowed
                                           << " are a tenth of a lane");
        BOOST_TEST(assists < allowed, name_of(attack) << ": " << assists << " assists");
    }
}

BOOST_AUTO_TEST_CASE(the_meter_counts_what_it_says,
                     *boost::unit_test::precondition([](boost::unit_test::test_unit_id) {
                         return assist_meter_works();
                     })) {
    volatile float tiny = 0x1p-126F, less = 0x1.8p-126F, half = 0.5F, one = 1.0F, out = 0;
    const auto count = [](std::uint64_t most, auto work) {
        start_assist_meter(most);
        for (int i = 0; i < 10; ++i) work();
        return stop_assist_meter();
    };
    BOOST_TEST(count(100, [&] { out = one * half; }) == 0U);
    BOOST_TEST(count(100, [&] { out = tiny * half; }) == 10U);
    BOOST_TEST(count(100, [&] { out = out * one; }) == 10U);
    BOOST_TEST(count(5, [&] { out = tiny * half; }) == 5U);
    BOOST_TEST(count(100, [&] { out = less - tiny; }) == 0U);
    BOOST_TEST((out == 0x1p-127F));
    BOOST_TEST(training::numerics::float_environment_ok());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::tests
