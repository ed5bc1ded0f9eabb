#include "p2p/network.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "base/ensure.hpp"
#include "p2p/core/address_book.hpp"
#include "p2p/core/blob_transfer.hpp"
#include "p2p/core/links.hpp"
#include "p2p/core/note_gossip.hpp"
#include "p2p/core/stream_table.hpp"
#include "p2p/core/token_bucket.hpp"

namespace tequio::p2p {
namespace {

constexpr std::size_t seen_addresses_max = 4;
constexpr std::size_t strikes_kept_max = 4096;
constexpr base::duration gather_records = std::chrono::milliseconds(200);
constexpr base::duration gather_store = std::chrono::seconds(2);
constexpr base::duration store_every = std::chrono::minutes(1);
constexpr base::duration strikes_forgotten = std::chrono::hours(1);
constexpr base::time_point never = base::time_point::max();

}  // namespace

/// The parts, and what joins them. One method an event.
struct network::parts {
    struct record_of_faults {
        std::size_t count = 0;
        base::time_point last;
        base::time_point shut_out_until;
    };

    network_config config;
    const identity& self;
    base::rng chance;
    address_book book;
    links link_table;
    note_gossip gossip;
    blob_transfer blobs;
    stream_table talks;

    std::optional<base::time_point> started;
    base::unix_time wall_base;
    base::time_point wall_at;
    base::time_point now;
    network_effects* out = nullptr;
    bool links_changed = false;  ///< someone may have to be dialled

    std::vector<address> given_addresses;
    std::vector<address> seen_addresses;
    base::byte_vector own_record;
    std::uint64_t own_sequence = 0;
    base::time_point sign_at;
    base::time_point next_exchange = never;
    base::time_point flush_at = never;
    base::time_point store_at = never;
    base::time_point bar_ends = never;  ///< when the next node may come back
    std::optional<base::time_point> stored_last;
    std::map<base::node_id, record_of_faults> faults;
    std::map<base::node_id, token_bucket> record_rates;

    parts(const network_config& c, const identity& s, base::rng rng, base::byte_view saved)
        : config(c),
          self(s),
          chance(rng.split("network")),
          book(c, s.node(), rng.split("address book")),
          link_table(c, s.node(), rng.split("links")),
          gossip(c, rng.split("notes")),
          blobs(c, s.node(), rng.split("blobs")),
          talks(c),
          wall_base(c.wall_at_start) {
        book.load(saved, c.wall_at_start);
    }

    base::unix_time wall() const {
        const auto passed = std::chrono::duration_cast<std::chrono::seconds>(now - wall_at);
        return {wall_base.seconds + passed.count()};
    }

    template <class Effect>
    void emit(Effect effect) {
        out->push_back(std::move(effect));
    }

    // Events.
    base::result<void> on(const link_up& e);
    base::result<void> on(link_message& e);
    base::result<void> on(const link_down& e);
    base::result<void> on(const p2p::dial_failed& e);
    base::result<void> on(const accept_failed&) { return {}; }
    base::result<void> on(const piece_read& e);
    base::result<void> on(const tick&) { return {}; }
    base::result<void> on(const wall_time& e);
    base::result<void> on(const set_own_addresses& e);
    base::result<void> on(const add_address& e);
    base::result<void> on(const want_peer& e);
    base::result<void> on(const unwant_peer& e);
    base::result<void> on(send_app& e);
    base::result<void> on(const publish_note& e);
    base::result<void> on(const judge_note& e);
    base::result<void> on(const withdraw_note& e);
    base::result<void> on(const fetch_blob& e);
    base::result<void> on(const cancel_fetch& e);
    base::result<void> on(const set_download_limit& e);
    base::result<void> on(const open_stream& e);
    base::result<void> on(const stream_send& e);
    base::result<void> on(const stream_take& e);
    base::result<void> on(const close_stream& e);
    base::result<void> on(const blame_peer& e);

    // Messages.
    void take(const base::node_id& from, wire::message&& m);
    void tell_the_way(link_id link);
    void take_records(const base::node_id& from, const wire::peer_records& m);

    void send(const base::node_id& to, const wire::message& m);
    void carry_out(part_effects& asked);
    void strike(const part_effects::strike& s);
    bool shut_out(const base::node_id& node) const;
    void node_gone(const base::node_id& node, const link_ending& ending);
    void forget_sent(const base::node_id& node);
    void greet(const base::node_id& node, const p2p::address& where);
    p2p::address address_of(const base::node_id& node) const;
    void sign_own_record();
    void see_own_address(const address& a);
    void pass_time();
    void exchange();
    void flush_records();
    void note_book_changed();
    std::set<base::node_id> barred() const;
};

network::network(const network_config& config, const identity& self, base::rng rng,
                 base::byte_view saved_peers)
    : parts_(std::make_unique<parts>(config, self, rng, saved_peers)) {}
network::~network() = default;
network::network(network&&) noexcept = default;

base::result<void> network::handle(base::time_point now, network_event event,
                                   network_effects& out) {
    auto& p = *parts_;
    if (!p.started) {
        p.started = p.wall_at = now;
        p.sign_at = now;
    }
    p.now = now;
    p.out = &out;
    auto done = std::visit([&](auto& e) { return p.on(e); }, event);
    const bool quiet =
        std::holds_alternative<link_message>(event) || std::holds_alternative<piece_read>(event) ||
        std::holds_alternative<send_app>(event) || std::holds_alternative<stream_send>(event) ||
        std::holds_alternative<stream_take>(event);
    p.links_changed |= !quiet;
    p.pass_time();
    p.out = nullptr;
    return done;
}

base::result<void> network::parts::on(const link_up& e) {
    const bool barred = shut_out(e.node);
    if (const auto node = barred ? std::nullopt : link_table.gives_way(e)) {
        const link_ending ending{link_end::too_many_links, false, ""};
        if (link_table.close_node(now, *node, ending, *out)) node_gone(*node, ending);
    }
    if (!barred && link_table.refuses(e)) tell_the_way(e.link);
    const auto before = link_table.link_of(e.node);
    const bool first = link_table.up(now, e, barred, *out);
    const auto after = link_table.link_of(e.node);
    if (!after) return {};
    if (!first && before == after) return {};
    if (e.own) see_own_address(*e.own);
    if (!first) forget_sent(e.node);
    greet(e.node, e.address);
    return {};
}

base::result<void> network::parts::on(const link_down& e) {
    const auto lost = link_table.down(now, e.link);
    if (!lost) return {};
    if (lost->last) {
        node_gone(lost->node, e.ending);
        return {};
    }
    forget_sent(lost->node);
    greet(lost->node, address_of(lost->node));
    return {};
}

/// One of two links to a node is gone: what was sent or asked on it may be lost, so it counts as
/// never sent.
void network::parts::forget_sent(const base::node_id& node) {
    part_effects asked;
    blobs.link_lost(now, node, true, asked);
    gossip.peer_down(now, node, asked);
    talks.peer_down(node);
    carry_out(asked);
}

/// Whom there is no room for learns who else there is: else no swarm would be larger than the room
/// of those that all know.
void network::parts::tell_the_way(link_id link) {
    wire::peer_records others;
    others.records = book.sample(wire::records_per_message - 1);
    if (!own_record.empty()) others.records.push_back(own_record);
    if (!others.records.empty()) emit(link_send{link, wire::encode(others)});
}

/// What a node is told first on a link; told anew when that link is replaced.
void network::parts::greet(const base::node_id& node, const p2p::address& where) {
    part_effects asked;
    emit(peer_up{node, where});
    record_rates.try_emplace(node, token_bucket(std::chrono::milliseconds(20), 2500));
    wire::peer_records hello;
    hello.records = book.sample(wire::records_per_message - 1);
    if (!own_record.empty()) hello.records.push_back(own_record);
    if (!hello.records.empty()) asked.send(node, std::move(hello));
    if (next_exchange == never) next_exchange = now + config.exchange_every;
    gossip.peer_up(now, node, asked);
    blobs.peer_up(now, node, asked);
    talks.peer_up(node, asked);
    carry_out(asked);
}

p2p::address network::parts::address_of(const base::node_id& node) const {
    for (const auto& view : link_table.views()) {
        if (view.node == node) return view.address;
    }
    return {};
}

void network::parts::node_gone(const base::node_id& node, const link_ending& ending) {
    links_changed = true;
    part_effects asked;
    record_rates.erase(node);
    if (record_rates.empty()) next_exchange = never;
    gossip.peer_down(now, node, asked);
    blobs.link_lost(now, node, false, asked);
    talks.peer_down(node);
    emit(peer_down{node, ending});
    carry_out(asked);
}

base::result<void> network::parts::on(const p2p::dial_failed& e) {
    link_table.dial_failed(now, e);
    return {};
}

base::result<void> network::parts::on(const piece_read& e) {
    part_effects asked;
    blobs.read(e, asked);
    carry_out(asked);
    return {};
}

base::result<void> network::parts::on(const wall_time& e) {
    wall_base = e.now;
    wall_at = now;
    sign_at = now;
    return {};
}

base::result<void> network::parts::on(const set_own_addresses& e) {
    given_addresses = e.addresses;
    sign_at = now;
    return {};
}

base::result<void> network::parts::on(const add_address& e) {
    return link_table.add_seed(e.address, now);
}

base::result<void> network::parts::on(const want_peer& e) {
    if (!link_table.wanted(e.node) && link_table.wanted_count() >= config.wanted_max) {
        return fail(errc::full, "no room to keep a link to node " + e.node.brief());
    }
    link_table.want(e.node, now);
    return {};
}

base::result<void> network::parts::on(const unwant_peer& e) {
    link_table.unwant(e.node);
    return {};
}

base::result<void> network::parts::on(send_app& e) {
    if (e.bytes.size() > app_bytes_max) {
        return fail(errc::too_large,
                    "a message of " + std::to_string(e.bytes.size()) + " bytes; at most 262144");
    }
    if (!link_table.link_of(e.to)) {
        return fail(errc::not_found, "no link to node " + e.to.brief());
    }
    send(e.to, wire::app{e.topic, std::move(e.bytes)});
    return {};
}

base::result<void> network::parts::on(const publish_note& e) {
    return gossip.publish(now, e);
}

base::result<void> network::parts::on(const judge_note& e) {
    part_effects asked;
    gossip.judge(now, e, asked);
    carry_out(asked);
    return {};
}

base::result<void> network::parts::on(const withdraw_note& e) {
    gossip.withdraw(e.id);
    return {};
}

base::result<void> network::parts::on(const fetch_blob& e) {
    part_effects asked;
    const auto done = blobs.fetch(now, e, asked);
    carry_out(asked);
    return done;
}

base::result<void> network::parts::on(const cancel_fetch& e) {
    part_effects asked;
    blobs.cancel(e, asked);
    carry_out(asked);
    return {};
}

base::result<void> network::parts::on(const set_download_limit& e) {
    part_effects asked;
    blobs.limit(now, e.bytes_per_second, asked);
    carry_out(asked);
    return {};
}

base::result<void> network::parts::on(const open_stream& e) {
    part_effects asked;
    const auto done = talks.open(e, link_table.link_of(e.node).has_value(), asked);
    carry_out(asked);
    return done;
}

base::result<void> network::parts::on(const stream_send& e) {
    part_effects asked;
    const auto done = talks.send(e, asked);
    carry_out(asked);
    return done;
}

base::result<void> network::parts::on(const stream_take& e) {
    part_effects asked;
    talks.take(e, asked);
    carry_out(asked);
    return {};
}

base::result<void> network::parts::on(const close_stream& e) {
    part_effects asked;
    talks.close(now, e, asked);
    carry_out(asked);
    return {};
}

base::result<void> network::parts::on(const blame_peer& e) {
    part_effects asked;
    asked.blame(e.node, e.strikes, e.why);
    carry_out(asked);
    return {};
}

base::result<void> network::parts::on(link_message& e) {
    const auto from = link_table.node_of(e.link);
    if (!from) return {};  // closed by us while it was under way
    auto m = wire::decode_message(e.bytes);
    if (!m) {
        part_effects asked;
        asked.blame(*from, 3, m.error().message());
        carry_out(asked);
        return {};
    }
    take(*from, std::move(*m));
    return {};
}

void network::parts::take(const base::node_id& from, wire::message&& m) {
    part_effects asked;
    if (auto* records = std::get_if<wire::peer_records>(&m)) {
        take_records(from, *records);
    } else if (auto* offer = std::get_if<wire::note_offer>(&m)) {
        gossip.offered(now, from, *offer, asked);
    } else if (auto* request = std::get_if<wire::note_request>(&m)) {
        gossip.requested(now, from, *request, asked);
    } else if (auto* note = std::get_if<wire::note>(&m)) {
        gossip.received(now, from, std::move(*note), asked);
    } else if (auto* summary = std::get_if<wire::note_summary>(&m)) {
        gossip.compared(now, from, *summary, asked);
    } else if (auto* wanted = std::get_if<wire::piece_request>(&m)) {
        blobs.asked(from, *wanted, asked);
    } else if (auto* answer = std::get_if<wire::piece_answer>(&m)) {
        blobs.answered(now, from, std::move(*answer), asked);
    } else if (auto* app = std::get_if<wire::app>(&m)) {
        emit(app_message{from, app->topic, std::move(app->bytes)});
    } else if (const auto* opened = std::get_if<wire::stream_open>(&m)) {
        talks.opened(from, *opened, asked);
    } else if (auto* chunk = std::get_if<wire::stream_chunk>(&m)) {
        talks.came(from, std::move(*chunk), asked);
    } else if (const auto* ack = std::get_if<wire::stream_ack>(&m)) {
        talks.acknowledged(from, *ack, asked);
    } else if (const auto* end = std::get_if<wire::stream_close>(&m)) {
        talks.closed(from, *end, asked);
    }
    carry_out(asked);
}

void network::parts::take_records(const base::node_id& from, const wire::peer_records& m) {
    part_effects asked;
    for (const auto& record : m.records) {
        if (!record_rates.at(from).take(now)) break;  // the rest comes again
        const auto outcome = book.add(record, wall());
        if (outcome == address_book::outcome::bad) {
            asked.blame(from, 2, "sent a false peer record");
            break;
        }
        if (outcome == address_book::outcome::added || outcome == address_book::outcome::renewed) {
            link_table.moved(peek_peer_record(record)->node, now);
            note_book_changed();
        }
    }
    carry_out(asked);
}

void network::parts::note_book_changed() {
    flush_at = std::min(flush_at, now + gather_records);
    // Soon the first time, then at most once a minute.
    const auto next = stored_last ? std::max(now, *stored_last + store_every) : now + gather_store;
    store_at = std::min(store_at, next);
}

void network::parts::send(const base::node_id& to, const wire::message& m) {
    const auto link = link_table.link_of(to);
    if (!link) return;
    auto what = send_class::control;
    if (const auto* piece = std::get_if<wire::piece_answer>(&m)) {
        if (piece->status == wire::piece_status::found) what = send_class::bulk;
    } else if (std::holds_alternative<wire::stream_chunk>(m)) {
        what = send_class::stream;
    }
    emit(link_send{*link, wire::encode(m), what});
}

// What follows from an effect may ask for more; the recursion ends because each step either sends
// or removes a peer.
void network::parts::carry_out(part_effects& asked) {
    for (const auto& node : asked.wants) link_table.want(node, now);
    for (const auto& node : asked.unwants) link_table.unwant(node);
    for (const auto& s : asked.sends) send(s.to, s.body);
    for (auto& effect : asked.shell) out->push_back(std::move(effect));
    for (const auto& s : asked.strikes) strike(s);
}

void network::parts::strike(const part_effects::strike& s) {
    std::erase_if(faults, [&](const auto& f) {
        return f.second.last + strikes_forgotten < now && f.second.shut_out_until <= now;
    });
    if (!faults.contains(s.node) && faults.size() >= strikes_kept_max) return;
    auto& f = faults[s.node];
    f.count += s.weight;
    f.last = now;
    if (f.count < config.strikes_max) return;
    f.count = 0;
    f.shut_out_until = now + config.shut_out;
    bar_ends = std::min(bar_ends, f.shut_out_until);
    const link_ending ending{link_end::misbehaviour, false, s.why};
    if (link_table.close_node(now, s.node, ending, *out)) node_gone(s.node, ending);
}

bool network::parts::shut_out(const base::node_id& node) const {
    const auto at = faults.find(node);
    return at != faults.end() && at->second.shut_out_until > now;
}

std::set<base::node_id> network::parts::barred() const {
    std::set<base::node_id> out_of_bounds;
    for (const auto& [node, f] : faults) {
        if (f.shut_out_until > now) out_of_bounds.insert(node);
    }
    return out_of_bounds;
}

void network::parts::see_own_address(const address& a) {
    if (!a.is_literal() || a.port == 0) return;
    if (std::find(seen_addresses.begin(), seen_addresses.end(), a) != seen_addresses.end()) return;
    // The latest count: a machine that travels leaves its old addresses behind.
    if (seen_addresses.size() >= seen_addresses_max) seen_addresses.erase(seen_addresses.begin());
    seen_addresses.push_back(a);
    sign_own_record();
}

void network::parts::sign_own_record() {
    std::vector<address> all = given_addresses;
    for (const auto& a : seen_addresses) {
        if (std::find(all.begin(), all.end(), a) == all.end()) all.push_back(a);
    }
    // Others' loopback is not ours: told only when there is nothing better.
    const bool wider =
        std::any_of(all.begin(), all.end(), [](const auto& a) { return !a.is_loopback(); });
    if (wider) std::erase_if(all, [](const auto& a) { return a.is_loopback(); });
    // Wall seconds, so that the number rises over restarts too.
    own_sequence = std::max(own_sequence + 1,
                            static_cast<std::uint64_t>(std::max<std::int64_t>(wall().seconds, 0)));
    const auto lifetime = std::chrono::duration_cast<std::chrono::seconds>(config.record_lifetime);
    own_record = sign_peer_record(self, own_sequence, {wall().seconds + lifetime.count()}, all);
    sign_at = now + config.record_refresh;
    for (const auto& node : link_table.nodes()) send(node, wire::peer_records{{own_record}});
}

void network::parts::exchange() {
    const auto nodes = link_table.nodes();
    next_exchange = nodes.empty() ? never
                                  : now + chance.between(config.exchange_every * 3 / 4,
                                                         config.exchange_every * 5 / 4);
    if (nodes.empty()) return;
    wire::peer_records some;
    some.records = book.sample(15);
    some.records.push_back(own_record);
    send(nodes[chance.below(nodes.size())], some);
}

void network::parts::flush_records() {
    const wire::peer_records fresh{book.take_fresh(wire::records_per_message)};
    flush_at = book.has_fresh() ? now + gather_records : never;
    if (fresh.records.empty()) return;
    for (const auto& node : link_table.nodes()) send(node, fresh);
}

void network::parts::pass_time() {
    if (sign_at <= now) {
        book.expire(wall());
        sign_own_record();
    }
    if (flush_at <= now) {
        flush_records();
        links_changed = true;
    }
    if (next_exchange <= now) exchange();
    if (store_at <= now) {
        stored_last = now;
        store_at = never;
        emit(store_peers{book.encode()});
    }
    if (bar_ends <= now) {
        links_changed = true;
        bar_ends = never;
        for (const auto& [node, f] : faults) {
            if (f.shut_out_until > now) bar_ends = std::min(bar_ends, f.shut_out_until);
        }
    }
    part_effects asked;
    if (gossip.next_deadline() <= now) gossip.tick(now, asked);
    if (blobs.next_deadline() <= now) blobs.tick(now, asked);
    if (talks.next_deadline() <= now) talks.tick(now);
    carry_out(asked);
    if (links_changed || link_table.next_deadline() <= now) {
        link_table.maintain(now, book, barred(), *out);
        links_changed = false;
    }
}

base::time_point network::next_deadline() const {
    const auto& p = *parts_;
    if (!p.started) return base::time_point{};
    return std::min({p.sign_at, p.flush_at, p.next_exchange, p.store_at, p.bar_ends,
                     p.gossip.next_deadline(), p.blobs.next_deadline(), p.talks.next_deadline(),
                     p.link_table.next_deadline()});
}

void network::check() const {
    const auto& p = *parts_;
    p.book.check();
    p.link_table.check();
    p.gossip.check();
    p.blobs.check();
    p.talks.check();
    base::ensure(p.faults.size() <= strikes_kept_max, "faults are bounded");
    const auto nodes = p.link_table.nodes();
    base::ensure(nodes.size() == p.record_rates.size(), "parts agree on who is linked");
    for (const auto& node : nodes) {
        base::ensure(p.record_rates.contains(node), "parts agree on who is linked");
    }
}

std::vector<peer_view> network::peers() const {
    auto views = parts_->link_table.views();
    for (auto& v : views) {
        if (const auto at = parts_->faults.find(v.node); at != parts_->faults.end()) {
            v.strikes = at->second.count;
        }
    }
    return views;
}

bool network::linked(const base::node_id& node) const {
    return parts_->link_table.link_of(node).has_value();
}

std::vector<base::node_id> network::known_nodes() const {
    return parts_->book.nodes();
}

std::vector<transfer_view> network::transfers() const {
    return parts_->blobs.views();
}

std::vector<stream_view> network::streams() const {
    return parts_->talks.views();
}

std::vector<note_view> network::notes() const {
    return parts_->gossip.notes();
}

}  // namespace tequio::p2p
