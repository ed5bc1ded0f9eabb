#include "node/core/node_config.hpp"

#include <boost/test/unit_test.hpp>
#include <string>

namespace tequio::node {
namespace {

std::string message_of(const std::string& text) {
    const auto config = parse_node_config(text, "config.toml");
    return config ? "" : config.error().message();
}

BOOST_AUTO_TEST_SUITE(node_config_suite)

BOOST_AUTO_TEST_CASE(empty_file_gives_the_defaults) {
    const auto config = parse_node_config("", "config.toml").value();
    BOOST_TEST((config.threads == limit{1.0, {}}));
    BOOST_TEST((config.memory == limit{0.5, {}}));
    BOOST_TEST(config.disk_bytes == std::uint64_t{10} << 30);
    BOOST_TEST(config.upload_limit_bits == 8'000'000u);
    BOOST_TEST(!config.listen.has_value());
    BOOST_TEST(config.origin.at("limits.disk") == "default");
}

BOOST_AUTO_TEST_CASE(values_are_read_with_their_place) {
    const auto config =
        parse_node_config(
            "[network]\nlisten = \"127.0.0.1:0\"\npeers = [\"127.0.0.1:5\"]\n"
            "[limits]\nidle = { threads = 2, memory = \"25 %\" }\ndisk = \"1GiB\"\n",
            "config.toml")
            .value();
    BOOST_TEST(config.listen.value() == "127.0.0.1:0");
    BOOST_TEST(config.peers.size() == 1u);
    BOOST_TEST((config.threads == limit{0, 2}));
    BOOST_TEST((config.memory == limit{0.25, {}}));
    BOOST_TEST(config.disk_bytes == std::uint64_t{1} << 30);
    BOOST_TEST(config.origin.at("limits.disk") == "config.toml:6");
}

BOOST_AUTO_TEST_CASE(limits_are_shares_or_amounts_within_what_there_is) {
    BOOST_TEST((limit{0.5, {}}.of(4, 1)) == 2u);
    BOOST_TEST((limit{0.01, {}}.of(4, 1)) == 1u);
    BOOST_TEST((limit{0, 8}.of(4, 1)) == 4u);
}

BOOST_AUTO_TEST_CASE(faults_name_line_key_found_and_allowed) {
    struct fault {
        const char* text;
        const char* place;
        const char* found;
        const char* allowed;
    };
    const fault faults[] = {
        {"[limits]\nidle.threads = -1\n", "config.toml:2 limits.idle.threads", "-1", "1 to 1024"},
        {"[limits]\nidle.threads = \"101 %\"\n", "config.toml:2 limits.idle.threads", "101 %",
         "100 %"},
        {"[limits]\nidle.memory = \"1MiB\"\n", "limits.idle.memory", "1MiB", "64MiB"},
        {"[limits]\ndisk = 5\n", "config.toml:2 limits.disk", "found 5", "64.0 MiB"},
        {"[network]\nupload_limit = \"banana\"\n", "network.upload_limit", "banana", "8Mbit/s"},
        {"[network]\npeers = \"one\"\n", "network.peers", "\"one\"", "a list of texts"},
        {"[accept]\nsubmitters = [\"xyz\"]\n", "accept.submitters", "a list", "64 hexadecimal"},
        {"[log]\nlevel = \"loud\"\n", "config.toml:2 log.level", "loud", "\"info\""},
    };
    for (const auto& f : faults) {
        const auto message = message_of(f.text);
        BOOST_TEST_CONTEXT(f.text << " -> " << message) {
            BOOST_TEST(message.find(f.place) != std::string::npos);
            BOOST_TEST(message.find(f.found) != std::string::npos);
            BOOST_TEST(message.find(f.allowed) != std::string::npos);
        }
    }
}

BOOST_AUTO_TEST_CASE(keys_of_later_versions_are_refused_by_name) {
    for (const std::string text :
         {"[network]\nrelay = true\n", "[network]\ndownload_limit = \"8Mbit/s\"\n",
          "[network]\nmonthly_traffic = \"200GiB\"\n", "[api]\naddress = \"127.0.0.1:1\"\n"}) {
        BOOST_TEST(message_of(text).find("is not in this version") != std::string::npos, text);
    }
}

BOOST_AUTO_TEST_CASE(unknown_keys_and_broken_toml_are_errors) {
    BOOST_TEST(
        message_of("[network]\nlisen = \"x\"\n").find("config.toml:2 network.lisen: unknown key") !=
        std::string::npos);
    BOOST_TEST(message_of("[network\n").find("config.toml:1") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace tequio::node
