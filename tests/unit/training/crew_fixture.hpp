#pragma once

/// What the crew's unit tests share: a small job, nodes with keys, claims.

#include <boost/test/unit_test.hpp>

#include "base/sha256.hpp"
#include "training/crew/messages.hpp"
#include "training/crew/round_book.hpp"
#include "training/errc.hpp"

namespace tequio::training::crew_protocol {

constexpr base::time_point at(base::duration d) {
    return base::time_point(d);
}

inline job_shape small_shape(std::uint32_t lanes = 4) {
    return {base::task_id{base::sha256("task").bytes}, lanes, 6, 700, 500, true};
}

/// Node `i`, in the order of their ids.
inline base::node_id node(std::uint8_t i) {
    base::node_id id;
    id.bytes[0] = static_cast<std::uint8_t>(i + 1);
    return id;
}

inline base::signing_key key_of(const base::node_id& id) {
    return base::signing_key::from_seed(id.bytes);
}

inline base::digest result_of(std::string_view what) {
    return base::sha256(what);
}

inline base::digest trace_of(std::string_view what) {
    return base::sha256(std::string("trace of ") + std::string(what));
}

/// A claim by node `i` whose result is named `what`.
inline claim claim_by(std::uint8_t i, item_key key, std::string_view what) {
    const auto shape = small_shape();
    claim c;
    c.node = node(i);
    c.key = key;
    c.state = base::sha256("state");
    c.result = result_of(what);
    c.blob_size = key.item < shape.lanes ? shape.contribution_bytes : 300;
    c.loss = 2.5;
    c.commitment = commitment_of(c.result, trace_of(what), c.node);
    return c;
}

/// Of S(round), as the entries below have it.
inline base::digest state_digest(std::uint64_t round) {
    return base::sha256("state " + std::to_string(round));
}

/// Entry `round` of a chronicle of `small_shape()`, whose entries join up.
inline chronicle_entry entry_of(std::uint64_t round, std::string_view flavour = "") {
    const auto shape = small_shape();
    chronicle_entry e;
    e.round = {round};
    e.state_before = state_digest(round);
    e.validation_loss = 2.0;
    if (round == shape.rounds) {
        e.state_after = e.state_before;
        return e;
    }
    for (std::uint32_t lane = 0; lane < shape.lanes; ++lane) {
        e.contributions.push_back(
            base::sha256(std::string(flavour) + std::to_string(round * 100 + lane)));
    }
    e.sum = base::sha256("sum");
    e.mean = {base::sha256("mean " + std::to_string(round)), shape.mean_bytes};
    e.loss = 3;
    e.state_after = state_digest(round + 1);
    return e;
}

inline known_claim signed_claim(const claim& c) {
    signed_fact fact;
    fact.body = claim_body(small_shape().task, c);
    fact.signature = key_of(c.node).sign(signed_bytes(fact_kind::claim, fact.body));
    return {c, fact};
}

template <class Message>
Message through_the_wire(const Message& m, const job_shape& shape = small_shape()) {
    const auto decoded = decode(shape, encode(shape.task, m));
    BOOST_REQUIRE(decoded.has_value());
    BOOST_REQUIRE(std::holds_alternative<Message>(*decoded));
    return std::get<Message>(*decoded);
}

inline void refused(const message& m) {
    const auto shape = small_shape();
    const auto decoded = decode(shape, encode(shape.task, m));
    BOOST_REQUIRE(!decoded.has_value());
    BOOST_TEST(decoded.error().is(errc::bad_message));
}

/// A fresh book of round 2 at node `i`.
inline round_book book_at(std::uint8_t i) {
    return round_book(small_shape(), 2, base::sha256("state"), node(i));
}

/// Results by item for closing such a book: every lane "right", and so on.
inline std::vector<base::digest> right_results() {
    return std::vector<base::digest>(small_shape().items(), result_of("right"));
}

}  // namespace tequio::training::crew_protocol
