#include "training/job_file.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <vector>

#include "base/text.hpp"
#include "tests/unit/training/round_fixture.hpp"
#include "training/errc.hpp"

using namespace tequio;
using namespace tequio::training;

namespace {

const std::string example = read_vector("job_files/example.toml");

/// Number of the line that begins with `start` in the example; after the last when there is none.
std::size_t line_of(const std::string& text, std::string_view start) {
    std::size_t number = 0;
    for (const auto line : base::split(text, '\n')) {
        ++number;
        if (line.starts_with(start)) return number;
    }
    return number;
}

/// The example with the line that begins with `start` replaced.
std::string with_line(std::string_view start, std::string_view line) {
    std::string out;
    for (const auto part : base::split(example, '\n')) {
        out += part.starts_with(start) ? line : part;
        out += '\n';
    }
    return out;
}

/// A job file with one fault: the example's line beginning with `start` becomes `line`.
struct fault_row {
    const char* start;
    const char* line;
    const char* key;
    const char* found;
    const char* allowed;  ///< a part of what is said to be allowed
    bool lacks = false;
};

const fault_row fault_rows[] = {
    // [job]
    {"name", "name = ''", "job.name", "\"\"", "1 to 64 bytes"},
    {"name", "name = 'two\\nlines'\nname_ = 1", "job.name_", "an unknown key", "name, purpose"},
    {"name", "name = \"two\\nlines\"", "job.name", "\"two?lines\"", "printable"},
    {"name", "name = 5", "job.name", "5", "1 to 64 bytes"},
    {"name", "", "job.name", "nothing", "1 to 64 bytes"},
    {"purpose", "purpose = [\"a\"]", "job.purpose", "[\"a\"]", "at most 1024 bytes"},
    {"data_license", "data_license = \"<b>\"", "job.data_license", "\"<b>\"", "SPDX"},
    {"model_license", "model_license = \"\"", "job.model_license", "\"\"", "SPDX"},
    {"readers", "readers = \"nobody\"", "job.readers", "\"nobody\"", "swarm, everyone"},
    {"readers", "base_license = \"MIT\"", "job.base_license", "\"MIT\"",
     "no such key without init_from"},
    // [model]
    {"family", "family = \"GPT2\"", "model.family", "\"GPT2\"", "gpt2"},
    {"family", "", "model.family", "nothing", "gpt2"},
    {"layers", "layers = 0", "model.layers", "0", "an integer from 1 to 1024"},
    {"layers", "layers = -1", "model.layers", "-1", "an integer from 1 to 1024"},
    {"layers", "layers = \"6\"", "model.layers", "\"6\"", "an integer from 1 to 1024"},
    {"layers", "layers = 6.0", "model.layers", "6.0", "an integer from 1 to 1024"},
    {"layers", "layers = true", "model.layers", "true", "an integer from 1 to 1024"},
    {"layers", "layers = { a = 1 }", "model.layers", "a table", "an integer from 1 to 1024"},
    {"layers", "", "model.layers", "nothing", "an integer from 1 to 1024"},
    {"heads", "heads = 5", "model.heads", "5", "a divisor of width (width is 384)"},
    {"heads", "heads = 1", "model.heads", "1", "at least width / 256"},
    {"width", "width = 385", "model.width", "385", "a multiple of heads (heads is 6)"},
    {"width", "width = 9223372036854775807", "model.width", "9223372036854775807", "1 to 65536"},
    {"width", "width = 99999999999999999999", "model.width", "9999999", "TOML 1.0"},
    {"context", "context = 65537", "model.context", "65537", "an integer from 1 to 65536"},
    {"context", "context = 256\nvocabulary = 256", "model.vocabulary", "an unknown key", "family"},
    // [data]
    {"files", "files = []", "data.files", "[]", "1 to 1024 paths"},
    {"files", "", "data.files", "nothing", "1 to 1024 paths"},
    {"files", "files = \"gcide.txt\"", "data.files", "\"gcide.txt\"", "a list of 1 to 1024"},
    {"files", "files = [1]", "data.files", "1", "a relative path inside"},
    {"files", "files = [\"/etc/passwd\"]", "data.files", "\"/etc/passwd\"", "a relative path"},
    {"files", "files = [\"../secret\"]", "data.files", "\"../secret\"", "a relative path"},
    {"files", "files = [\"a/../../b\"]", "data.files", "\"a/../../b\"", "a relative path"},
    {"files", "files = ['..\\secret']", "data.files", "\"..\\secret\"", "a relative path"},
    {"files", "files = ['C:secret']", "data.files", "\"C:secret\"", "a relative path"},
    {"files", "files = ['']", "data.files", "\"\"", "a relative path"},
    {"files", "files = ['a', 'b.jsonl', 'c.bin']", "data.files", "\"c.bin\"",
     "files of one kind: \"a\" holds text"},
    {"files", "files = ['a.bin', 'b']", "data.files", "\"b\"", "\"a.bin\" holds tokens"},
    {"files", "files = ['digits.csv']", "data.files", "\"digits.csv\"",
     "text, .jsonl or .bin files for the family gpt2 (idx and .csv are for mlp)"},
    {"files", "files = ['t10k-images-idx3-ubyte']", "data.files", "\"t10k-images-idx3-ubyte\"",
     "files for the family gpt2"},
    {"files", "files = ['a.txt.gz']", "data.files", "\"a.txt.gz\"", "`gunzip FILE` unpacks one"},
    {"files", "files = ['a.bin']", "data.vocabulary", "nothing",
     "for .bin files, or data.tokenizer"},
    {"tokenizer", "tokenizer = \"gpt2\"", "data.tokenizer", "\"gpt2\"",
     "bytes, or the relative path of a tokenizer.json"},
    {"tokenizer", "tokenizer = \"/tokenizer.json\"", "data.tokenizer", "\"/tokenizer.json\"",
     "inside the job's folder"},
    {"tokenizer", "tokenizer = \"../tokenizer.json\"", "data.tokenizer", "\"../tokenizer.json\"",
     "inside the job's folder"},
    {"tokenizer", "vocabulary = 1", "data.vocabulary", "1", "an integer from 2 to 1048576"},
    {"tokenizer", "vocabulary = 1048577", "data.vocabulary", "1048577", "an integer from 2"},
    {"tokenizer", "vocabulary = \"all\"", "data.vocabulary", "\"all\"", "an integer from 2"},
    {"tokenizer", "label = \"kind\"", "data.label", "\"kind\"",
     "no such key with files of text (it belongs to .csv)"},
    {"tokenizer", "header = true", "data.header", "true", "no such key with files of text"},
    {"tokenizer", "shuffle = false", "data.shuffle", "false",
     "no such key with files of text (it belongs to idx and .csv)"},
    {"tokenizer", "tokeniser = \"bytes\"", "data.tokeniser", "an unknown key",
     "files, tokenizer, vocabulary, label, header, shuffle, validation"},
    {"tokenizer", "tokenizer = 1", "data.tokenizer", "1", "bytes"},
    {"validation", "validation = 1", "data.validation", "1", "a real from 0 to below 1"},
    {"validation", "validation = 1.5", "data.validation", "1.5", "a real from 0 to below 1"},
    {"validation", "validation = -0.1", "data.validation", "-0.1", "a real from 0 to below 1"},
    {"validation", "validation = nan", "data.validation", "nan", "a real from 0 to below 1"},
    // [train]
    {"method", "method = \"gossip\"", "train.method", "\"gossip\"", "diloco, synchronous"},
    {"lanes", "lanes = 0", "train.lanes", "0", "an integer from 1 to 65536"},
    {"lanes", "lanes = 65537", "train.lanes", "65537", "an integer from 1 to 65536"},
    {"lanes", "lanez = 8", "train.lanez", "an unknown key", "method, lanes, rounds"},
    {"rounds", "rounds = 1048577", "train.rounds", "1048577", "an integer from 1 to 1048576"},
    {"rounds", "rounds = \"many\"", "train.rounds", "\"many\"", "an integer from 1 to 1048576"},
    {"inner_steps", "inner_steps = 0", "train.inner_steps", "0", "an integer from 1"},
    {"batch", "batch = 65544", "train.batch", "65544", "at most 65536 with context 256"},
    {"micro_batch", "micro_batch = 3", "train.micro_batch", "3", "a divisor of batch (8)"},
    {"micro_batch", "micro_batch = 16", "train.micro_batch", "16", "a divisor of batch (8)"},
    {"window", "window = 1", "train.window", "1", "an integer from -80 to 0"},
    {"window", "window = -81", "train.window", "-81", "an integer from -80 to 0"},
    {"inner =", "inner = 5", "train.inner", "5", "a table"},
    {"inner =", "inner = { optimizer = \"sgd\" }", "train.inner.optimizer", "\"sgd\"", "adamw"},
    {"inner =", "inner = { lr = 0 }", "train.inner.lr", "0", "a real from 1e-15 to 1e+09"},
    {"inner =", "inner = { lr = inf }", "train.inner.lr", "inf", "a real from 1e-15 to 1e+09"},
    {"inner =", "inner = { lr = -nan }", "train.inner.lr", "nan", "a real from 1e-15 to 1e+09"},
    {"inner =", "inner = { lr = 1e-320 }", "train.inner.lr", "1e-320", "a real from 1e-15"},
    {"inner =", "inner = { lr = \"4e-4\" }", "train.inner.lr", "\"4e-4\"", "a real from 1e-15"},
    {"inner =", "inner = { betas = 0.9 }", "train.inner.betas", "0.9", "two reals"},
    {"inner =", "inner = { betas = [0.9] }", "train.inner.betas", "[0.9]", "two reals"},
    {"inner =", "inner = { betas = [0.9, 1.0] }", "train.inner.betas", "[0.9, 1.0]", "two reals"},
    {"inner =", "inner = { ramp_steps = -1 }", "train.inner.ramp_steps", "-1", "an integer from 0"},
    {"inner =", "inner = { rate = 1 }", "train.inner.rate", "an unknown key", "optimizer, lr"},
    {"outer =", "outer = { optimizer = \"sgd\" }", "train.outer.optimizer", "\"sgd\"", "nesterov"},
    {"outer =", "outer = { momentum = 1 }", "train.outer.momentum", "1",
     "a real from 0 to below 1"},
    {"schedule", "schedule = { decay = \"step\" }", "train.schedule.decay", "\"step\"",
     "cosine, linear, none"},
    {"schedule", "schedule = { final = 2 }", "train.schedule.final", "2", "a real from 0 to 1"},
    {"codec =", "codec = \"mxfp6\"", "train.codec", "\"mxfp6\"", "f32, mxint8, mxfp4"},
    {"codec_down", "codec_down = 8", "train.codec_down", "8", "f32, mxint8, mxfp4"},
    {"numerics", "numerics = \"fast/1\"", "train.numerics", "\"fast/1\"", "exact/1"},
    {"seed", "seed = 1.5", "train.seed", "1.5", "an integer from 0 to 9223372036854775807"},
    // [slices]
    {"cuts", "cuts = [4, 2]", "slices.cuts", "[4,2]",
     "layers from 1 to 5, each above the one before"},
    {"cuts", "cuts = [2, 2]", "slices.cuts", "[2,2]", "each above the one before"},
    {"cuts", "cuts = [0, 2]", "slices.cuts", "[0,2]", "layers from 1 to 5"},
    {"cuts", "cuts = [6]", "slices.cuts", "[6]", "layers from 1 to 5"},
    {"cuts", "cuts = 2", "slices.cuts", "2", "a list of layers like [2, 4], or []"},
    {"cuts", "cuts = [\"2\"]", "slices.cuts", "[\"2\"]", "a list of layers"},
    {"cuts", "cuts = [-1]", "slices.cuts", "[-1]", "a list of layers"},
    {"activations", "activations = \"bf16\"", "slices.activations", "\"bf16\"", "f32 without cuts"},
    {"activations", "activations = \"fp8\"", "slices.activations", "\"fp8\"", "f32, bf16, mxint8"},
    // [trust]
    {"check", "check = 0.01", "trust.check", "0.01", "a real from 0.05 to 1"},
    {"settle", "settle = 0", "trust.settle", "0", "an integer from 1 to 1000"},
    {"crew_max", "crew_max = 1025", "trust.crew_max", "1025", "an integer from 1 to 1024"},
    {"crew_min", "crew_min = 9\ncrew_mix = 9", "trust.crew_mix", "an unknown key", "crew_min"},
    {"accept", "accept = \"friends\"", "trust.accept", "\"friends\"", "swarm, or a list"},
    {"accept", "accept = []", "trust.accept", "[]", "swarm, or a list"},
    {"accept", "accept = [\"abc\"]", "trust.accept", "\"abc\"", "64 hex digits"},
    {"deadline", "deadline = \"soon\"", "trust.deadline", "\"soon\"", "a duration like"},
    {"deadline", "deadline = 7", "trust.deadline", "7", "a duration like"},
    {"deadline", "deadline = \"0s\"", "trust.deadline", "\"0s\"", "a duration like"},
    {"deadline", "deadline = \"400d\"", "trust.deadline", "\"400d\"", "1s to 366d"},
    {"deadline", "deadline = 2026-12-01", "trust.deadline", "a date", "a time like"},
    {"deadline", "deadline = \"2026-13-01T00:00:00Z\"", "trust.deadline", "2026-13-01", "a time"},
    // [keep]
    {"copies", "copies = 0", "keep.copies", "0", "an integer from 1 to 64"},
    {"days", "days = 0", "keep.days", "0", "an integer from 1 to 3650"},
    // whole files
    {"[keep]", "[kept]", "kept", "an unknown key", "job, model, data, train, slices, trust, keep"},
    {"days", "days = 30\n[[train]]", "[[train]]", "a second one", "once"},
    {"days", "days = 30\nday\\s = 1", "keep.day", "day", "TOML 1.0"},
    {"seed", "seed = 1\nseed = 2", "train.seed", "\"seed = 2\", a second one", "once"},
    {"seed", "seed = ", "train.seed", "\"seed =\"", "TOML 1.0"},
    {"seed", "seed = 01", "train.seed", "\"seed = 01\"", "TOML 1.0"},
    {"seed", "seed 1", "train", "\"seed 1\"", "TOML 1.0"},
    {"[train]", "[train", "[train", "\"[train\"", "TOML 1.0"},
    {"[train]", "[[train]]", "train", "[a table]", "a section [train]"},
};

}  // namespace

BOOST_AUTO_TEST_SUITE(job_file_test)

BOOST_AUTO_TEST_CASE(example_of_the_interface_is_read) {
    const auto parsed = parse_job_file(example, "job.toml");
    BOOST_REQUIRE_MESSAGE(parsed, parsed.error().message());
    const auto& job = *parsed;
    BOOST_TEST(job.name == "webster");
    BOOST_TEST(job.purpose.starts_with("A small language model"));
    BOOST_TEST(job.data_license == "GPL-2.0-or-later");
    BOOST_TEST((job.files == std::vector<std::string>{"gcide.txt"}));
    BOOST_TEST(job.validation_share == 0.01);
    BOOST_TEST((job.trust == trust_config{}));
    BOOST_TEST((job.keep == keep_config{}));
    BOOST_TEST((std::get<base::duration>(job.deadline) == std::chrono::hours(7 * 24)));
    const auto r = make_recipe(job, example_recipe().data);
    BOOST_REQUIRE_MESSAGE(r, r.error().message());
    BOOST_TEST((*r == example_recipe()));
}

BOOST_AUTO_TEST_CASE(missing_keys_take_their_defaults) {
    const auto parsed = parse_job_file(read_vector("job_files/minimal.toml"), "minimal.toml");
    BOOST_REQUIRE_MESSAGE(parsed, parsed.error().message());
    BOOST_TEST(parsed->train.inner.lr == 1e6);
    BOOST_TEST(parsed->train.micro_batch == 1);
    BOOST_TEST(parsed->train.window == -40);
    BOOST_TEST(parsed->train.outer.lr == 0.7);
    BOOST_TEST(parsed->train.schedule.decay == "cosine");
    BOOST_TEST(parsed->validation_share == 0.01);
    BOOST_TEST(parsed->data_license == "NOASSERTION");
    BOOST_TEST((parsed->files == std::vector<std::string>{"a/b.txt", "c.txt"}));
    BOOST_TEST((std::get<base::duration>(parsed->deadline) == std::chrono::hours(7 * 24)));
}

BOOST_AUTO_TEST_CASE(data_may_be_tokens_and_have_a_tokenizer) {
    const auto with = [](std::string_view files, std::string_view tokenizer) {
        return parse_job_file(
            replaced(with_line("files", files), "tokenizer = \"bytes\"", tokenizer), "job.toml");
    };
    const auto text = with("files = ['a.txt', 'b.jsonl']", "tokenizer = \"t/tokenizer.json\"");
    BOOST_REQUIRE_MESSAGE(text, text.error().message());
    BOOST_TEST(text->tokenizer == "t/tokenizer.json");
    BOOST_TEST((text->data_kind == file_kind::text));
    BOOST_TEST(text->model.vocabulary == 256);
    const auto tokens = with("files = ['a.bin', 'b.bin']", "vocabulary = 50304");
    BOOST_REQUIRE_MESSAGE(tokens, tokens.error().message());
    BOOST_TEST((tokens->data_kind == file_kind::tokens));
    BOOST_TEST(tokens->vocabulary == 50304);
    BOOST_TEST(tokens->model.vocabulary == 50304);
    BOOST_TEST(with("files = ['a.bin']", "tokenizer = \"tokenizer.json\"").has_value());
}

BOOST_AUTO_TEST_CASE(micro_batch_is_the_batch_by_default) {
    const auto parsed = parse_job_file(with_line("micro_batch", ""), "job.toml");
    BOOST_REQUIRE(parsed);
    BOOST_TEST(parsed->train.micro_batch == 8);
}

BOOST_AUTO_TEST_CASE(each_fault_names_line_key_found_and_allowed) {
    for (const auto& row : fault_rows) {
        const auto text = with_line(row.start, row.line);
        const auto parsed = parse_job_file(text, "job.toml");
        BOOST_REQUIRE_MESSAGE(!parsed, "accepted: " << row.line);
        const auto& error = parsed.error();
        const auto message = error.message();
        const bool missing = std::string_view(row.found) == "nothing";
        const std::string_view key(row.key);
        // A missing key is looked for in its section; an added line is the last one of its row.
        auto line = missing
                        ? line_of(text, std::string("[").append(key.substr(0, key.find('.'))) + "]")
                        : line_of(example, row.start);
        line += static_cast<std::size_t>(std::ranges::count(std::string_view(row.line), '\n'));
        const auto begin = "job.toml:" + std::to_string(line) + " " + row.key;
        bool said = false;
        for (const auto part : base::split(message, '\n')) {
            said = said ||
                   (part.starts_with(begin) && part.find(": found ") != part.npos &&
                    part.find(row.found) != part.npos && part.find(", allowed: ") != part.npos &&
                    part.find(row.allowed, part.find(", allowed: ")) != part.npos);
        }
        BOOST_TEST(said, "wanted " << begin << ", " << row.found << ", " << row.allowed << "; got\n"
                                   << error.message());
        BOOST_TEST(error.is(row.lacks ? errc::not_in_version : errc::bad_job_file), message);
    }
}

BOOST_AUTO_TEST_CASE(all_faults_are_told_in_the_order_of_the_file) {
    auto text = replaced(example, "days = 30", "days = -30");
    text = replaced(text, "lanes = 8", "lanes = 0");
    text = replaced(text, "[job]", "[job]\nowner = 1");
    const auto parsed = parse_job_file(text, "job.toml");
    BOOST_REQUIRE(!parsed);
    const auto message = parsed.error().message();
    const auto lines = base::split(message, '\n');
    BOOST_REQUIRE(lines.size() == 3);
    BOOST_TEST(lines[0].starts_with("job.toml:2 job.owner"));
    BOOST_TEST(lines[1].starts_with("job.toml:23 train.lanes"));
    BOOST_TEST(lines[2].starts_with("job.toml:52 keep.days"));
}

BOOST_AUTO_TEST_CASE(crew_limits_must_be_in_order) {
    const auto text = replaced(replaced(example, "crew_min = 1", "crew_min = 3"), "crew_max = 64",
                               "crew_max = 2");
    const auto parsed = parse_job_file(text, "job.toml");
    BOOST_REQUIRE(!parsed);
    BOOST_TEST(parsed.error().message().find(
                   "trust.crew_min: found 3, allowed: at most crew_max (2)") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_crew_above_64_nodes_is_in_groups_which_a_model_with_cuts_cannot_be) {
    const auto many = replaced(example, "crew_max = 64", "crew_max = 1024");
    const auto parsed = parse_job_file(many, "job.toml");
    BOOST_REQUIRE(parsed);
    BOOST_TEST(parsed->trust.crew_max == 1024U);
    const auto both = replaced(many, "cuts = []", "cuts = [2, 4]");
    const auto divided = parse_job_file(both, "job.toml");
    BOOST_REQUIRE(!divided);
    const auto line = std::count(both.begin(), both.begin() + both.find("crew_max"), '\n') + 1;
    BOOST_TEST(divided.error().message() ==
               "job.toml:" + std::to_string(line) +
                   " trust.crew_max: found 1024, allowed: at most 64 with slices.cuts");
    auto t = replaced(both, "crew_max = 1024", "crew_max = 64");
    BOOST_TEST(parse_job_file(t, "job.toml").has_value());
}

BOOST_AUTO_TEST_CASE(accepted_nodes_are_sorted_and_counted_once) {
    const std::string a(64, 'a');
    const std::string b(64, 'b');
    const auto text = replaced(example, "accept = \"swarm\"",
                               "accept = [\"" + b + "\", \"" + a + "\", \"" + b + "\"]");
    const auto parsed = parse_job_file(text, "job.toml");
    BOOST_REQUIRE_MESSAGE(parsed, parsed.error().message());
    BOOST_REQUIRE(parsed->trust.accept.size() == 2);
    BOOST_TEST(parsed->trust.accept[0].hex() == a);
}

BOOST_AUTO_TEST_CASE(deadlines_are_durations_or_times) {
    for (const auto* form :
         {"deadline = \"2026-12-01T00:00:00Z\"", "deadline = 2026-12-01T00:00:00Z"}) {
        const auto parsed = parse_job_file(with_line("deadline", form), "job.toml");
        BOOST_REQUIRE_MESSAGE(parsed, parsed.error().message());
        BOOST_TEST(base::to_rfc3339(std::get<base::unix_time>(parsed->deadline)) ==
                   "2026-12-01T00:00:00Z");
    }
    const auto short_one = parse_job_file(with_line("deadline", "deadline = \"90s\""), "job.toml");
    BOOST_REQUIRE(short_one);
    BOOST_TEST((std::get<base::duration>(short_one->deadline) == std::chrono::seconds(90)));
}

BOOST_AUTO_TEST_CASE(hostile_texts_are_refused_without_harm) {
    BOOST_TEST(!parse_job_file("", "job.toml"));
    BOOST_TEST(!parse_job_file(std::string("\0\0\0", 3), "job.toml"));
    BOOST_TEST(!parse_job_file("\xff\xfe", "job.toml"));
    BOOST_TEST(!parse_job_file("a = " + std::string(10000, '['), "job.toml"));
    BOOST_TEST(!parse_job_file(std::string(job_file_size_max_bytes + 1, '#'), "job.toml"));
    // A terminal's control sequences must not pass through a message.
    const auto parsed =
        parse_job_file("[job]\n\"\\u001b[2J\" = 1\nname = \"\\u001b[2J\"\n", "job.toml");
    BOOST_REQUIRE(!parsed);
    BOOST_TEST(parsed.error().message().find('\x1b') == std::string::npos);
    // Cut anywhere, the file is refused or means what it says.
    for (std::size_t n = 0; n < example.size(); n += 7) {
        const auto cut = parse_job_file(example.substr(0, n), "job.toml");
        BOOST_TEST((!cut || !cut->files.empty()));
    }
}

BOOST_AUTO_TEST_CASE(tasks_take_their_deadline_from_the_job) {
    auto job = *parse_job_file(example, "job.toml");
    const auto key = example_key();
    const task_seal seal{{1795415280},
                         {},
                         key.public_part(),
                         std::string(32, '0'),
                         "exact/1:" + std::string(64, '0')};
    const auto relative = make_task(job, example_recipe(), seal);
    BOOST_REQUIRE_MESSAGE(relative, relative.error().message());
    BOOST_TEST(relative->deadline.seconds == 1795415280 + 7 * 24 * 3600);
    BOOST_TEST(relative->name == "webster");
    BOOST_TEST((relative->work == example_recipe()));
    job.deadline = base::unix_time{1795415280};
    BOOST_TEST(!make_task(job, example_recipe(), seal));
    job.deadline = base::unix_time{1795415281};
    BOOST_TEST(make_task(job, example_recipe(), seal).has_value());
}

BOOST_AUTO_TEST_CASE(template_is_accepted_with_the_sizes_asked_for) {
    job_template_options options;
    options.name = "say \"hi\" \\ wave";
    options.data_file = "my \"text\".txt";
    options.rounds = 17;
    const auto text = job_template(options);
    BOOST_REQUIRE_MESSAGE(text, text.error().message());
    BOOST_TEST(text->find('@') == std::string::npos);
    const auto job = parse_job_file(*text, "job.toml");
    BOOST_REQUIRE_MESSAGE(job, job.error().message());
    BOOST_TEST(job->name == options.name);
    BOOST_TEST((job->files == std::vector<std::string>{options.data_file}));
    BOOST_TEST(job->train.rounds == 17);
    BOOST_TEST((job->model == options.model));
}

BOOST_AUTO_TEST_CASE(template_of_another_family_is_accepted_too) {
    job_template_options options;
    options.model.family = "llama";
    const auto text = job_template(options);
    BOOST_REQUIRE_MESSAGE(text, text.error().message());
    const auto job = parse_job_file(*text, "job.toml");
    BOOST_REQUIRE_MESSAGE(job, job.error().message());
    fill_model_defaults(options.model);
    BOOST_TEST((job->model == options.model));
    options.model.family = "perceptron";
    BOOST_TEST(job_template(options).error().is(errc::bad_job_file));
}

BOOST_AUTO_TEST_CASE(template_of_digits_is_accepted_and_other_examples_are_refused) {
    job_template_options options;
    options.example = "digits";
    options.model.layers = 3;
    options.model.width = 200;
    const auto text = job_template(options);
    BOOST_REQUIRE_MESSAGE(text, text.error().message());
    BOOST_TEST(text->find('@') == std::string::npos);
    BOOST_TEST(text->find("not handwriting") != std::string::npos);
    const auto job = parse_job_file(*text, "job.toml");
    BOOST_REQUIRE_MESSAGE(job, job.error().message());
    BOOST_TEST(job->model.family == "mlp");
    BOOST_TEST(job->model.layers == 3U);
    BOOST_TEST(job->model.width == 200U);
    BOOST_TEST((job->files == std::vector<std::string>{std::string(digit_images_file),
                                                       std::string(digit_labels_file)}));
    options.example = "nonsense";
    const auto refused = job_template(options);
    BOOST_REQUIRE(!refused);
    BOOST_TEST(refused.error().is(errc::bad_job_file));
    BOOST_TEST(refused.error().message() == "--example: found \"nonsense\", allowed: text, digits");
}

BOOST_AUTO_TEST_SUITE_END()
