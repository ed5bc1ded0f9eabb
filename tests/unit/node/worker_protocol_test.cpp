#include "node/worker/protocol.hpp"

#include <rapidcheck.h>

#include <boost/test/unit_test.hpp>

#include "base/rng.hpp"

using namespace tequio;
using namespace tequio::node;

namespace {

base::digest digest_of(std::uint8_t fill) {
    base::digest out;
    out.bytes.fill(fill);
    return out;
}

compute_item sums_item(std::size_t sums) {
    compute_item out{8, compute_kind::sum_lanes, compute_engine::fast, {3}, {0}, 4};
    out.sums.assign(sums, {{17, 5}, {60, 4}});
    return out;
}
compute_item adding_item(std::uint32_t sums) {
    compute_item out{8, compute_kind::add_sums, compute_engine::fast, {3}, {0}, sums, 17, 5};
    out.sums.assign(sums, {{16, 9}, {4, 4}});
    return out;
}

std::vector<worker_command> every_command() {
    return {
        worker_open_job{"tequio/recipe/v1\n[model]\n", 1},
        worker_open_job{"tequio/recipe/v1\n[model]\n", worker_blobs_max},
        worker_begin{{7, compute_kind::lane, compute_engine::reference, {3}, {2}, 0}},
        worker_begin{{8, compute_kind::sum, compute_engine::fast, {3}, {0}, worker_inputs_max}},
        worker_begin{{8, compute_kind::sum_shard, compute_engine::fast, {3}, {0}, 4, 17, 5}},
        worker_begin{{8, compute_kind::join, compute_engine::fast, {3}, {0}, 3}},
        worker_begin{sums_item(1)},
        worker_begin{adding_item(2)},
        worker_begin{adding_item(worker_sums_max)},
        worker_begin{{9, compute_kind::load, compute_engine::fast, {30}, {0}, 1}},
        worker_begin{{9, compute_kind::apply, compute_engine::fast, {3}, {0}, 1}},
        worker_input{8, 5, {digest_of(1), 262144}, false},
        worker_input{8, 6, {}, true},
        worker_open_job{"tequio/recipe/v1\n[model]\n", 1, 2, 3},
        worker_begin{{9, compute_kind::lane, compute_engine::fast, {3}, {2}, 0, 0, 0, true}},
        worker_team_in{8, 1, {5, training::team_word::gradients, 3}, 4, {1, 2, 3, 4}},
        worker_team_in{8, 1, {5, training::team_word::blocks, 3}, team_inline_bytes_max + 1, {}},
        worker_team_credit{8, 2},
        worker_stop{8},
        worker_close_job{},
        worker_hand_back_memory{},
    };
}

std::vector<worker_report> every_report() {
    compute_outcome done{
        digest_of(2), {digest_of(3), 99}, std::nullopt, 5.5, digest_of(4), digest_of(5), 77, 88, 99,
        1234};
    compute_outcome lost = done;
    lost.divergence = compute_divergence{17, "transformer.wte.weight"};
    compute_outcome sliced = done;
    sliced.tensors = {digest_of(7), digest_of(8)};
    return {
        worker_ready{worker_protocol_version, 4, "autogroup", "avx2", "seccomp"},
        worker_job_opened{1 << 20, true, {4}, digest_of(6)},
        worker_job_refused{"too large"},
        worker_wants_input{8, 65535},
        worker_progress{8, 3, 3072},
        worker_item_done{8, done},
        worker_item_done{8, lost},
        worker_item_done{8, sliced},
        worker_team_out{8, 1, {5, training::team_word::rows, 0}, 3, {1, 2, 3}},
        worker_team_out{8, 1, {5, training::team_word::rows, 0}, 1 << 20, {}},
        worker_team_taken{8, 1},
        worker_team_waits{8, 3},
        worker_team_blames{8, 3},
        worker_item_failed{8, true, "stopped"},
    };
}

/// Decoders must survive anything, and what they accept must be the one encoding of its meaning.
void accepts_only_canonical(base::byte_view bytes) {
    if (const auto command = decode_command(bytes)) {
        const auto again = encode(*command);
        BOOST_TEST(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
    }
    if (const auto report = decode_report(bytes)) {
        const auto again = encode(*report);
        BOOST_TEST(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_message_comes_back_as_it_was) {
    for (const auto& message : every_command()) {
        const auto back = decode_command(encode(message));
        BOOST_REQUIRE(back);
        BOOST_TEST((*back == message));
    }
    for (const auto& message : every_report()) {
        const auto back = decode_report(encode(message));
        BOOST_REQUIRE(back);
        BOOST_TEST((*back == message));
    }
}

BOOST_AUTO_TEST_CASE(message_for_the_other_end_is_refused) {
    for (const auto& message : every_command()) BOOST_TEST(!decode_report(encode(message)));
    for (const auto& message : every_report()) BOOST_TEST(!decode_command(encode(message)));
}

BOOST_AUTO_TEST_CASE(shortened_and_lengthened_messages_are_refused) {
    std::vector<base::byte_vector> all;
    for (const auto& message : every_command()) all.push_back(encode(message));
    for (const auto& message : every_report()) all.push_back(encode(message));
    for (auto& bytes : all) {
        for (std::size_t size = 0; size < bytes.size(); ++size) {
            const auto cut = base::byte_view(bytes).first(size);
            BOOST_TEST(!decode_command(cut));
            BOOST_TEST(!decode_report(cut));
        }
        bytes.push_back(0);
        BOOST_TEST(!decode_command(bytes));
        BOOST_TEST(!decode_report(bytes));
    }
}

BOOST_AUTO_TEST_CASE(damaged_messages_are_refused_or_canonical) {
    rc::check("one byte changed", [] {
        auto all = std::vector<base::byte_vector>();
        for (const auto& message : every_command()) all.push_back(encode(message));
        for (const auto& message : every_report()) all.push_back(encode(message));
        auto bytes = all[*rc::gen::inRange<std::size_t>(0, all.size())];
        bytes[*rc::gen::inRange<std::size_t>(0, bytes.size())] =
            *rc::gen::arbitrary<std::uint8_t>();
        accepts_only_canonical(bytes);
    });
    rc::check("random bytes",
              [](const base::byte_vector& bytes) { accepts_only_canonical(bytes); });
}

BOOST_AUTO_TEST_CASE(items_have_the_inputs_of_their_kind) {
    auto bytes = encode(worker_begin{{9, compute_kind::apply, compute_engine::fast, {3}, {0}, 1}});
    bytes.back() = 1;  // no team applies a mean
    BOOST_TEST(!decode_command(bytes));
    bytes.back() = 0;
    bytes[9] = static_cast<std::uint8_t>(compute_kind::lane);  // after type and item number
    BOOST_TEST(!decode_command(bytes));
    // Sums of fewer lanes than inputs, of more inputs than are named, more than there are groups.
    auto sums = encode(worker_begin{sums_item(1)});
    sums[sums.size() - 8] = 3;
    BOOST_TEST(!decode_command(sums));
    auto adding = encode(worker_begin{adding_item(2)});
    constexpr std::size_t inputs_at = 1 + 8 + 1 + 1 + 8 + 8;
    BOOST_TEST(adding[inputs_at] == 2);
    adding[inputs_at] = 1;
    BOOST_TEST(!decode_command(adding));
    auto most = encode(worker_begin{adding_item(worker_sums_max)});
    constexpr std::size_t count_at = inputs_at + 4 + 8 + 8 + 1;
    most[inputs_at] = most[count_at] = worker_sums_max + 1;
    most.resize(most.size() + 32);
    BOOST_TEST(!decode_command(most));
}

BOOST_AUTO_TEST_CASE(announced_length_above_the_cap_is_refused_before_allocating) {
    const base::byte_vector bytes{1, 0xff, 0xff, 0xff, 0xff};
    BOOST_TEST(!decode_command(bytes));
    BOOST_TEST(!decode_command(base::byte_vector(worker_message_size_max + 1, 1)));
}

BOOST_AUTO_TEST_CASE(long_reasons_are_cut) {
    const auto back = decode_report(encode(worker_job_refused{std::string(100000, 'x')}));
    BOOST_REQUIRE(back);
    BOOST_TEST(std::get<worker_job_refused>(*back).reason.size() == worker_sentence_size_max);
}

BOOST_AUTO_TEST_CASE(letters_keep_their_caps) {
    const worker_team_in letter{8, 1, {5, training::team_word::sums, 0}, 2, {1, 2}};
    const auto bytes = encode(letter);
    const auto with = [&](std::size_t at, std::uint8_t value) {
        auto other = bytes;
        other[at] = value;
        return decode_command(other).has_value();
    };
    constexpr std::size_t word_at = 1 + 8 + 4 + 8;
    constexpr std::size_t size_at = word_at + 1 + 8;
    BOOST_TEST(with(word_at, static_cast<std::uint8_t>(training::team_word::sums)));
    BOOST_TEST(!with(word_at, 0));
    BOOST_TEST(!with(word_at, 12));
    BOOST_TEST(!with(size_at, 1));
    BOOST_TEST(!with(size_at, 3));
    BOOST_TEST(!with(size_at + 3, 0x41));  // above 1 GiB
    BOOST_TEST(decode_command(encode(worker_open_job{"x", 1, 0, 1})).has_value());
    auto slice = encode(worker_open_job{"x", 1, 2, 3});
    slice[slice.size() - 8] = 3;  // slice 3 of 3
    BOOST_TEST(!decode_command(slice));
}
