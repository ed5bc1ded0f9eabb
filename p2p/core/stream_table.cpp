#include "p2p/core/stream_table.hpp"

#include <algorithm>

#include "base/ensure.hpp"

namespace tequio::p2p {
namespace {

constexpr std::size_t forgotten_max = 256;
/// What is said anew costs us a window of parts each time. Links that are replaced more often than
/// that within one lane carry no lane (guess).
constexpr std::uint32_t openings_max = 64;

}  // namespace

/// Says what is here. Whatever is on its way to us is let go: they send the message in hand again,
/// from its start.
void stream_table::announce(const key& at, stream& s, bool answer, part_effects& out) {
    ++s.epoch;
    s.received_bytes = 0;
    s.partial = false;
    s.buffer.clear();
    out.send(at.first, wire::stream_open{at.second, s.epoch, s.received, answer});
    if (s.taken > 0) out.send(at.first, acknowledgement(at, s));
}

wire::message stream_table::acknowledgement(const key& at, const stream& s) {
    return wire::stream_ack{at.second, s.epoch, s.received_bytes, s.received, s.taken};
}

void stream_table::peer_up(const base::node_id& node, part_effects& out) {
    for (auto it = streams_.lower_bound({node, {}});
         it != streams_.end() && it->first.first == node; ++it) {
        announce(it->first, it->second, false, out);
    }
}

void stream_table::peer_down(const base::node_id& node) {
    for (auto it = streams_.lower_bound({node, {}});
         it != streams_.end() && it->first.first == node; ++it) {
        it->second.their_epoch = 0;
    }
}

base::result<void> stream_table::open(const open_stream& command, bool linked, part_effects& out) {
    const key at{command.node, command.name};
    if (streams_.contains(at)) return {};
    if (streams_.size() >= config_.streams_max) {
        return fail(errc::full, "no room for a stream with node " + command.node.brief());
    }
    auto& s = streams_[at];
    s.message_bytes_max = command.message_bytes_max;
    if (linked) announce(at, s, false, out);
    return {};
}

base::result<void> stream_table::send(const stream_send& command, part_effects& out) {
    const auto it = streams_.find({command.to, command.name});
    if (it == streams_.end() || it->second.closing()) {
        return fail(errc::not_found, "no such stream with node " + command.to.brief());
    }
    auto& s = it->second;
    outgoing message{command.head, command.body};
    if (message.size() > stream_message_max) {
        return fail(errc::too_large,
                    "a stream's message of " + std::to_string(message.size()) + " bytes");
    }
    if (s.end() - s.their_taken >= stream_untaken_max) {
        return fail(errc::full,
                    "node " + command.to.brief() + " has not taken the messages before this one");
    }
    s.queue.push_back(std::move(message));
    push(it->first, s, out);
    return {};
}

base::byte_vector stream_table::part_of(const outgoing& message, std::uint64_t offset,
                                        std::size_t size) {
    base::byte_vector out;
    out.reserve(size);
    const auto add = [&](base::byte_view from) {
        const auto skipped = std::min<std::uint64_t>(offset, from.size());
        const auto part = from.subspan(skipped, std::min(size - out.size(), from.size() - skipped));
        out.insert(out.end(), part.begin(), part.end());
        offset -= skipped;
    };
    add(message.head);
    add(message.body.bytes);
    return out;
}

/// Sends as much as may be on its way.
void stream_table::push(const key& at, stream& s, part_effects& out) const {
    if (s.their_epoch == 0) return;
    while (s.next < s.end()) {
        const auto& message = s.queue[s.next - s.first];
        const auto left = message.size() - s.offset;
        const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left, stream_chunk_max));
        const auto in_flight = s.sent_bytes - s.acknowledged_bytes;
        if (in_flight > 0 && in_flight + size > config_.stream_window) return;
        out.send(at.first, wire::stream_chunk{at.second, s.their_epoch, s.next, message.size(),
                                              s.offset, part_of(message, s.offset, size)});
        s.sent_bytes += size;
        s.offset += size;
        if (s.offset == message.size()) {
            ++s.next;
            s.offset = 0;
        }
    }
}

void stream_table::take(const stream_take& command, part_effects& out) {
    const auto it = streams_.find({command.from, command.name});
    if (it == streams_.end() || it->second.taken == it->second.received) return;
    ++it->second.taken;
    out.send(command.from, acknowledgement(it->first, it->second));
}

void stream_table::close(base::time_point now, const close_stream& command, part_effects& out) {
    const auto it = streams_.find({command.node, command.name});
    if (it == streams_.end()) return;
    auto& s = it->second;
    if (!command.reason.empty()) {
        out.send(command.node, wire::stream_close{command.name, command.reason.substr(
                                                                    0, wire::stream_reason_max)});
        return forget(it);
    }
    if (s.closing()) return;
    s.linger_until = now + config_.stream_linger;
    s.partial = false;
    s.buffer = {};
    if (s.taken != s.received) {
        s.taken = s.received;
        out.send(command.node, acknowledgement(it->first, s));
    }
    forget_if_empty(it->first);
}

void stream_table::forget(std::map<key, stream>::iterator it) {
    forgotten_.push_back(it->first);
    if (forgotten_.size() > forgotten_max) forgotten_.pop_front();
    streams_.erase(it);
}

void stream_table::forget_if_empty(const key& at) {
    const auto it = streams_.find(at);
    if (it != streams_.end() && it->second.closing() && it->second.queue.empty()) forget(it);
}

void stream_table::opened(const base::node_id& from, const wire::stream_open& m,
                          part_effects& out) {
    const auto it = streams_.find({from, m.name});
    // Ours may be opened later, and theirs answered then.
    if (it == streams_.end()) return;
    auto& s = it->second;
    if (m.epoch <= s.their_latest) return;  // of a link that was replaced
    if (m.received < s.first || m.received > s.end()) {
        return drop(it->first, s, "a stream whose other end says it has what it cannot have", out);
    }
    while (s.first < m.received) {
        s.queue.pop_front();
        ++s.first;
    }
    if (++s.openings > openings_max) {
        out.blame(from, 1, "opens one stream over and over");
        return;
    }
    s.their_epoch = s.their_latest = m.epoch;
    s.next = s.first;
    s.offset = 0;
    s.sent_bytes = s.acknowledged_bytes = 0;
    // They begin anew, and so must what they send.
    if (!m.answer) announce(it->first, s, true, out);
    push(it->first, s, out);
    forget_if_empty(it->first);
}

void stream_table::drop(const key& at, stream& s, const char* why, part_effects& out) const {
    ++s.dropped;
    out.blame(at.first, 3, why);
}

void stream_table::came(const base::node_id& from, wire::stream_chunk&& m, part_effects& out) {
    const key at{from, m.name};
    const auto it = streams_.find(at);
    if (it == streams_.end()) {
        if (std::find(forgotten_.begin(), forgotten_.end(), at) == forgotten_.end()) {
            out.blame(from, 1, "a part of a stream that was never opened here");
        }
        return;
    }
    auto& s = it->second;
    if (m.epoch != s.epoch) return;  // sent before the link was replaced
    const bool due = m.number == s.received && m.offset == (s.partial ? s.buffer.size() : 0) &&
                     (!s.partial || m.size == s.size);
    if (s.closing()) {
        if (m.number != s.received) return;
        // Nobody takes it any more; the other side is not to wait for that.
        s.received_bytes += m.bytes.size();
        if (m.offset + m.bytes.size() == m.size) s.taken = ++s.received;
        out.send(from, acknowledgement(at, s));
        return;
    }
    if (!due) return drop(at, s, "a part of a stream that was not due", out);
    if (m.size > s.message_bytes_max) {
        return drop(at, s, "a stream's message above what was agreed on", out);
    }
    if (s.received - s.taken >= stream_untaken_max) {
        return drop(at, s, "more of a stream's messages than may wait", out);
    }
    s.partial = true;
    s.size = m.size;
    s.received_bytes += m.bytes.size();
    s.buffer.insert(s.buffer.end(), m.bytes.begin(), m.bytes.end());
    if (s.buffer.size() == s.size) {
        deliver(at, s, out);
    } else {
        out.shell.push_back(stream_moved{from, m.name});
    }
    out.send(from, acknowledgement(at, s));
}

void stream_table::deliver(const key& at, stream& s, part_effects& out) {
    s.partial = false;
    ++s.received;
    out.shell.push_back(stream_message{at.first, at.second, std::exchange(s.buffer, {})});
}

void stream_table::acknowledged(const base::node_id& from, const wire::stream_ack& m,
                                part_effects& out) {
    const auto it = streams_.find({from, m.name});
    if (it == streams_.end()) return;
    auto& s = it->second;
    if (m.epoch != s.their_epoch) return;
    if (m.bytes > s.sent_bytes || m.received > s.next || m.bytes < s.acknowledged_bytes) {
        return drop(it->first, s, "a stream of which more came than was sent", out);
    }
    s.acknowledged_bytes = m.bytes;
    while (s.first < m.received) {
        s.queue.pop_front();
        ++s.first;
    }
    while (s.their_taken < m.taken) {
        ++s.their_taken;
        if (!s.closing()) out.shell.push_back(stream_taken{from, m.name});
    }
    push(it->first, s, out);
    forget_if_empty(it->first);
}

void stream_table::closed(const base::node_id& from, const wire::stream_close& m,
                          part_effects& out) {
    const auto it = streams_.find({from, m.name});
    if (it == streams_.end()) return;
    if (it->second.closing()) return forget(it);
    out.shell.push_back(stream_closed{from, m.name, m.reason});
}

void stream_table::tick(base::time_point now) {
    for (auto it = streams_.begin(); it != streams_.end();) {
        const auto here = it++;
        if (here->second.linger_until <= now) forget(here);
    }
}

base::time_point stream_table::next_deadline() const {
    auto out = base::time_point::max();
    for (const auto& [at, s] : streams_) out = std::min(out, s.linger_until);
    return out;
}

std::vector<stream_view> stream_table::views() const {
    std::vector<stream_view> out;
    for (const auto& [at, s] : streams_) {
        out.push_back({at.first, at.second, s.their_epoch != 0, s.end(), s.received, s.dropped,
                       s.sent_bytes - s.acknowledged_bytes});
    }
    return out;
}

void stream_table::check() const {
    base::ensure(streams_.size() <= config_.streams_max, "streams are bounded");
    base::ensure(forgotten_.size() <= forgotten_max, "names of streams are bounded");
    for (const auto& [at, s] : streams_) {
        base::ensure(s.next >= s.first && s.next <= s.end(), "a stream sends what it has");
        base::ensure(s.acknowledged_bytes <= s.sent_bytes, "no more arrives than was sent");
        base::ensure(s.end() - s.their_taken <= stream_untaken_max, "what waits is bounded");
        base::ensure(s.received - s.taken <= stream_untaken_max, "what waits here is bounded");
        base::ensure(s.buffer.size() <= s.message_bytes_max, "a message keeps its cap");
        base::ensure(s.sent_bytes - s.acknowledged_bytes <=
                         std::max<std::uint64_t>(config_.stream_window, stream_chunk_max),
                     "a window is kept");
    }
}

}  // namespace tequio::p2p
