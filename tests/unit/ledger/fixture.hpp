#pragma once

/// What the ledger's tests share: identities from small numbers, receipts, a naive store in memory,
/// and a folder that goes away.

#include <unistd.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "base/ensure.hpp"
#include "base/sha256.hpp"
#include "ledger/receipt_desk.hpp"
#include "ledger/store.hpp"

namespace tequio::ledger::testing {

/// A node with its root key, its log key, and the certificate between them.
struct identity {
    explicit identity(std::uint64_t number)
        : root(base::signing_key::from_seed(seed_of("root", number).bytes)),
          log(std::make_shared<const base::signing_key>(
              base::signing_key::from_seed(seed_of("log", number).bytes))),
          node{root.public_part().bytes},
          certificate(certify_key(root, log_role, log->public_part())) {}

    static base::digest seed_of(const std::string& role, std::uint64_t number) {
        return base::sha256(role + std::to_string(number));
    }
    store_owner owner() const { return {node, log, certificate}; }

    base::signing_key root;
    std::shared_ptr<const base::signing_key> log;
    base::node_id node;
    certified_key certificate;
};

inline const identity alice(1), bob(2), carol(3);

inline constexpr base::unix_time noon{1795435200};

/// Facts of a lane that `checker` did again.
inline receipt_facts lane_facts(const identity& worker, const identity& checker,
                                std::uint64_t round = 3, std::uint64_t lane = 5) {
    receipt_facts f;
    f.task = {base::sha256("task").bytes};
    f.recipe = {base::sha256("recipe").bytes};
    f.round = {round};
    f.lane = base::lane_index{lane};
    f.worker = worker.node;
    f.checker = checker.node;
    f.state = base::sha256("state");
    f.contribution = base::sha256("contribution" + std::to_string(round * 1000 + lane));
    f.tokens = 8192;
    f.flops = 123456789;
    f.verdict = receipt_verdict::matched;
    return f;
}

/// Facts of a lane that nobody did again.
inline receipt_facts unchecked_facts(const identity& worker, std::uint64_t round = 3,
                                     std::uint64_t lane = 5) {
    auto f = lane_facts(worker, worker, round, lane);
    f.checker.reset();
    f.verdict = receipt_verdict::unchecked;
    return f;
}

inline receipt receipt_of(const receipt_facts& f, const identity& worker, const identity& checker) {
    receipt r;
    r.facts = f;
    r.time = noon;
    if (f.verdict == receipt_verdict::unchecked) {
        r.worker_key = worker.certificate;
    } else {
        r.checker_key = checker.certificate;
        if (f.verdict == receipt_verdict::matched || f.verdict == receipt_verdict::refuted) {
            r.worker_key = worker.certificate;
        }
    }
    return r;
}

/// A finished receipt, signed by all that its verdict asks for.
inline base::signed_note signed_receipt(const receipt_facts& f, const identity& worker,
                                        const identity& checker) {
    const auto r = receipt_of(f, worker, checker);
    base::signed_note note;
    note.text = receipt_text(r);
    if (r.worker_key) note.sign(worker_name, *worker.log);
    if (r.checker_key) note.sign(checker_name, *checker.log);
    return note;
}

inline base::signed_note signed_unanswered(const receipt_facts& f, const identity& worker,
                                           const identity& checker) {
    base::signed_note note;
    note.text = unanswered_text({unanswered_note::reason_code::silent,
                                 noon,
                                 {1, 2, 3, 4, 5},
                                 receipt_of(f, worker, checker)});
    note.sign(checker_name, *checker.log);
    return note;
}

/// The naive twin of `store`: the same answers from two maps, nothing on disk.
class memory_store {
public:
    write_outcome carry_out(const store_write& w) {
        if (const auto* k = std::get_if<keep_offer>(&w)) {
            const auto facts = parse_receipt(k->text)->facts;
            const auto key = statement_key(statement::receipt, facts);
            if (auto found = find(key)) return *found;
            if (auto found = find(statement_key(statement::unanswered, facts))) return *found;
            const auto [at, fresh] = offers.try_emplace(key, open_offer{k->text, k->record});
            if (fresh) return {};
            return {write_outcome::kind::existed, {}, at->second.text};
        }
        const auto& note = std::get<append_note>(w).note;
        const auto content = parse_entry_note(note);
        base::ensure(content.has_value(), "the desk appends notes in form");
        const auto* r = std::get_if<receipt>(&*content);
        const auto& facts = r ? r->facts : std::get<unanswered_note>(*content).offered.facts;
        const auto key = statement_key(r ? statement::receipt : statement::unanswered, facts);
        const auto receipt_key = statement_key(statement::receipt, facts);
        if (auto found = find(key)) return *found;
        if (auto found = find(receipt_key)) return *found;
        offers.erase(receipt_key);
        by_key[key] = notes.size();
        notes.push_back(note);
        return {write_outcome::kind::written, base::entry_index{notes.size() - 1}, {}};
    }

    std::vector<open_offer> open_offers() const {
        std::vector<open_offer> out;
        for (const auto& [key, o] : offers) out.push_back(o);
        return out;
    }

    std::vector<std::string> notes{"opening"};
    std::map<base::digest, open_offer> offers;
    std::map<base::digest, std::uint64_t> by_key;

private:
    std::optional<write_outcome> find(const base::digest& key) const {
        const auto at = by_key.find(key);
        if (at == by_key.end()) return std::nullopt;
        return write_outcome{write_outcome::kind::existed, base::entry_index{at->second},
                             notes[at->second]};
    }
};

/// A fresh folder, removed with everything in it at the end.
class scratch_folder {
public:
    scratch_folder() {
        auto pattern = (std::filesystem::temp_directory_path() / "tequio-ledger-XXXXXX").string();
        base::ensure(::mkdtemp(pattern.data()) != nullptr, "a scratch folder can be made");
        path_ = pattern;
    }
    ~scratch_folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    scratch_folder(const scratch_folder&) = delete;
    scratch_folder& operator=(const scratch_folder&) = delete;
    std::string file(const std::string& name) const { return (path_ / name).string(); }

private:
    std::filesystem::path path_;
};

}  // namespace tequio::ledger::testing
