#include "node/worker/state_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cstring>

using namespace tequio;
using namespace tequio::node;

namespace {

constexpr std::uint64_t floats = 3 * 1024 + 32;  // more than whole pages

base::recipe_id recipe(std::uint8_t fill) {
    base::recipe_id out;
    out.bytes.fill(fill);
    return out;
}

held_state name(std::uint64_t round) {
    held_state out;
    out.round = {round};
    out.digest.bytes.fill(static_cast<std::uint8_t>(round + 1));
    return out;
}

void fill(training::state_span state, float value) {
    std::fill(state.parameters.begin(), state.parameters.end(), value);
    std::fill(state.momentum.begin(), state.momentum.end(), -value);
}

unique_fd copy_of(int fd) {
    return unique_fd(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

}  // namespace

BOOST_AUTO_TEST_CASE(new_memory_holds_nothing) {
    const auto memory = state_memory::create(recipe(1), {floats});
    BOOST_REQUIRE(memory);
    BOOST_TEST(!memory->held());
}

BOOST_AUTO_TEST_CASE(state_is_held_once_committed_and_not_before) {
    auto memory = state_memory::create(recipe(1), {floats});
    BOOST_REQUIRE(memory);
    fill(memory->next(), 1);
    BOOST_TEST(!memory->held());
    memory->commit(name(0));
    BOOST_TEST((memory->held() == name(0)));
    fill(memory->next(), 2);
    BOOST_TEST((memory->held() == name(0)));
    BOOST_TEST(memory->view().parameters[floats - 1] == 1);
    BOOST_TEST(memory->view().momentum[0] == -1);
    memory->commit(name(1));
    BOOST_TEST((memory->held() == name(1)));
    BOOST_TEST(memory->view().parameters[0] == 2);
    BOOST_TEST(memory->view().momentum[floats - 1] == -2);
    memory->clear();
    BOOST_TEST(!memory->held());
}

BOOST_AUTO_TEST_CASE(parameters_of_earlier_rounds_are_kept_as_long_as_asked) {
    constexpr std::uint32_t kept = 4;
    auto memory = state_memory::create(recipe(1), {floats, kept});
    BOOST_REQUIRE(memory);
    for (std::uint64_t round = 0; round < 7; ++round) {
        fill(memory->next(), static_cast<float>(round + 1));
        memory->commit(name(round));
    }
    for (std::uint64_t round = 0; round < 7; ++round) {
        const auto found = memory->find({round});
        BOOST_TEST(found.has_value() == (round + kept >= 7));
        if (!found) continue;
        BOOST_TEST((*found == name(round)));
        const auto view = memory->view(base::round_index{round});
        BOOST_TEST(view.parameters[floats - 1] == static_cast<float>(round + 1));
        BOOST_TEST(view.momentum.empty() == (round != 6));
    }
    BOOST_TEST(memory->view().momentum[0] == -7);
    fill(memory->next(), 99);  // from here on the oldest is no longer itself
    BOOST_TEST(!memory->find({3}));
    BOOST_TEST((memory->held() == name(6)));
    BOOST_TEST(memory->view().parameters[0] == 7);
}

BOOST_AUTO_TEST_CASE(an_optimizer_may_have_two_arrays) {
    const state_shape shape{floats, 3, 2};
    auto memory = state_memory::create(recipe(1), shape);
    BOOST_REQUIRE(memory);
    for (std::uint64_t round = 0; round < 5; ++round) {
        const auto next = memory->next();
        BOOST_REQUIRE(next.second.size() == floats);
        fill(next, static_cast<float>(round + 1));
        std::fill(next.second.begin(), next.second.end(), 100.0F * static_cast<float>(round + 1));
        memory->commit(name(round));
        // What is being written must not be part of what is held.
        const auto writing = memory->next();
        fill(writing, 77);
        std::fill(writing.second.begin(), writing.second.end(), 77.0F);
        const auto view = memory->view();
        BOOST_TEST(view.parameters[floats - 1] == static_cast<float>(round + 1));
        BOOST_TEST(view.momentum[0] == -static_cast<float>(round + 1));
        BOOST_TEST(view.second[0] == 100.0F * static_cast<float>(round + 1));
        BOOST_TEST(view.second[floats - 1] == view.second[0]);
    }
    BOOST_TEST(memory->view(base::round_index{3}).second.empty());
    BOOST_TEST(state_memory::map(copy_of(memory->fd()), recipe(1), shape).has_value());
    BOOST_TEST(!state_memory::map(copy_of(memory->fd()), recipe(1), {floats, 3, 1}));
}

BOOST_AUTO_TEST_CASE(the_state_before_can_be_held_again_until_the_next_is_begun) {
    for (const std::uint32_t kept : {2u, 4u}) {
        auto memory = state_memory::create(recipe(1), {floats, kept});
        BOOST_REQUIRE(memory);
        BOOST_TEST(!memory->step_back());
        const auto make = [&](std::uint64_t round, float value) {
            fill(memory->next(), value);
            memory->commit(name(round));
        };
        make(0, 1);
        BOOST_TEST(!memory->step_back());
        for (std::uint64_t round = 1; round < 6; ++round) {
            const auto before = static_cast<float>(round);
            for (int time = 0; time < 3; ++time) {
                make(round, before + 1);
                BOOST_TEST(memory->step_back());
                BOOST_TEST((memory->held() == name(round - 1)));
                BOOST_TEST(memory->view().parameters[0] == before);
                BOOST_TEST(memory->view().momentum[floats - 1] == -before);
                BOOST_TEST(!memory->find({round}));
                BOOST_TEST(!memory->step_back());
            }
            make(round, before + 1);
        }
        // Begun and not ended: the optimizer's arrays of the state before are half another's.
        fill(memory->next(), 99);
        BOOST_TEST(!memory->step_back());
        BOOST_TEST((memory->held() == name(5)));
        BOOST_TEST(memory->find({4}).has_value() == (kept > 2));
        const auto mapped = state_memory::map(copy_of(memory->fd()), recipe(1), {floats});
        BOOST_REQUIRE(mapped);
        BOOST_TEST((mapped->held() == name(5)));
    }
}

BOOST_AUTO_TEST_CASE(second_map_sees_the_first_ones_state) {
    auto writer = state_memory::create(recipe(1), {floats});
    BOOST_REQUIRE(writer);
    auto reader = state_memory::map(copy_of(writer->fd()), recipe(1), {floats});
    BOOST_REQUIRE(reader);
    fill(writer->next(), 3);
    writer->commit(name(7));
    BOOST_TEST((reader->held() == name(7)));
    BOOST_TEST(reader->view().parameters[5] == 3);
}

BOOST_AUTO_TEST_CASE(memory_of_another_recipe_or_size_is_refused) {
    auto memory = state_memory::create(recipe(1), {floats});
    BOOST_REQUIRE(memory);
    BOOST_TEST(!state_memory::map(copy_of(memory->fd()), recipe(2), {floats}));
    BOOST_TEST(!state_memory::map(copy_of(memory->fd()), recipe(1), {floats - 32}));
    BOOST_TEST(!state_memory::map(copy_of(memory->fd()), recipe(1), {1000 * floats}));
}

BOOST_AUTO_TEST_CASE(memory_whose_length_can_change_is_refused) {
    unique_fd file(::memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    BOOST_REQUIRE_EQUAL(
        ::ftruncate(file.get(), static_cast<off_t>(state_memory::size_bytes({floats}))), 0);
    BOOST_TEST(!state_memory::map(std::move(file), recipe(1), {floats}));
}

BOOST_AUTO_TEST_CASE(damaged_line_of_a_slot_holds_nothing) {
    auto memory = state_memory::create(recipe(1), {floats});
    BOOST_REQUIRE(memory);
    memory->commit(name(4));
    auto raw = memory_map::of(memory->fd(), 4096, memory_map::access::read_write);
    BOOST_REQUIRE(raw);
    raw->writable()[64 + 3] ^= 1;  // a byte of slot 1's round
    BOOST_TEST(!memory->held());
    raw->writable()[64 + 3] ^= 1;
    BOOST_TEST((memory->held() == name(4)));
    raw->writable()[48] = 9;  // the word that says which slot
    BOOST_TEST(!memory->held());
}

BOOST_AUTO_TEST_CASE(sealed_file_can_be_read_and_never_changed) {
    const base::byte_vector bytes(5000, 42);
    const auto file = make_sealed_file("result", bytes);
    BOOST_REQUIRE(file);
    BOOST_TEST(check_sealed_file(file->get(), bytes.size()).has_value());
    BOOST_TEST(!check_sealed_file(file->get(), bytes.size() + 1));
    const auto map = memory_map::of(file->get(), bytes.size(), memory_map::access::read);
    BOOST_REQUIRE(map);
    BOOST_TEST(std::memcmp(map->bytes().data(), bytes.data(), bytes.size()) == 0);
    BOOST_TEST(!memory_map::of(file->get(), bytes.size(), memory_map::access::read_write));
    BOOST_TEST(::ftruncate(file->get(), 1) == -1);
    BOOST_TEST(::pwrite(file->get(), "x", 1, 0) == -1);
}

BOOST_AUTO_TEST_CASE(file_that_is_not_sealed_is_no_result) {
    const auto file = make_memory_file("loose", 100);
    BOOST_REQUIRE(file);
    BOOST_TEST(!check_sealed_file(file->get(), 100));
}
BOOST_AUTO_TEST_CASE(memory_counts_once_it_was_written_and_whoever_looks) {
    constexpr std::uint64_t mib = 1 << 20;
    const auto file = make_memory_file("a test", 40 * mib);
    BOOST_REQUIRE(file.has_value());
    auto writer = memory_map::of(file->get(), 40 * mib, memory_map::access::read_write);
    const auto looker = memory_map::of(file->get(), 40 * mib, memory_map::access::read);
    BOOST_REQUIRE(writer.has_value());
    BOOST_REQUIRE(looker.has_value());
    BOOST_TEST(looker->resident_bytes() == 0u);
    std::memset(writer->writable().data() + 5 * mib, 1, 10 * mib);
    BOOST_TEST(looker->resident_bytes() == 10 * mib);
    BOOST_TEST(memory_map().resident_bytes() == 0u);
}

BOOST_AUTO_TEST_CASE(of_a_large_file_parts_are_looked_at) {
    constexpr std::uint64_t mib = 1 << 20;
    const auto file = make_memory_file("a test", 1024 * mib + 4096);
    BOOST_REQUIRE(file.has_value());
    auto map = memory_map::of(file->get(), 1024 * mib + 4096, memory_map::access::read_write);
    BOOST_REQUIRE(map.has_value());
    std::memset(map->writable().data(), 1, 128 * mib);
    const auto held = map->resident_bytes();
    BOOST_TEST(held > 120 * mib);
    BOOST_TEST(held < 136 * mib);
}
