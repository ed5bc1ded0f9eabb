#include <fcntl.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>

#include "node/io/blob_store.hpp"
#include "node/io/key_value_store.hpp"

namespace tequio::node {
namespace {

/// A folder of its own, gone afterwards.
struct scratch {
    std::filesystem::path path;
    scratch() {
        std::string name = (std::filesystem::temp_directory_path() / "tequio-test-XXXXXX").string();
        path = ::mkdtemp(name.data());
    }
    ~scratch() { std::filesystem::remove_all(path); }
};

base::byte_vector some_bytes(std::size_t n) {
    base::byte_vector out(n);
    for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::uint8_t>(i * 2654435761u >> 13);
    return out;
}

base::blob_piece piece_of(const base::byte_vector& bytes, std::uint64_t index) {
    const auto leaves = base::blob_leaves(bytes);
    const auto ref = base::blob_ref_of(bytes);
    const auto* at = bytes.data() + index * base::piece_size_bytes;
    return {index, {at, at + ref.piece_size(index)}, base::merkle_path(leaves, index)};
}

std::unique_ptr<blob_store> open_store(const scratch& s, std::uint64_t limit = 1 << 30) {
    return blob_store::open(s.path / "blobs", {limit, 0}).value();
}

BOOST_AUTO_TEST_SUITE(storage_suite)

BOOST_AUTO_TEST_CASE(blobs_come_back_after_a_restart) {
    const scratch s;
    const auto bytes = some_bytes(600'000);
    const auto ref = open_store(s)->put(bytes).value();
    auto store = open_store(s);
    BOOST_TEST(store->has(ref));
    BOOST_TEST(store->used_bytes() == bytes.size());
    const auto file = store->map(ref).value();
    BOOST_TEST(std::equal(bytes.begin(), bytes.end(), file.bytes().begin(), file.bytes().end()));
    const auto piece = store->read_piece(ref, 1).value();
    BOOST_TEST(base::piece_verifies(ref, piece));
}

BOOST_AUTO_TEST_CASE(a_file_made_in_the_store_becomes_a_blob) {
    const scratch s;
    const auto bytes = some_bytes(600'000);
    const auto ref = base::blob_ref_of(bytes);
    auto store = open_store(s, 1'000'000);
    const auto path = store->making("model", bytes.size()).value();
    BOOST_TEST(write_file(path, bytes).has_value());
    BOOST_TEST((store->put_file(path).value() == ref));
    BOOST_TEST(!std::filesystem::exists(path));
    BOOST_TEST(store->used_bytes() == bytes.size());
    // Once more: it is here. And what would be too much is not begun.
    BOOST_TEST(write_file(path, bytes).has_value());
    BOOST_TEST((store->put_file(path).value() == ref));
    BOOST_TEST(store->used_bytes() == bytes.size());
    BOOST_TEST(!store->making("larger", 500'000).has_value());
    // What an earlier run did not finish is gone.
    BOOST_TEST(write_file(path, bytes).has_value());
    store = open_store(s);
    BOOST_TEST(!std::filesystem::exists(path));
    BOOST_TEST(store->has(ref));
    const auto file = store->map(ref).value();
    BOOST_TEST(std::equal(bytes.begin(), bytes.end(), file.bytes().begin(), file.bytes().end()));
}

BOOST_AUTO_TEST_CASE(a_transfer_resumes_after_a_restart) {
    const scratch s;
    const auto bytes = some_bytes(3 * base::piece_size_bytes + 17);
    const auto ref = base::blob_ref_of(bytes);
    {
        auto store = open_store(s);
        BOOST_TEST(!store->put_piece(ref, piece_of(bytes, 0)).value());
        BOOST_TEST(!store->put_piece(ref, piece_of(bytes, 3)).value());
    }
    auto store = open_store(s);
    BOOST_TEST(!store->has(ref));
    BOOST_TEST((store->pieces_present(ref).value() == std::vector<bool>{true, false, false, true}));
    BOOST_TEST(!store->put_piece(ref, piece_of(bytes, 1)).value());
    BOOST_TEST(store->put_piece(ref, piece_of(bytes, 2)).value());
    BOOST_TEST(store->has(ref));
}

BOOST_AUTO_TEST_CASE(some_pieces_alone_can_be_read_and_stay) {
    const scratch s;
    const auto bytes = some_bytes(4 * base::piece_size_bytes + 17);
    const auto ref = base::blob_ref_of(bytes);
    {
        auto store = open_store(s);
        BOOST_TEST(!store->has_pieces(ref, {1, 2}));
        for (const std::uint64_t i : {1u, 2u, 4u}) {
            BOOST_TEST(!store->put_piece(ref, piece_of(bytes, i)).value());
        }
    }
    auto store = open_store(s);
    BOOST_TEST(store->has_pieces(ref, {1, 2}));
    BOOST_TEST(store->has_pieces(ref, {4, 1}));
    BOOST_TEST(!store->has_pieces(ref, {2, 3}));
    BOOST_TEST(!store->has_pieces(ref, {}));
    BOOST_TEST(!store->has_pieces(ref, {4, 2}));
    BOOST_TEST(!store->has(ref));
    const auto file = store->open_pieces(ref).value();
    base::byte_vector got(2 * base::piece_size_bytes);
    BOOST_TEST(::pread(file.get(), got.data(), got.size(), base::piece_size_bytes) ==
               static_cast<ssize_t>(got.size()));
    BOOST_TEST(std::equal(got.begin(), got.end(), bytes.begin() + base::piece_size_bytes));
    // A file that was opened while pieces were missing goes on when the blob becomes whole.
    BOOST_TEST(!store->put_piece(ref, piece_of(bytes, 0)).value());
    BOOST_TEST(store->put_piece(ref, piece_of(bytes, 3)).value());
    BOOST_TEST(store->has_pieces(ref, {}));
    BOOST_TEST(::pread(file.get(), got.data(), 17, 4 * base::piece_size_bytes) == 17);
    BOOST_TEST(
        std::equal(got.begin(), got.begin() + 17, bytes.begin() + 4 * base::piece_size_bytes));
    BOOST_TEST(store->open_pieces(ref).has_value());
    BOOST_TEST(store->remove(ref).has_value());
    BOOST_TEST(!store->open_pieces(ref).has_value());
}

BOOST_AUTO_TEST_CASE(a_piece_that_the_disk_lost_counts_as_missing) {
    const scratch s;
    const auto bytes = some_bytes(3 * base::piece_size_bytes);
    const auto ref = base::blob_ref_of(bytes);
    for (const std::uint64_t i : {0u, 1u}) {
        BOOST_TEST(!open_store(s)->put_piece(ref, piece_of(bytes, i)).value());
    }
    const auto hex = ref.root.hex();
    const auto path =
        s.path / "blobs" / hex.substr(0, 2) / (hex + "-" + std::to_string(ref.size) + ".part");
    {
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(static_cast<std::streamoff>(base::piece_size_bytes + 9));
        file.put('\0');
        file.put('\0');
    }
    auto store = open_store(s);
    BOOST_TEST((store->pieces_present(ref).value() == std::vector<bool>{true, false, false}));
    BOOST_TEST(!store->put_piece(ref, piece_of(bytes, 1)).value());
    BOOST_TEST(store->put_piece(ref, piece_of(bytes, 2)).value());
}

BOOST_AUTO_TEST_CASE(a_piece_that_does_not_belong_is_refused) {
    const scratch s;
    const auto bytes = some_bytes(2 * base::piece_size_bytes);
    auto piece = piece_of(bytes, 0);
    piece.bytes[5] ^= 1;
    BOOST_TEST(!open_store(s)->put_piece(base::blob_ref_of(bytes), piece).has_value());
}

BOOST_AUTO_TEST_CASE(a_piece_of_a_blob_that_is_not_whole_is_served) {
    const scratch s;
    // Five pieces: paths of one and of three digests.
    const auto bytes = some_bytes(4 * base::piece_size_bytes + 100);
    const auto ref = base::blob_ref_of(bytes);
    {
        auto store = open_store(s);
        for (const std::uint64_t i : {1, 4}) store->put_piece(ref, piece_of(bytes, i)).value();
        for (const std::uint64_t i : {1, 4}) {
            const auto served = store->read_piece(ref, i).value();
            BOOST_TEST(base::piece_verifies(ref, served));
            BOOST_TEST((served.path == piece_of(bytes, i).path));
        }
        BOOST_TEST(!store->read_piece(ref, 0).has_value());
        BOOST_TEST(!store->read_piece(ref, 5).has_value());
    }
    // After a restart as well, once somebody has asked what is here; a damaged one is missing.
    const auto hex = ref.root.hex();
    const auto path =
        s.path / "blobs" / hex.substr(0, 2) / (hex + "-" + std::to_string(ref.size) + ".part");
    auto store = open_store(s);
    BOOST_TEST(store->has_pieces(ref, {4, 1}));
    BOOST_TEST(store->read_piece(ref, 4).has_value());
    {
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(static_cast<std::streamoff>(base::piece_size_bytes + 9));
        file.put('\0');
        file.put('\0');
    }
    BOOST_TEST(!store->read_piece(ref, 1).has_value());
    BOOST_TEST((store->pieces_present(ref).value() ==
                std::vector<bool>{false, false, false, false, true}));
}

BOOST_AUTO_TEST_CASE(a_flipped_bit_on_disk_is_not_served) {
    const scratch s;
    const auto ref = open_store(s)->put(some_bytes(1000)).value();
    const auto hex = ref.root.hex();
    const auto path = s.path / "blobs" / hex.substr(0, 2) / (hex + "-1000");
    {
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(500);
        file.put('!');
        file.seekp(501);
        file.put('?');
    }
    auto store = open_store(s);
    // The leaf list is made from the file itself, so it is the root that catches this.
    BOOST_TEST(!store->read_piece(ref, 0).has_value());
    BOOST_TEST(!store->has(ref));
}

BOOST_AUTO_TEST_CASE(the_disk_limit_is_kept) {
    const scratch s;
    auto store = open_store(s, 1000);
    BOOST_TEST(store->put(some_bytes(900)).has_value());
    const auto refused = store->put(some_bytes(101));
    BOOST_REQUIRE(!refused.has_value());
    BOOST_TEST(refused.error().message().find("limits.disk") != std::string::npos);
    const auto big = some_bytes(300'000);
    BOOST_TEST(!store->put_piece(base::blob_ref_of(big), piece_of(big, 0)).has_value());
}

BOOST_AUTO_TEST_CASE(other_disk_limits_count_at_once_and_remove_nothing) {
    const scratch s;
    auto store = open_store(s, 1000);
    const auto first = store->put(some_bytes(900)).value();
    store->set_bounds({500, 0});
    BOOST_TEST(store->has(first));
    BOOST_TEST(!store->put(some_bytes(1)).has_value());
    store->set_bounds({1001, 0});
    BOOST_TEST(store->put(some_bytes(101)).has_value());
    BOOST_TEST(store->used_bytes() == 1001u);
}

BOOST_AUTO_TEST_CASE(what_is_on_its_way_counts_as_used) {
    const scratch s;
    auto store = open_store(s, 1'000'000);
    const auto first = some_bytes(600'000);
    const auto ref = base::blob_ref_of(first);
    BOOST_TEST(store->put_piece(ref, piece_of(first, 0)).has_value());
    BOOST_TEST(store->used_bytes() == 600'000u);
    BOOST_TEST(!store->room_for(400'001).has_value());
    BOOST_TEST(store->room_for(400'000).has_value());
    auto second = some_bytes(500'000);
    second[0] ^= 1;
    BOOST_TEST(!store->put_piece(base::blob_ref_of(second), piece_of(second, 0)).has_value());
    for (std::uint64_t i = 1; i < ref.pieces(); ++i) {
        BOOST_TEST(store->put_piece(ref, piece_of(first, i)).has_value());
    }
    BOOST_TEST(store->has(ref));
    BOOST_TEST(store->used_bytes() == 600'000u);
    BOOST_TEST(store->remove(ref).has_value());
    BOOST_TEST(store->used_bytes() == 0u);
    // Made here while it was on its way: one copy, counted once.
    BOOST_TEST(store->put_piece(ref, piece_of(first, 0)).has_value());
    BOOST_TEST(store->put(first).has_value());
    BOOST_TEST(store->used_bytes() == 600'000u);
    BOOST_TEST(!store->is_arriving(ref));
}

BOOST_AUTO_TEST_CASE(a_whole_bucket_can_be_forgotten) {
    const scratch s;
    auto memory = key_value_store::open(s.path / "node.db").value();
    BOOST_TEST(memory->apply({{"a", "1", "x"}, {"a", "2", "y"}, {"ab", "1", "z"}}).has_value());
    BOOST_TEST(memory->apply({{"a", std::nullopt, std::nullopt}, {"c", "1", "w"}}).has_value());
    const auto items = memory->load_all().value();
    BOOST_REQUIRE(items.size() == 2u);
    BOOST_TEST(items[0].bucket == "ab");
    BOOST_TEST(items[1].bucket == "c");
}

BOOST_AUTO_TEST_CASE(room_that_stays_free_is_asked_for_at_each_blob) {
    const scratch s;
    auto store = open_store(s);
    store->set_bounds({1 << 30, 1.0});
    const auto refused = store->put(some_bytes(10));
    BOOST_REQUIRE(!refused.has_value());
    BOOST_TEST(refused.error().is(base::errc::too_large));
    BOOST_TEST(refused.error().message().find("limits.keep_free is 100 %") != std::string::npos);
    store->set_bounds({1 << 30, 1e-9});
    BOOST_TEST(store->put(some_bytes(10)).has_value());
}

BOOST_AUTO_TEST_CASE(memory_keeps_all_of_a_batch_and_orders_it) {
    const scratch s;
    const auto file = s.path / "node.db";
    {
        auto memory = key_value_store::open(file).value();
        BOOST_TEST(
            memory->apply({{"b", "2", "x"}, {"a", "9", std::string("\0\n", 2)}, {"b", "1", "y"}})
                .has_value());
        BOOST_TEST(memory->apply({{"b", "2", std::nullopt}, {"b", "1", "z"}}).has_value());
    }
    const auto items = key_value_store::open(file).value()->load_all().value();
    BOOST_REQUIRE(items.size() == 2u);
    BOOST_TEST(items[0].bucket == "a");
    BOOST_TEST(items[0].value == std::string("\0\n", 2));
    BOOST_TEST(items[1].key == "1");
    BOOST_TEST(items[1].value == "z");
    BOOST_TEST(key_value_store::open_read_only(file).value()->load("b").value().size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace tequio::node
