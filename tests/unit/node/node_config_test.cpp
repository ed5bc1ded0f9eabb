#include "node/core/node_config.hpp"

#include <boost/test/unit_test.hpp>
#include <string>

namespace tequio::node {
namespace {

std::string complaint_about(const std::string& text) {
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
    BOOST_TEST((config.in_use_threads == limit{0, 0}));
    BOOST_TEST((config.in_use_memory == limit{0.1, {}}));
    BOOST_TEST((config.idle_after == std::chrono::minutes(2)));
    BOOST_TEST(config.idle_programs.empty());
    BOOST_TEST(config.hours.text() == "always");
    BOOST_TEST(!config.work_on_battery);
    BOOST_TEST(config.celsius_max == 85);
    BOOST_TEST(config.metered_bits.value() == 64'000u);
    BOOST_TEST(!config.download_limit_bits.has_value());
    BOOST_TEST(config.monthly_traffic_bytes.value() == std::uint64_t{200} << 30);
}

BOOST_AUTO_TEST_CASE(limits_of_the_network_are_amounts_or_unlimited) {
    const auto some = parse_node_config(
                          "[network]\ndownload_limit = \"20Mbit/s\"\n"
                          "monthly_traffic = \"1GiB\"\n",
                          "c")
                          .value();
    BOOST_TEST(some.download_limit_bits.value() == 20'000'000u);
    BOOST_TEST(some.monthly_traffic_bytes.value() == std::uint64_t{1} << 30);
    const auto none = parse_node_config(
                          "[network]\ndownload_limit = \"unlimited\"\n"
                          "monthly_traffic = \"unlimited\"\n",
                          "c")
                          .value();
    BOOST_TEST(!none.download_limit_bits.has_value());
    BOOST_TEST(!none.monthly_traffic_bytes.has_value());
}

BOOST_AUTO_TEST_CASE(keys_of_the_governor_are_read) {
    const auto config = parse_node_config(
                            "schedule = [\"mon-fri 18:00-08:00\", \"sat,sun\"]\n"
                            "[limits]\nin_use = { threads = \"25 %\", memory = \"128MiB\" }\n"
                            "[idle]\nafter = \"90s\"\nprograms = [\"steam\", \"mpv\"]\n"
                            "[power]\non_battery = true\nmax_temperature = \"72.5C\"\n"
                            "[network]\nmetered = \"unlimited\"\n",
                            "config.toml")
                            .value();
    BOOST_TEST((config.in_use_threads == limit{0.25, {}}));
    BOOST_TEST((config.in_use_memory == limit{0, std::uint64_t{128} << 20}));
    BOOST_TEST((config.idle_after == std::chrono::seconds(90)));
    BOOST_TEST(config.idle_programs.size() == 2u);
    BOOST_TEST(config.hours.text() == "mon-fri 18:00-08:00, sat,sun");
    BOOST_TEST(!config.hours.open(2, 12 * 60));
    BOOST_TEST(config.work_on_battery);
    BOOST_TEST(config.celsius_max == 72.5);
    BOOST_TEST(!config.metered_bits.has_value());
    BOOST_TEST(config.origin.at("schedule") == "config.toml:1");
    BOOST_TEST(config.origin.at("power.on_battery") == "config.toml:8");
    const auto one = parse_node_config("schedule = \"22:00-07:00\"\n", "c").value();
    BOOST_TEST(one.hours.text() == "22:00-07:00");
    BOOST_TEST(parse_node_config("schedule = \"always\"\n", "c").value().hours.open(0, 0));
    BOOST_TEST(
        parse_node_config("[network]\nmetered = \"1Mbit/s\"\n", "c").value().metered_bits.value() ==
        1'000'000u);
}

BOOST_AUTO_TEST_CASE(every_key_that_is_shown_has_an_origin) {
    const auto config = parse_node_config("", "config.toml").value();
    for (const auto& [key, value] : config_values(config)) {
        BOOST_TEST(config.origin.contains(key), key);
        BOOST_TEST(!value.empty(), key);
    }
    BOOST_TEST(config_values(config).size() == config.origin.size());
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
        {"[limits]\nin_use.threads = -1\n", "config.toml:2 limits.in_use.threads", "-1",
         "0 to 1024"},
        {"[limits]\nin_use.threads = \"101 %\"\n", "config.toml:2 limits.in_use.threads", "101 %",
         "100 %"},
        {"[limits]\nin_use.memory = \"1MiB\"\n", "limits.in_use.memory", "1MiB", "64MiB"},
        {"[limits]\nidle.memory = \"0 %\"\n", "limits.idle.memory", "0 %", "above 0"},
        {"[limits]\nidle.threads = 0\n", "limits.idle.threads", "found 0", "1 to 1024"},
        {"[idle]\nafter = \"0s\"\n", "config.toml:2 idle.after", "0s", "1 s to 24 h"},
        {"[idle]\nafter = 120\n", "config.toml:2 idle.after", "120", "2min"},
        {"[idle]\nprograms = \"steam\"\n", "config.toml:2 idle.programs", "steam", "a list"},
        {"[idle]\nprograms = [\"a/b\"]\n", "config.toml:2 idle.programs", "a list", "folders"},
        {"schedule = \"25:00\"\n", "config.toml:1 schedule", "25:00", "00:00 to 24:00"},
        {"\nschedule = [\"22:00-07:00\", \"9-5\"]\n", "config.toml:2 schedule", "in \"9-5\"",
         "22:00-07:00"},
        {"schedule = 22\n", "config.toml:1 schedule", "found 22", "a list of them"},
        {"[power]\non_battery = \"yes\"\n", "config.toml:2 power.on_battery", "yes",
         "true or false"},
        {"[power]\nmax_temperature = \"85F\"\n", "config.toml:2 power.max_temperature", "85F",
         "40C"},
        {"[power]\nmax_temperature = \"30C\"\n", "power.max_temperature", "30C", "110C"},
        {"[network]\nmetered = \"1kbit/s\"\n", "config.toml:2 network.metered", "1kbit/s",
         "unlimited"},
        {"[network]\ndownload_limit = \"1kbit/s\"\n", "config.toml:2 network.download_limit",
         "1kbit/s", "unlimited"},
        {"[network]\ndownload_limit = 8\n", "config.toml:2 network.download_limit", "found 8",
         "20Mbit/s"},
        {"[network]\nmonthly_traffic = \"1KiB\"\n", "config.toml:2 network.monthly_traffic", "1KiB",
         "1MiB"},
        {"[network]\nmonthly_traffic = \"8Mbit/s\"\n", "config.toml:2 network.monthly_traffic",
         "8Mbit/s", "200GiB"},
        {"[log]\nlevel = \"loud\"\n", "config.toml:2 log.level", "loud", "\"info\""},
    };
    for (const auto& f : faults) {
        const auto message = complaint_about(f.text);
        BOOST_TEST_CONTEXT(f.text << " -> " << message) {
            BOOST_TEST(message.find(f.place) != std::string::npos);
            BOOST_TEST(message.find(f.found) != std::string::npos);
            BOOST_TEST(message.find(f.allowed) != std::string::npos);
        }
    }
}

BOOST_AUTO_TEST_CASE(keys_of_later_versions_are_refused_by_name) {
    for (const std::string text : {"[network]\nrelay = true\n", "[network]\nport_mapping = true\n",
                                   "[api]\naddress = \"127.0.0.1:1\"\n"}) {
        BOOST_TEST(complaint_about(text).find("is not in this version") != std::string::npos, text);
    }
}

BOOST_AUTO_TEST_CASE(unknown_keys_and_broken_toml_are_errors) {
    BOOST_TEST(complaint_about("[network]\nlisen = \"x\"\n")
                   .find("config.toml:2 network.lisen: unknown key") != std::string::npos);
    BOOST_TEST(complaint_about("[network\n").find("config.toml:1") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace tequio::node
