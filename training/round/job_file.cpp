#include "training/job_file.hpp"

#include <algorithm>
#include <utility>

#include "base/text.hpp"
#include "training/errc.hpp"
#include "training/round/job_data.hpp"
#include "training/round/job_reader.hpp"
#include "training/round/lines.hpp"
#include "training/round/task_fields.hpp"

namespace tequio::training {
namespace {

using kind = toml_value::kind;

constexpr std::string_view license_default = "NOASSERTION";  // SPDX: nothing was declared
constexpr std::array<std::string_view, 2> readers_has{"swarm", "everyone"};
/// Gradients are smaller than outer gradients (NUMERICS.md, Contributions and their sums).
constexpr int synchronous_window = -46;
constexpr std::string_view folder_allowed =
    "a folder with config.json and safetensors, as `tequio job fetch` writes it";
constexpr std::string_view deadline_allowed =
    "a duration like \"7d\" (1s to 366d) or a time like \"2026-11-23T06:28:00Z\"";

void read_job(job_reader& in, job_file& job) {
    in.section("job");
    const auto text = [&](const char* key, std::string& value, auto valid,
                          std::string_view allowed) {
        const bool given = in.text(key, value, allowed);
        if (!given && in.any(key) != nullptr) return;  // of another type: said already
        if (!valid(value)) in.refuse(key, given ? quoted(value) : "nothing", std::string(allowed));
    };
    text("name", job.name, name_is_valid, name_allowed);
    text("purpose", job.purpose, purpose_is_valid, purpose_allowed);
    text("data_license", job.data_license, license_is_valid, license_allowed);
    text("model_license", job.model_license, license_is_valid, license_allowed);
    in.word("readers", job.readers, word_choice{readers_has, {}});
    in.text("base_license", job.base_license, license_allowed);
}

/// The licence goes with weights that somebody made (`starts_from`), and with no others.
void check_base_license(job_reader& in, const job_file& job, bool starts_from) {
    in.section("job");
    const auto* given = in.any("base_license");
    if (given != nullptr && given->type != kind::text) return;  // said already
    const auto found = given == nullptr ? "nothing" : given->shown();
    if (!starts_from) {
        if (given != nullptr) in.refuse("base_license", found, "no such key without init_from");
    } else if (!base_license_is_valid(job.base_license)) {
        in.refuse("base_license", found,
                  std::string(license_allowed) + ": that of the weights in init_from");
    }
}

/// Visitor that lists a model's values as a job file would show them.
class value_lister {
public:
    std::vector<std::pair<std::string_view, std::string>> values;
    void section(std::string_view) {}
    void integer(std::string_view key, std::uint64_t n, std::uint64_t, std::uint64_t) {
        values.emplace_back(key, std::to_string(n));
    }
    void real(std::string_view key, double x, const real_bounds&) {
        values.emplace_back(key, base::shortest(x));
    }
    void flag(std::string_view key, bool x) { values.emplace_back(key, x ? "true" : "false"); }
    void word(std::string_view key, std::string_view text, const word_choice&) {
        values.emplace_back(key, quoted(text));
    }
    void optional_blob(std::string_view, const std::optional<base::blob_ref>&, std::string_view) {}
};

std::vector<std::pair<std::string_view, std::string>> values_of(const model_config& m) {
    value_lister lister;
    visit_model(m, lister);
    return std::move(lister.values);
}

/// What a job file says of the shape must be what the folder's config.json says.
void check_agreement(job_reader& in, const job_file& job, const model_config& folder) {
    const auto as = " (as " + quoted(job.init_from + "/config.json") + " says)";
    if (job.model.family != folder.family) {
        return in.refuse("family", quoted(job.model.family), quoted(folder.family) + as);
    }
    const auto found = values_of(job.model);
    const auto allowed = values_of(folder);
    for (std::size_t i = 0; i < found.size(); ++i) {
        const auto& [key, value] = found[i];
        const bool shorter =
            key == "context" && folder.family == "llama" && job.model.context < folder.context;
        if (value != allowed[i].second && !shorter) {
            in.refuse(key, value, allowed[i].second + as);
        }
    }
}

/// The model in the folder of init_from; a fault when it cannot be read.
std::optional<model_config> read_init_from(job_reader& in, job_file& job,
                                           const folder_reader& read_folder) {
    if (!in.text("init_from", job.init_from, folder_allowed)) return std::nullopt;
    if (job.init_from.empty() || job.init_from.size() > path_max_bytes ||
        !is_printable_utf8(job.init_from)) {
        in.refuse("init_from", quoted(job.init_from), std::string(folder_allowed));
        return std::nullopt;
    }
    auto folder = read_folder(job.init_from);
    if (folder) return *folder;
    in.refuse("init_from", quoted(job.init_from),
              std::string(folder_allowed) + " (" + folder.error().message() + ")",
              folder.error().is(errc::not_in_version));
    return std::nullopt;
}

/// The shape; what is missing of it keeps its value, or the default where it has none.
void read_shape(job_reader& in, model_config& model) {
    const auto kv_heads = std::exchange(model.kv_heads, 1);  // in bounds: a missing one is no fault
    const auto hidden = std::exchange(model.hidden, 1);
    visit_model(model, in);
    in.section("model");
    const bool llama = model.family == "llama";
    if (!llama || in.any("kv_heads") == nullptr) model.kv_heads = llama ? kv_heads : 0;
    if (!llama || in.any("hidden") == nullptr) model.hidden = llama ? hidden : 0;
    fill_model_defaults(model);
}

void read_model(job_reader& in, job_file& job, const folder_reader& read_folder) {
    in.section("model");
    const bool starts_from = in.any("init_from") != nullptr;
    std::optional<model_config> folder;
    if (starts_from) {
        folder = read_init_from(in, job, read_folder);
        // After a fault any shape will do: what is missing is then no fault of its own.
        job.model = folder ? *folder : job_template_options{}.model;
    }
    read_shape(in, job.model);
    if (folder) check_agreement(in, job, *folder);
    check_base_license(in, job, starts_from);
}

void read_accept(job_reader& in, trust_config& trust) {
    constexpr std::string_view allowed = "swarm, or a list of 1 to 256 node ids (64 hex digits)";
    const auto* node = in.any("accept");
    if (node == nullptr || (node->type == kind::text && node->text == "swarm")) return;
    if (node->type != kind::array || node->items.empty() || node->items.size() > task_accept_max) {
        return in.refuse("accept", node->shown(), std::string(allowed));
    }
    for (const auto& item : node->items) {
        const auto id = base::parse_id<base::node_id>(item.text);
        if (item.type != kind::text || !id) {
            return in.refuse("accept", item.shown(), std::string(allowed));
        }
        trust.accept.push_back(*id);
    }
    std::sort(trust.accept.begin(), trust.accept.end());
    const auto end = std::unique(trust.accept.begin(), trust.accept.end());
    trust.accept.erase(end, trust.accept.end());
}

void read_deadline(job_reader& in, job_file& job) {
    const auto* node = in.any("deadline");
    if (node == nullptr) return;
    if (node->type == kind::text || node->type == kind::date_time) {
        if (const auto time = base::from_rfc3339(node->text)) {
            job.deadline = *time;
            return;
        }
        const auto duration = base::parse_duration(node->text);
        if (duration && *duration >= std::chrono::seconds(1) &&
            *duration <= std::chrono::seconds(task_life_max_seconds)) {
            job.deadline = *duration;
            return;
        }
    }
    in.refuse("deadline", node->shown(), std::string(deadline_allowed));
}

void read_trust(job_reader& in, job_file& job) {
    visit_trust(job.trust, in);
    read_accept(in, job.trust);
    read_deadline(in, job);
    if (job.trust.crew_min > job.trust.crew_max) {
        in.refuse("crew_min", std::to_string(job.trust.crew_min),
                  "at most crew_max (" + std::to_string(job.trust.crew_max) + ")");
    }
    if (!job.slices.cuts.empty() && job.trust.crew_max > divided_crew_nodes_max) {
        in.refuse("crew_max", std::to_string(job.trust.crew_max),
                  std::string(divided_crew_allowed));
    }
}

/// What a job file of method synchronous may leave out, and what it must.
void read_synchronous(job_reader& in, train_config& train) {
    for (const auto* key : {"inner.ramp_steps", "outer"}) {
        const auto* node = in.any(key);
        if (node == nullptr) continue;
        in.refuse(key, node->shown(), "no such key with method synchronous (it belongs to diloco)");
    }
    if (in.any("inner_steps") == nullptr) train.inner_steps = 1;
    if (train.inner_steps > 1) {
        in.refuse("inner_steps", std::to_string(train.inner_steps), std::string(one_step_allowed));
    }
}

void read_train(job_reader& in, job_file& job) {
    in.section("train");
    const auto* method = in.any("method");
    if (method != nullptr && method->text == method_synchronous) {
        job.train.inner_steps = 1;
        job.train.window = synchronous_window;
    }
    job.train.micro_batch = 1;  // in bounds: a missing one is no fault
    visit_train(job.train, in);
    in.section("train");
    if (job.train.synchronous()) read_synchronous(in, job.train);
    if (in.any("micro_batch") == nullptr) job.train.micro_batch = job.train.batch;
}

/// Between fields: asked only when every field is within its own bounds.
void check_relations(job_reader& in, const job_file& job) {
    std::vector<field_fault> faults;
    check_model_relations(job.model, faults);
    if (faults.empty()) check_train_relations(job.model, job.train, faults);
    if (faults.empty()) check_slices_relations(job.model, job.slices, faults);
    for (auto& f : faults) in.refuse(std::move(f));
}

job_file job_defaults() {
    job_file job;
    job.data_license = license_default;
    job.model_license = license_default;
    job.readers = "swarm";
    job.tokenizer = "bytes";
    job.validation_share = 0.01;
    job.deadline = base::duration(std::chrono::hours(7 * 24));
    return job;
}

base::error refused(std::string_view file_name, std::uint64_t line, const field_fault& fault) {
    return fail(errc::bad_job_file,
                std::string(file_name) + ":" + std::to_string(line) + " " + fault.text());
}

}  // namespace

void fill_model_defaults(model_config& model) {
    if (model.family == "mlp") {
        model.context = 1;
        // The data says how many; until then the least.
        if (model.inputs == 0) model.inputs = 1;
        if (model.vocabulary == 0) model.vocabulary = 2;
    }
    if (model.family != "llama") return;
    if (model.kv_heads == 0) model.kv_heads = model.heads;
    // As many weights as an MLP of 4 times the width without a gate (Shazeer 2020, section 3).
    if (model.hidden == 0) model.hidden = (8 * model.width / 3 + 63) / 64 * 64;
}

base::result<job_file> parse_job_file(std::string_view text, std::string_view file_name,
                                      const folder_reader& read_folder) {
    if (text.size() > job_file_size_max_bytes) {
        return refused(file_name, 1,
                       {"job file", std::to_string(text.size()) + " bytes",
                        "at most " + std::to_string(job_file_size_max_bytes)});
    }
    const auto document = parse_toml(text);
    if (const auto* fault = std::get_if<toml_fault>(&document)) {
        return refused(file_name, fault->line,
                       {quoted(fault->key).substr(1, quoted(fault->key).size() - 2), fault->found,
                        fault->allowed});
    }
    job_reader in(std::get<toml_value>(document));
    const folder_reader none = [](const std::string&) -> base::result<model_config> {
        return fail(errc::bad_state, "no folder is read here");
    };
    auto job = job_defaults();
    read_job(in, job);
    read_model(in, job, read_folder ? read_folder : none);
    read_job_data(in, job);
    read_train(in, job);
    visit_slices(job.slices, in);
    read_trust(in, job);
    visit_keep(job.keep, in);
    if (!in.failed()) check_relations(in, job);
    in.refuse_unknown();
    if (!in.failed()) return job;
    bool lacks = false;
    auto report = in.report(file_name, lacks);
    return fail(lacks ? errc::not_in_version : errc::bad_job_file, std::move(report));
}

base::result<recipe> make_recipe(const job_file& job, const data_config& data) {
    recipe r{job.model, data, job.train, job.slices};
    TEQUIO_CHECK(check_recipe(r));
    return r;
}

base::result<task> make_task(const job_file& job, const recipe& work, const task_seal& seal) {
    task t;
    t.name = job.name;
    t.purpose = job.purpose;
    t.data_license = job.data_license;
    t.model_license = job.model_license;
    t.base_license = job.base_license;
    t.readers = job.readers;
    t.swarm = seal.swarm;
    t.submitter = seal.submitter;
    t.created = seal.now;
    if (const auto* absolute = std::get_if<base::unix_time>(&job.deadline)) {
        t.deadline = *absolute;
    } else {
        const auto life = std::get<base::duration>(job.deadline);
        t.deadline.seconds =
            seal.now.seconds + std::chrono::ceil<std::chrono::seconds>(life).count();
    }
    t.nonce = seal.nonce;
    t.exactness = seal.exactness;
    t.companion = seal.companion;
    t.trust = job.trust;
    t.keep = job.keep;
    t.work = work;
    TEQUIO_CHECK(check_task(t));
    return t;
}

}  // namespace tequio::training
