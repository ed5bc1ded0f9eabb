#include "ledger/receipt_desk.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <set>

#include "base/ensure.hpp"
#include "base/sha256.hpp"
#include "ledger/wire/desk_message.hpp"

namespace tequio::ledger {
namespace {

/// Answers kept for peers that ask again (guess: a few rounds of one crew).
constexpr std::size_t answers_max = 1024;

constexpr auto never = base::time_point::max();

enum class phase {
    waiting_key,  ///< the worker has not introduced itself; nothing is signed
    claiming,     ///< the store is asked to keep the text; nothing is signed
    offered,      ///< kept, signed, sent from time to time
    closing       ///< the unanswered note is on its way into the store
};

struct draft_state {
    receipt what;  ///< `worker_key` is missing while `waiting_key`
    base::byte_vector record;
    phase at = phase::waiting_key;
    std::string note;   ///< from `offered` on: with our signature
    base::digest text;  ///< SHA-256 of the text, from `offered` on
    base::time_point due = never, give_up = never;
    base::duration pause{};
    std::uint64_t sequence = 0;
};

/// An offer of another node while it is confirmed and stored.
struct offer_state {
    base::node_id from;
    receipt what;
    std::string note;  ///< before `confirm`: the offer; after: with both signatures
    base::digest text;
    bool confirmed = false;
};

/// What the answer to a write belongs to.
struct claim_request {
    base::digest key;
};
struct append_request {
    statement what = statement::receipt;
    receipt content;
    std::optional<base::digest> draft;  ///< ends this draft, if it is still there
};
using request_state = std::variant<claim_request, append_request>;

base::error bad_message(std::string_view why) {
    return base::fail(errc::bad_message, std::string(why));
}

bool both_sign(receipt_verdict v) {
    return v == receipt_verdict::matched || v == receipt_verdict::refuted;
}

}  // namespace

class receipt_desk::state {
public:
    state(const desk_config& config, base::node_id self,
          std::shared_ptr<const base::signing_key> log_key, certified_key certificate)
        : config_(config),
          self_(self),
          log_key_(std::move(log_key)),
          certificate_(std::move(certificate)) {
        base::ensure(log_key_ && log_key_->public_part() == certificate_.key &&
                         log_key_verifies(self_, certificate_),
                     "a desk signs with a key that its root certified");
    }

    void restore(const open_offer& o, desk_time time);
    base::result<void> on(const draft& e, desk_time time, desk_effects& out);
    base::result<void> on(const desk_message& e, desk_time time, desk_effects& out);
    base::result<void> on(const confirm& e, desk_time time, desk_effects& out);
    base::result<void> on(const written& e, desk_time time, desk_effects& out);
    base::result<void> on(const peer_reachable& e, desk_time time, desk_effects& out);
    base::result<void> on(const desk_tick&, desk_time, desk_effects&) { return {}; }
    void run_due(desk_time time, desk_effects& out);

    base::time_point next_deadline() const { return due_.empty() ? never : due_.begin()->first; }
    std::size_t waiting() const { return drafts_.size() + requests_.size(); }
    void check() const;

private:
    using draft_map = std::map<base::digest, draft_state>;

    base::result<void> receive(const base::node_id& from, const introduction& m, desk_time time,
                               desk_effects& out);
    base::result<void> receive(const base::node_id& from, const offer& m, desk_time time,
                               desk_effects& out);
    base::result<void> receive(const base::node_id& from, const answer& m, desk_time time,
                               desk_effects& out);
    base::result<void> receive(const base::node_id& from, const refusal& m, desk_time time,
                               desk_effects& out);

    void make_room(desk_time time, desk_effects& out);
    void learn_key(const base::node_id& node, const certified_key& key);
    void claim(draft_map::iterator d, desk_effects& out);
    void become_offered(draft_map::iterator d, desk_time time);
    void send_again(draft_map::iterator d, desk_time time, desk_effects& out);
    void close(draft_map::iterator d, unanswered_note::reason_code reason, desk_time time,
               desk_effects& out);
    void append(append_request request, std::string note, desk_effects& out);
    void finish_claim(const claim_request& r, const write_outcome& o, desk_time time,
                      desk_effects& out);
    void finish_append(const append_request& r, const write_outcome& o, desk_effects& out);
    void finish_offer(std::map<std::uint64_t, offer_state>::iterator i, const write_outcome& o,
                      desk_effects& out);
    void remember_answer(const base::digest& text, const std::string& note);
    void set_due(draft_map::iterator d, base::time_point due);
    void erase(draft_map::iterator d);
    static void send(const base::node_id& to, const message& m, desk_effects& out) {
        out.push_back(send_desk_message{to, encode_message(m)});
    }

    desk_config config_;
    base::node_id self_;
    std::shared_ptr<const base::signing_key> log_key_;
    certified_key certificate_;

    draft_map drafts_;                                         ///< by statement key
    std::set<std::pair<base::time_point, base::digest>> due_;  ///< drafts with a deadline
    std::map<std::uint64_t, base::digest> by_age_;             ///< drafts by sequence
    std::map<std::uint64_t, request_state> requests_;          ///< our own writes under way
    std::map<std::uint64_t, offer_state> offers_;              ///< by request
    std::map<base::node_id, certified_key> keys_;
    std::deque<base::node_id> keys_by_age_;
    std::map<base::digest, std::string> answers_;  ///< by SHA-256 of the text
    std::deque<base::digest> answers_by_age_;
    std::uint64_t last_request_ = 0, last_sequence_ = 0;
};

void receipt_desk::state::set_due(draft_map::iterator d, base::time_point due) {
    due_.erase({d->second.due, d->first});
    d->second.due = due;
    if (due != never) due_.insert({due, d->first});
}

void receipt_desk::state::erase(draft_map::iterator d) {
    set_due(d, never);
    by_age_.erase(d->second.sequence);
    drafts_.erase(d);
}

void receipt_desk::state::restore(const open_offer& o, desk_time time) {
    // The store is outside data: what cannot be ours is left alone, not trusted.
    const auto r = parse_receipt(o.text);
    if (!r || !r->worker_key || r->checker_key != certificate_ || r->facts.checker != self_) return;
    const auto [d, fresh] = drafts_.try_emplace(statement_key(statement::receipt, r->facts));
    if (!fresh) return;
    d->second.what = *r;
    d->second.record = o.record;
    d->second.sequence = ++last_sequence_;
    by_age_[d->second.sequence] = d->first;
    become_offered(d, time);
}

void receipt_desk::state::become_offered(draft_map::iterator d, desk_time time) {
    auto& s = d->second;
    base::signed_note note;
    note.text = receipt_text(s.what);
    note.sign(checker_name, *log_key_);
    s.text = base::sha256(note.text);
    s.note = note.encode();
    s.at = phase::offered;
    s.pause = config_.resend_first;
    s.give_up = time.now + config_.answer_within;
    set_due(d, time.now);
}

void receipt_desk::state::append(append_request request, std::string note, desk_effects& out) {
    const auto id = ++last_request_;
    requests_.emplace(id, std::move(request));
    out.push_back(write_wanted{id, append_note{std::move(note)}});
}

base::result<void> receipt_desk::state::on(const draft& e, desk_time time, desk_effects& out) {
    receipt r;
    r.facts = e.facts;
    r.time = time.wall;
    const bool as_worker = e.facts.verdict == receipt_verdict::unchecked;
    if (as_worker ? e.facts.worker != self_ : e.facts.checker != self_) {
        return base::fail(errc::bad_receipt, "a node drafts what it did itself");
    }
    (as_worker ? r.worker_key : r.checker_key) = certificate_;
    const bool both = both_sign(e.facts.verdict);
    TEQUIO_CHECK(check_form(r, both ? receipt_form::quoted : receipt_form::own));

    if (!both) {
        base::signed_note note;
        note.text = receipt_text(r);
        note.sign(as_worker ? worker_name : checker_name, *log_key_);
        append({statement::receipt, r, {}}, note.encode(), out);
        return {};
    }
    const auto key = statement_key(statement::receipt, e.facts);
    if (drafts_.contains(key)) return {};
    if (drafts_.size() >= 2 * config_.drafts_max) {
        return base::fail(errc::full, "the store does not keep up with receipts");
    }
    make_room(time, out);
    const auto d = drafts_.try_emplace(key).first;
    auto& s = d->second;
    s.what = r;
    // A record above the cap would make the note unwritable; the note says `-` instead.
    if (e.record.size() <= record_size_max_bytes) s.record = e.record;
    s.sequence = ++last_sequence_;
    by_age_[s.sequence] = key;
    s.pause = config_.resend_first;
    s.give_up = time.now + config_.answer_within;
    if (keys_.contains(e.facts.worker)) {
        claim(d, out);
    } else {
        set_due(d, time.now);
    }
    return {};
}

void receipt_desk::state::make_room(desk_time time, desk_effects& out) {
    if (due_.size() < config_.drafts_max) return;
    for (const auto& [sequence, key] : by_age_) {
        const auto d = drafts_.find(key);
        if (d->second.due == never) continue;  // the store has it
        close(d, unanswered_note::reason_code::silent, time, out);
        return;
    }
}

void receipt_desk::state::claim(draft_map::iterator d, desk_effects& out) {
    auto& s = d->second;
    s.what.worker_key = keys_.at(s.what.facts.worker);
    s.at = phase::claiming;
    set_due(d, never);
    const auto id = ++last_request_;
    requests_.emplace(id, claim_request{d->first});
    out.push_back(write_wanted{id, keep_offer{receipt_text(s.what), s.record}});
}

void receipt_desk::state::send_again(draft_map::iterator d, desk_time time, desk_effects& out) {
    auto& s = d->second;
    if (s.at == phase::offered) {
        send(s.what.facts.worker, offer{s.note}, out);
    } else {
        send(s.what.facts.worker, introduction{certificate_, true}, out);
    }
    set_due(d, std::min(time.now + s.pause, s.give_up));
    s.pause = std::min(s.pause * 2, config_.resend_most);
}

void receipt_desk::state::run_due(desk_time time, desk_effects& out) {
    while (!due_.empty() && due_.begin()->first <= time.now) {
        const auto d = drafts_.find(due_.begin()->second);
        if (d->second.give_up <= time.now) {
            close(d, unanswered_note::reason_code::silent, time, out);
        } else {
            send_again(d, time, out);
        }
    }
}

void receipt_desk::state::close(draft_map::iterator d, unanswered_note::reason_code reason,
                                desk_time time, desk_effects& out) {
    auto& s = d->second;
    s.at = phase::closing;
    set_due(d, never);
    base::signed_note note;
    note.text = unanswered_text({reason, time.wall, s.record, s.what});
    note.sign(checker_name, *log_key_);
    append({statement::unanswered, s.what, d->first}, note.encode(), out);
}

base::result<void> receipt_desk::state::on(const desk_message& e, desk_time time,
                                           desk_effects& out) {
    TEQUIO_TRY(const auto m, decode_message(e.bytes));
    if (e.from == self_) return bad_message("a receipt message from this node itself");
    return std::visit([&](const auto& body) { return receive(e.from, body, time, out); }, m);
}

void receipt_desk::state::learn_key(const base::node_id& node, const certified_key& key) {
    if (!keys_.contains(node)) {
        if (keys_.size() >= config_.keys_max) {
            keys_.erase(keys_by_age_.front());
            keys_by_age_.pop_front();
        }
        keys_by_age_.push_back(node);
    }
    keys_[node] = key;
}

base::result<void> receipt_desk::state::receive(const base::node_id& from, const introduction& m,
                                                desk_time, desk_effects& out) {
    if (!log_key_verifies(from, m.key)) {
        return bad_message("an introduction with a key that its root did not certify");
    }
    learn_key(from, m.key);
    if (m.asks) send(from, introduction{certificate_, false}, out);
    for (auto d = drafts_.begin(); d != drafts_.end(); ++d) {
        if (d->second.at == phase::waiting_key && d->second.what.facts.worker == from) {
            claim(d, out);
        }
    }
    return {};
}

base::result<void> receipt_desk::state::receive(const base::node_id& from, const offer& m,
                                                desk_time, desk_effects& out) {
    const auto text_end = m.note.rfind("\n\n");
    if (text_end == std::string::npos) return bad_message("an offer that is not a note");
    const auto text = base::sha256(std::string_view(m.note).substr(0, text_end + 1));
    // Before any signature is checked: repeats are the common case and must stay cheap.
    if (const auto a = answers_.find(text); a != answers_.end()) {
        const auto standing = base::parse_signed_note(a->second);
        const auto r = standing ? parse_receipt(standing->text) : receipt{};
        if (r && r->facts.checker == from) send(from, answer{a->second}, out);
        return {};
    }
    std::size_t of_peer = 0;
    for (const auto& [id, o] : offers_) {
        if (o.text == text) return {};
        of_peer += o.from == from ? 1 : 0;
    }
    if (of_peer >= config_.offers_per_peer_max || offers_.size() >= config_.offers_max) return {};

    const auto note = base::parse_signed_note(m.note);
    if (!note || note->encode() != m.note) return bad_message("an offer that is not a note");
    const auto r = verify_receipt(*note, signatures_wanted::drafter);
    if (!r) return bad_message("an offer: " + r.error().message());
    if (r->facts.checker != from || r->facts.worker != self_) {
        return bad_message("an offer between other nodes");
    }
    if (r->worker_key != certificate_) {
        // An honest node may know an older key of ours.
        send(from, introduction{certificate_, false}, out);
        return {};
    }
    const auto id = ++last_request_;
    offers_.emplace(id, offer_state{from, *r, m.note, text});
    out.push_back(confirm_wanted{id, from, *r});
    return {};
}

base::result<void> receipt_desk::state::on(const confirm& e, desk_time, desk_effects& out) {
    const auto i = offers_.find(e.request);
    if (i == offers_.end() || i->second.confirmed) return {};
    auto& o = i->second;
    if (e.verdict == confirm::answer::agree) {
        const auto offered = base::parse_signed_note(o.note);
        base::signed_note note;
        note.text = offered->text;
        note.sign(worker_name, *log_key_);
        note.signatures.push_back(offered->signatures[0]);
        o.note = note.encode();
        o.confirmed = true;
        out.push_back(write_wanted{i->first, append_note{o.note}});
        return {};
    }
    if (e.verdict == confirm::answer::disagree) {
        std::string reason = e.reason.substr(0, refusal_reason_max_bytes);
        std::replace_if(
            reason.begin(), reason.end(),
            [](char c) {
                const auto u = static_cast<unsigned char>(c);
                return u < 0x20 || u > 0x7e;
            },
            '?');
        send(o.from, refusal{o.text, refusal_code::disagree, reason}, out);
    }
    offers_.erase(i);
    return {};
}

base::result<void> receipt_desk::state::receive(const base::node_id& from, const answer& m,
                                                desk_time, desk_effects& out) {
    const auto note = base::parse_signed_note(m.note);
    if (!note || note->encode() != m.note) return bad_message("an answer that is not a note");
    const auto r = verify_receipt(*note, signatures_wanted::all);
    if (!r) return bad_message("an answer: " + r.error().message());
    if (r->facts.worker != from || r->facts.checker != self_ || r->checker_key != certificate_ ||
        !both_sign(r->facts.verdict)) {
        return bad_message("an answer to what this node did not offer");
    }
    // Our own valid signature is the proof that we claimed this text once, even if the draft was
    // closed as unanswered since.
    const auto key = statement_key(statement::receipt, r->facts);
    const auto under_way = std::any_of(requests_.begin(), requests_.end(), [&](const auto& q) {
        const auto* a = std::get_if<append_request>(&q.second);
        return a && a->what == statement::receipt && a->draft == key;
    });
    if (!under_way) append({statement::receipt, *r, key}, m.note, out);
    return {};
}

base::result<void> receipt_desk::state::receive(const base::node_id& from, const refusal& m,
                                                desk_time time, desk_effects& out) {
    for (auto d = drafts_.begin(); d != drafts_.end(); ++d) {
        const auto& s = d->second;
        if (s.at != phase::offered || s.text != m.text || s.what.facts.worker != from) continue;
        out.push_back(
            desk_notice{from, m.code == refusal_code::conflict
                                  ? "the worker says that it signed another receipt for this work"
                                  : "the worker does not agree with a receipt: " + m.reason});
        close(d, unanswered_note::reason_code::refused, time, out);
        return {};
    }
    return {};
}

base::result<void> receipt_desk::state::on(const peer_reachable& e, desk_time time,
                                           desk_effects& out) {
    send(e.node, introduction{certificate_, !keys_.contains(e.node)}, out);
    for (auto d = drafts_.begin(); d != drafts_.end(); ++d) {
        if (d->second.at == phase::offered && d->second.what.facts.worker == e.node) {
            d->second.pause = config_.resend_first;
            set_due(d, time.now);
        }
    }
    return {};
}

base::result<void> receipt_desk::state::on(const written& e, desk_time time, desk_effects& out) {
    if (const auto i = offers_.find(e.request); i != offers_.end() && i->second.confirmed) {
        finish_offer(i, e.outcome, out);
        return {};
    }
    const auto i = requests_.find(e.request);
    if (i == requests_.end()) return {};
    const auto request = std::move(i->second);
    requests_.erase(i);
    if (const auto* claimed = std::get_if<claim_request>(&request)) {
        finish_claim(*claimed, e.outcome, time, out);
    } else {
        finish_append(std::get<append_request>(request), e.outcome, out);
    }
    return {};
}

void receipt_desk::state::finish_claim(const claim_request& r, const write_outcome& o,
                                       desk_time time, desk_effects& out) {
    const auto d = drafts_.find(r.key);
    if (d == drafts_.end() || d->second.at != phase::claiming) return;
    if (o.what == write_outcome::kind::existed) {
        // An entry: all is said. An offer: only that text may be signed, so it is taken over.
        const auto standing = parse_receipt(o.standing);
        if (o.index || !standing || standing->checker_key != certificate_) {
            erase(d);
            return;
        }
        d->second.what = *standing;
    }
    become_offered(d, time);
    (void)out;  // sent by `run_due`, which follows every event
}

void receipt_desk::state::finish_append(const append_request& r, const write_outcome& o,
                                        desk_effects& out) {
    if (r.draft) {
        const auto d = drafts_.find(*r.draft);
        if (d != drafts_.end() && d->second.at != phase::claiming) erase(d);
    }
    if (o.what == write_outcome::kind::written) {
        out.push_back(receipt_recorded{o.index.value_or(base::entry_index{}), r.what, r.content});
    }
}

void receipt_desk::state::finish_offer(std::map<std::uint64_t, offer_state>::iterator i,
                                       const write_outcome& outcome, desk_effects& out) {
    const auto o = std::move(i->second);
    offers_.erase(i);
    if (outcome.what == write_outcome::kind::written) {
        out.push_back(receipt_recorded{outcome.index.value_or(base::entry_index{}),
                                       statement::receipt, o.what});
        remember_answer(o.text, o.note);
        send(o.from, answer{o.note}, out);
    } else if (outcome.standing == o.note) {
        remember_answer(o.text, o.note);
        send(o.from, answer{o.note}, out);
    } else {
        // Our signature of the second text never leaves this node.
        send(o.from, refusal{o.text, refusal_code::conflict, "another receipt was signed"}, out);
        out.push_back(desk_notice{o.from, "offered a second receipt for work already receipted"});
    }
}

void receipt_desk::state::remember_answer(const base::digest& text, const std::string& note) {
    if (!answers_.emplace(text, note).second) return;
    answers_by_age_.push_back(text);
    if (answers_by_age_.size() > answers_max) {
        answers_.erase(answers_by_age_.front());
        answers_by_age_.pop_front();
    }
}

void receipt_desk::state::check() const {
    std::size_t with_deadline = 0;
    for (const auto& [key, d] : drafts_) {
        base::ensure(key == statement_key(statement::receipt, d.what.facts),
                     "a draft stands under its own key");
        base::ensure(both_sign(d.what.facts.verdict) && d.what.facts.checker == self_,
                     "a draft is one that this node checked and both sign");
        const bool waits = d.at == phase::waiting_key || d.at == phase::offered;
        base::ensure(waits == (d.due != never), "a draft has a deadline unless the store has it");
        base::ensure((d.at == phase::offered) <= !d.note.empty(), "what is offered is signed");
        base::ensure(d.at != phase::claiming || d.note.empty(), "nothing is signed before stored");
        base::ensure(by_age_.at(d.sequence) == key, "every draft has its age");
        if (d.due != never) {
            ++with_deadline;
            base::ensure(due_.contains({d.due, key}), "every deadline is listed");
        }
    }
    base::ensure(with_deadline == due_.size() && by_age_.size() == drafts_.size(),
                 "no deadline or age without its draft");
    base::ensure(offers_.size() <= config_.offers_max && keys_.size() <= config_.keys_max &&
                     keys_.size() == keys_by_age_.size() &&
                     answers_.size() == answers_by_age_.size() && answers_.size() <= answers_max,
                 "the desk keeps its limits");
}

receipt_desk::receipt_desk(const desk_config& config, base::node_id self,
                           std::shared_ptr<const base::signing_key> log_key,
                           certified_key certificate, std::vector<open_offer> offers,
                           desk_time time)
    : state_(std::make_unique<state>(config, self, std::move(log_key), std::move(certificate))) {
    for (const auto& o : offers) state_->restore(o, time);
}

receipt_desk::~receipt_desk() = default;
receipt_desk::receipt_desk(receipt_desk&&) noexcept = default;
receipt_desk& receipt_desk::operator=(receipt_desk&&) noexcept = default;

base::result<void> receipt_desk::handle(desk_time time, const desk_event& e, desk_effects& out) {
    TEQUIO_CHECK(std::visit([&](const auto& event) { return state_->on(event, time, out); }, e));
    state_->run_due(time, out);
    return {};
}

base::time_point receipt_desk::next_deadline() const {
    return state_->next_deadline();
}

std::size_t receipt_desk::waiting() const {
    return state_->waiting();
}

void receipt_desk::check() const {
    state_->check();
}

}  // namespace tequio::ledger
