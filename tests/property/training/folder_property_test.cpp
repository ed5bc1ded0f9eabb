// Folders of models damaged at random: whatever the bytes, reading ends in a model or a sentence.
// Run under sanitizers it also shows that no byte outside the files is touched.
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstdlib>
#include <functional>

#include "tests/support/allocation_meter.hpp"
#include "tests/unit/training/folder_fixture.hpp"
#include "training/errc.hpp"

namespace tequio::training {
namespace {

using namespace folders;

/// A folder of two weight files and their index.
struct folder {
    model_config model{"gpt2", 1, 2, 4, 3, 8};
    std::string config = gpt2_config(model);
    std::string index;
    std::map<std::string, base::byte_vector> files;

    explicit folder(const std::string& type) {
        const sample_model m(model, type);
        raw_tensors parts[2];
        int n = 0;
        for (const auto& [name, t] : m.tensors) {
            const auto part = static_cast<std::size_t>(n++ % 2);
            parts[part][name] = t;
            index += (index.empty() ? "" : ",") + ("\"" + name + "\":\"" + name_of(part) + "\"");
        }
        index = "{\"weight_map\":{" + index + "}}";
        for (const std::size_t part : {0, 1}) files[name_of(part)] = file_of(parts[part]);
    }
    static std::string name_of(std::size_t part) {
        return std::string(part == 0 ? "a" : "b") + ".safetensors";
    }
    base::result<loaded_model> load() const {
        folder_view view;
        view.config = base::as_bytes(config);
        view.index = base::as_bytes(index);
        for (const auto& [name, bytes] : files) view.weights[name] = bytes;
        return load_model_folder(view);
    }
};

/// Changes of the kinds that a disk, a stranger or a broken program makes.
template <class Bytes>
void damage(Bytes& bytes, base::rng& rng) {
    using value = typename Bytes::value_type;
    const auto at = [&] { return rng.below(bytes.size()); };
    const auto place = [&](std::uint64_t i) {
        return bytes.begin() + static_cast<std::ptrdiff_t>(i);
    };
    if (bytes.empty()) return;
    switch (rng.below(7)) {
        case 0:
            bytes[at()] = static_cast<value>(rng.below(256));
            break;
        case 1:
            bytes[at()] ^= static_cast<value>(1U << rng.below(8));
            break;
        case 2:
            bytes.resize(at());
            break;
        case 3: {  // repeats a part
            const auto first = at();
            const auto last = first + rng.below(std::min<std::uint64_t>(bytes.size() - first, 80));
            const Bytes part(place(first), place(last));
            bytes.insert(place(at()), part.begin(), part.end());
            break;
        }
        case 4: {  // leaves one out
            const auto first = at();
            bytes.erase(
                place(first),
                place(first + rng.below(std::min<std::uint64_t>(bytes.size() - first, 40))));
            break;
        }
        case 5: {  // another digit where one is: lengths, offsets and shapes lie
            for (int tries = 0; tries < 50; ++tries) {
                const auto i = at();
                if (bytes[i] < '0' || bytes[i] > '9') continue;
                bytes[i] = static_cast<value>('0' + rng.below(10));
                break;
            }
            break;
        }
        default:
            bytes.insert(place(at()), 1 + rng.below(20),
                         static_cast<value>("[{\"0:,9-"[rng.below(8)]));
    }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(folder_property)

BOOST_AUTO_TEST_CASE(damaged_folders_end_in_a_model_or_a_sentence) {
    const auto* given = std::getenv("TEQUIO_SEED");
    const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : 20261;
    BOOST_TEST_MESSAGE("TEQUIO_SEED=" << seed);
    base::rng rng(seed);
    int models = 0;
    int sentences = 0;
    for (const std::string type : {"F32", "F16", "BF16"}) {
        const folder whole(type);
        BOOST_REQUIRE(whole.load());
        for (int i = 0; i < 6000; ++i) {
            auto f = whole;
            for (std::uint64_t k = rng.below(3) + 1; k > 0; --k) {
                const auto which = rng.below(8);
                if (which == 0) {
                    damage(f.config, rng);
                } else if (which == 1) {
                    damage(f.index, rng);
                } else {
                    damage(f.files.at(folder::name_of(which % 2)), rng);
                }
            }
            tests::reset_largest_allocation();
            const auto loaded = f.load();
            BOOST_REQUIRE(tests::largest_allocation() <= std::size_t{1} << 20);
            if (loaded) {
                ++models;
                for (const float x : loaded->parameters) BOOST_REQUIRE(std::isfinite(x));
            } else {
                ++sentences;
                const auto& error = loaded.error();
                BOOST_REQUIRE(error.is(errc::bad_state) || error.is(errc::not_in_version));
                for (const char c : error.message()) {
                    BOOST_REQUIRE(static_cast<unsigned char>(c) >= 0x20);
                }
            }
        }
    }
    // Both happen, or the damage would be too small or too large to tell anything.
    BOOST_TEST(models > 500);
    BOOST_TEST(sentences > 5000);
}

BOOST_AUTO_TEST_CASE(claims_allocate_nothing_that_the_files_do_not_hold) {
    const auto largest_of = [](const std::function<void(folder&)>& edit) {
        folder f("F16");
        edit(f);
        tests::reset_largest_allocation();
        const auto loaded = f.load();
        const std::size_t largest = tests::largest_allocation();
        BOOST_TEST(!loaded);
        return largest;
    };
    const auto announce = [](folder& f, std::uint64_t header) {
        base::byte_vector bytes;
        base::byte_writer(bytes).u64(header);
        std::copy(bytes.begin(), bytes.end(), f.files.at("a.safetensors").begin());
    };
    constexpr std::size_t limit = std::size_t{1} << 20;
    for (const std::uint64_t header :
         {~std::uint64_t{0}, std::uint64_t{1} << 32, std::uint64_t{1} << 22}) {
        BOOST_TEST(largest_of([&](folder& f) { announce(f, header); }) < limit);
    }
    for (const auto& claims :
         {model_config{"gpt2", 1024, 2, 4, 3, 8}, model_config{"gpt2", 1, 2, 4, 3, 1048576},
          model_config{"gpt2", 1, 256, 65536, 3, 8}, model_config{"gpt2", 1, 2, 4, 65536, 8}}) {
        BOOST_TEST(largest_of([&](folder& f) { f.config = gpt2_config(claims); }) < limit);
    }
    // Nesting and keys without end, in real files of that size.
    for (const auto* part : {"[", "{\"a\":", "{\"__metadata__\":{\"a\":[", "\"\\u0000"}) {
        std::string header;
        while (header.size() < 3'000'000) header += part;
        const auto file = [&](folder& f) {
            auto& bytes = f.files.at("a.safetensors");
            bytes.clear();
            base::byte_writer out(bytes);
            out.u64(header.size());
            out.raw(base::as_bytes(header));
        };
        BOOST_TEST(largest_of(file) < limit, part);
        BOOST_TEST(largest_of([&](folder& f) { f.index = header; }) < limit, part);
        BOOST_TEST(largest_of([&](folder& f) { f.config = header; }) < limit, part);
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
