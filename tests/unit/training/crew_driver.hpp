#pragma once

/// One core among scripted neighbours.

#include "tests/unit/training/crew_fixture.hpp"
#include "training/crew.hpp"
#include "training/errc.hpp"

namespace tequio::training::crew_protocol {

inline crew_config config_of(std::uint8_t i) {
    const auto shape = small_shape();
    crew_config c;
    c.task = shape.task;
    c.self = node(i);
    c.lanes = shape.lanes;
    c.rounds = shape.rounds;
    c.contribution_bytes = shape.contribution_bytes;
    c.mean_bytes = shape.mean_bytes;
    c.validation = true;
    c.keys.sign = [i](base::byte_view bytes) { return key_of(node(i)).sign(bytes); };
    const auto own = key_of(node(i)).public_part();
    c.keys.certificate = {own.bytes.begin(), own.bytes.end()};
    c.keys.verify_certificate = [](const base::node_id& id,
                                   base::byte_view certificate) -> base::result<base::public_key> {
        const auto key = key_of(id).public_part();
        if (!std::ranges::equal(certificate, key.view())) {
            return fail(errc::bad_message, "not certified");
        }
        return key;
    };
    return c;
}

inline base::byte_vector certificate_of(std::uint8_t i) {
    const auto key = key_of(node(i)).public_part();
    return {key.bytes.begin(), key.bytes.end()};
}

/// A core with a clock, whose worker has made S(0) = "state".
struct driven {
    explicit driven(std::uint8_t i, crew_memory memory = {})
        : driven(config_of(i), std::move(memory)) {}
    explicit driven(crew_config config, crew_memory memory = {})
        : core(std::move(config), std::move(memory), base::rng(1)) {}

    base::result<void> feed(const crew_event& e, base::duration later = {}) {
        now += later;
        out.clear();
        auto verdict = core.handle(now, e, out);
        core.check();
        all.insert(all.end(), out.begin(), out.end());
        return verdict;
    }
    void beat(int times = 1) {
        for (int i = 0; i < times; ++i) (void)feed(crew_tick{}, std::chrono::milliseconds(500));
    }
    /// The work item begun last among everything so far.
    std::optional<work_item> work() const {
        std::optional<work_item> found;
        for (const auto& e : all) {
            if (const auto* b = std::get_if<begin_work>(&e)) found = b->item;
            if (std::holds_alternative<stop_work>(e)) found.reset();
        }
        return found;
    }
    void prepare() {
        (void)feed(crew_tick{});
        BOOST_REQUIRE(work().has_value());
        work_outcome outcome;
        outcome.state_after = base::sha256("state");
        (void)feed(work_done{*work(), outcome});
    }
    void lane_done(std::string_view what) {
        const auto item = work();
        BOOST_REQUIRE(item.has_value());
        work_outcome outcome;
        outcome.blob = {result_of(what), small_shape().contribution_bytes};
        outcome.loss = 2.5;
        outcome.trace = trace_of(what);
        (void)feed(work_done{*item, outcome});
    }
    template <class Effect>
    std::vector<Effect> effects() const {
        std::vector<Effect> found;
        for (const auto& e : all) {
            if (const auto* x = std::get_if<Effect>(&e)) found.push_back(*x);
        }
        return found;
    }

    crew core;
    base::time_point now{};
    std::vector<crew_effect> out, all;
};

inline crew_message from(std::uint8_t i, const message& m) {
    return {node(i), encode(small_shape().task, m)};
}

inline facts claims_message(std::uint8_t i, const claim& c) {
    facts m;
    m.certificates.emplace_back(node(i), certificate_of(i));
    m.claims.push_back(signed_claim(c).fact);
    return m;
}

inline claim lane_claim(std::uint8_t i, std::uint32_t lane, std::string_view what) {
    return claim_by(i, {0, lane}, what);
}

}  // namespace tequio::training::crew_protocol
