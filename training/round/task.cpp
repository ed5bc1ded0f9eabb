#include "training/task.hpp"

#include <algorithm>

#include "base/ensure.hpp"
#include "base/sha256.hpp"
#include "base/text.hpp"
#include "training/crew.hpp"
#include "training/errc.hpp"
#include "training/round/lines.hpp"
#include "training/round/recipe_fields.hpp"
#include "training/round/task_fields.hpp"

namespace tequio::training {
namespace {

static_assert(crew_nodes_max == crew_groups_nodes_max && divided_crew_nodes_max == crew_members_max,
              "a task may ask for as many nodes as a crew can be");

constexpr std::string_view task_magic = "tequio/task/v1";
constexpr std::string_view cancellation_magic = "tequio/cancel/v1";

base::note_key verifier(const base::public_key& key) {
    return {std::string(submitter_name), key};
}

std::string accept_text(const std::vector<base::node_id>& accept) {
    if (accept.empty()) return "swarm";
    std::string out;
    for (const auto& node : accept) {
        if (!out.empty()) out += ',';
        out += node.hex();
    }
    return out;
}

void read_accept(line_reader& in, std::vector<base::node_id>& out) {
    const auto text = in.value("trust.accept");
    if (in.failed() || text == "swarm") return;
    for (const auto part : base::split(text, ',')) {
        const auto node = base::parse_id<base::node_id>(part);
        if (!node || out.size() == task_accept_max || (!out.empty() && !(out.back() < *node))) {
            return in.refuse("trust.accept", "swarm, or at most 256 node ids in ascending order");
        }
        out.push_back(*node);
    }
}

base::public_key read_submitter(line_reader& in) {
    const auto key = base::parse_note_key(in.value("submitter"));
    if (in.failed()) return {};
    if (!key || key->name != submitter_name) {
        in.refuse("submitter", "a verifier key named " + std::string(submitter_name));
        return {};
    }
    return key->key;
}

base::unix_time read_time(line_reader& in, std::string_view key) {
    const auto time = base::from_rfc3339(in.value(key));
    if (!in.failed() && !time) in.refuse(key, "a time like 2026-11-23T06:28:00Z");
    return time ? *time : base::unix_time{};
}

base::error bad(std::string_view key, std::string_view found, std::string_view allowed) {
    return fail(errc::bad_task, "task " + std::string(key) + ": found " + std::string(found) +
                                    ", allowed: " + std::string(allowed));
}

bool is_hex(std::string_view text, std::size_t digits) {
    return text.size() == digits &&
           text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

base::result<void> check_exactness(const task& t) {
    const auto at = t.exactness.find(':');
    if (t.exactness.substr(0, at) == t.work.train.numerics && at != std::string::npos &&
        is_hex(std::string_view(t.exactness).substr(at + 1), 64)) {
        return {};
    }
    return bad("exactness", quoted(t.exactness), t.work.train.numerics + ":, 64 hex digits");
}

std::string companion_text(const task& t) {
    return t.companion ? t.companion->text() : "none";
}

void read_companion(line_reader& in, task& t) {
    const auto text = in.value("companion");
    if (in.failed() || text == "none") return;
    const auto ref = base::parse_blob_ref(text);
    if (!ref) return in.refuse("companion", "none, or 64 hexadecimal digits, ':', size in bytes");
    t.companion = *ref;
}

base::result<void> check_companion(const task& t) {
    if (!t.companion) return {};
    if (t.work.model.family == "mlp") {
        return bad("companion", t.companion->text(), "none: a model of examples has no tokenizer");
    }
    if (t.companion->size == 0 || t.companion->size > task_companion_size_max_bytes) {
        return bad("companion", t.companion->text(),
                   "a file of 1 to " + std::to_string(task_companion_size_max_bytes) + " bytes");
    }
    return {};
}

base::result<void> check_texts(const task& t) {
    if (!name_is_valid(t.name)) return bad("name", quoted(t.name), name_allowed);
    if (!purpose_is_valid(t.purpose)) return bad("purpose", quoted(t.purpose), purpose_allowed);
    if (!license_is_valid(t.data_license)) {
        return bad("data_license", quoted(t.data_license), license_allowed);
    }
    if (!license_is_valid(t.model_license)) {
        return bad("model_license", quoted(t.model_license), license_allowed);
    }
    if (t.work.model.init ? !base_license_is_valid(t.base_license) : !t.base_license.empty()) {
        return bad("base_license", quoted(t.base_license),
                   t.work.model.init ? license_allowed : "none: the weights are drawn");
    }
    if (t.readers != "swarm" && t.readers != "everyone") {
        return bad("readers", quoted(t.readers), "swarm, everyone");
    }
    if (!is_hex(t.nonce, nonce_digits)) return bad("nonce", quoted(t.nonce), "32 hex digits");
    return {};
}

base::result<void> check_times(const task& t) {
    if (t.created.seconds < 0 || t.created.seconds > time_max_seconds) {
        return bad("created", base::to_rfc3339(t.created), "a time after 1970 and before 2200");
    }
    if (t.deadline <= t.created || t.deadline.seconds - t.created.seconds > task_life_max_seconds) {
        return bad("deadline", base::to_rfc3339(t.deadline),
                   "a time after the creation, at most 366 days");
    }
    return {};
}

base::result<void> check_lists(const task& t) {
    const auto& accept = t.trust.accept;
    if (accept.size() > task_accept_max ||
        std::adjacent_find(accept.begin(), accept.end(), std::greater_equal<>()) != accept.end()) {
        return bad("trust.accept", std::to_string(accept.size()) + " node ids",
                   "at most 256, in ascending order");
    }
    field_checker_for_task checker;
    visit_trust(t.trust, checker);
    visit_keep(t.keep, checker);
    if (checker.fault) return fail(errc::bad_task, "task " + checker.fault->text());
    if (t.trust.crew_min > t.trust.crew_max) {
        return bad("trust.crew_min", std::to_string(t.trust.crew_min),
                   "at most crew_max (" + std::to_string(t.trust.crew_max) + ")");
    }
    if (!t.work.slices.cuts.empty() && t.trust.crew_max > divided_crew_nodes_max) {
        return bad("trust.crew_max", std::to_string(t.trust.crew_max),
                   std::string(divided_crew_allowed));
    }
    return {};
}

}  // namespace

bool name_is_valid(std::string_view text) {
    return !text.empty() && text.size() <= task_name_max_bytes && is_printable_utf8(text) &&
           text.front() != ' ' && text.back() != ' ';
}

bool purpose_is_valid(std::string_view text) {
    return text.size() <= task_purpose_max_bytes && is_printable_utf8(text);
}

bool license_is_valid(std::string_view text) {
    const auto word = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '.' || c == '-' || c == '+' || c == '(' || c == ')' || c == ' ' || c == ':';
    };
    return !text.empty() && text.size() <= task_license_max_bytes &&
           std::all_of(text.begin(), text.end(), word);
}

bool base_license_is_valid(std::string_view text) {
    return license_is_valid(text) && text != no_base_license;
}

std::string task_text(const task& t) {
    line_writer out;
    out.line(task_magic);
    out.value("name", t.name);
    out.value("purpose", t.purpose);
    out.value("data_license", t.data_license);
    out.value("model_license", t.model_license);
    out.value("base_license", t.base_license.empty() ? no_base_license : t.base_license);
    out.value("readers", t.readers);
    out.value("swarm", t.swarm.hex());
    out.value("submitter", verifier(t.submitter).text());
    out.value("created", base::to_rfc3339(t.created));
    out.value("deadline", base::to_rfc3339(t.deadline));
    out.value("nonce", t.nonce);
    out.value("exactness", t.exactness);
    out.value("companion", companion_text(t));
    out.real("trust.check", t.trust.check);
    out.value("trust.settle", t.trust.settle);
    out.value("trust.crew_min", t.trust.crew_min);
    out.value("trust.crew_max", t.trust.crew_max);
    out.value("trust.accept", accept_text(t.trust.accept));
    out.value("keep.copies", t.keep.copies);
    out.value("keep.state_every", t.keep.state_every);
    out.value("keep.days", t.keep.days);
    const auto work = recipe_text(t.work);
    out.value("recipe", base::sha256(work).hex());
    out.append(work);
    return out.take();
}

base::result<void> check_task(const task& t) {
    TEQUIO_CHECK(check_recipe(t.work));
    TEQUIO_CHECK(check_texts(t));
    TEQUIO_CHECK(check_exactness(t));
    TEQUIO_CHECK(check_companion(t));
    TEQUIO_CHECK(check_times(t));
    return check_lists(t);
}

base::task_id task_id_of(const task& t) {
    return base::id_of<base::task_id>(base::as_bytes(task_text(t)));
}

std::vector<base::blob_ref> task_blobs(const task& t) {
    auto out = recipe_blobs(t.work);
    if (t.companion) out.push_back(*t.companion);
    return out;
}

std::uint64_t task_blob_bytes(const task& t) {
    // At most three blobs of 1 TiB: no overflow.
    std::uint64_t bytes = 0;
    for (const auto& ref : task_blobs(t)) bytes += ref.size;
    return bytes;
}

base::task_id task_id_of(const base::signed_note& note) {
    return base::id_of<base::task_id>(base::as_bytes(note.text));
}

base::result<base::signed_note> sign_task(const task& t, const base::signing_key& submitter) {
    base::ensure(submitter.public_part() == t.submitter, "a task names the key that signs it");
    TEQUIO_CHECK(check_task(t));
    base::signed_note note{task_text(t), {}};
    note.sign(submitter_name, submitter);
    return note;
}

base::result<task> parse_task(const base::signed_note& note) {
    if (note.text.size() > task_size_max_bytes) {
        return fail(errc::task_too_large, "task: found " + std::to_string(note.text.size()) +
                                              " bytes, allowed: at most " +
                                              std::to_string(task_size_max_bytes));
    }
    line_reader in(note.text, errc::bad_task, "task");
    task t;
    in.line(task_magic);
    t.name = in.value("name");
    t.purpose = in.value("purpose");
    t.data_license = in.value("data_license");
    t.model_license = in.value("model_license");
    t.base_license = in.value("base_license");
    if (t.base_license == no_base_license) t.base_license.clear();
    t.readers = in.value("readers");
    t.swarm = in.id<base::swarm_id>("swarm");
    t.submitter = read_submitter(in);
    t.created = read_time(in, "created");
    t.deadline = read_time(in, "deadline");
    t.nonce = in.value("nonce");
    t.exactness = in.value("exactness");
    read_companion(in, t);
    t.trust.check = in.real("trust.check");
    t.trust.settle = in.integer("trust.settle");
    t.trust.crew_min = in.integer("trust.crew_min");
    t.trust.crew_max = in.integer("trust.crew_max");
    read_accept(in, t.trust.accept);
    t.keep.copies = in.integer("keep.copies");
    t.keep.state_every = in.integer("keep.state_every");
    t.keep.days = in.integer("keep.days");
    const auto recipe_hash = in.id<base::recipe_id>("recipe");
    if (in.failed()) return in.finish().error();
    // The signature before the recipe: a stranger's bytes are not worth more work than that.
    if (const auto signature = note.verify(verifier(t.submitter)); !signature) {
        return fail(errc::task_unsigned, "task: " + signature.error().message());
    }
    TEQUIO_TRY(t.work, parse_recipe(in.rest()));
    if (recipe_hash != recipe_id_of(t.work)) {
        return bad("recipe", recipe_hash.hex(), "the SHA-256 of the recipe below it");
    }
    TEQUIO_CHECK(check_task(t));
    if (task_text(t) != note.text) return fail(errc::bad_task, "task: not in canonical form");
    return t;
}

base::result<task> parse_task(std::string_view note) {
    if (note.size() > task_size_max_bytes) {
        return fail(errc::task_too_large, "task: found " + std::to_string(note.size()) +
                                              " bytes, allowed: at most " +
                                              std::to_string(task_size_max_bytes));
    }
    const auto parsed = base::parse_signed_note(note);
    if (!parsed) return fail(errc::bad_task, "task: " + parsed.error().message());
    return parse_task(*parsed);
}

std::string cancellation_text(const cancellation& c) {
    line_writer out;
    out.line(cancellation_magic);
    out.value("task", c.task.hex());
    out.value("submitter", verifier(c.submitter).text());
    out.value("created", base::to_rfc3339(c.created));
    out.value("reason", c.reason);
    return out.take();
}

base::signed_note sign_cancellation(const cancellation& c, const base::signing_key& submitter) {
    base::ensure(submitter.public_part() == c.submitter, "a cancellation names its signer");
    base::ensure(purpose_is_valid(c.reason), "the reason was checked");
    base::signed_note note{cancellation_text(c), {}};
    note.sign(submitter_name, submitter);
    return note;
}

base::result<cancellation> parse_cancellation(const base::signed_note& note) {
    if (note.text.size() > task_size_max_bytes) {
        return fail(errc::task_too_large, "cancellation: above the size of a task");
    }
    line_reader in(note.text, errc::bad_task, "cancellation");
    cancellation c;
    in.line(cancellation_magic);
    c.task = in.id<base::task_id>("task");
    c.submitter = read_submitter(in);
    c.created = read_time(in, "created");
    c.reason = in.value("reason");
    if (!in.failed() && !purpose_is_valid(c.reason)) in.refuse("reason", purpose_allowed);
    TEQUIO_CHECK(in.finish());
    if (const auto signature = note.verify(verifier(c.submitter)); !signature) {
        return fail(errc::task_unsigned, "cancellation: " + signature.error().message());
    }
    if (cancellation_text(c) != note.text) {
        return fail(errc::bad_task, "cancellation: not in canonical form");
    }
    return c;
}

base::result<void> cancels(const cancellation& c, const task& t) {
    if (c.submitter == t.submitter && c.task == task_id_of(t)) return {};
    return fail(errc::task_unsigned, "a task is cancelled by its submitter alone");
}

}  // namespace tequio::training
