#include "p2p/wire/messages.hpp"

#include "network.pb.h"
#include "p2p/network.hpp"
#include "p2p/wire/proto_bytes.hpp"

namespace tequio::p2p::wire {
namespace {

template <class Strings>
base::result<std::vector<base::digest>> read_ids(const Strings& in, std::size_t max) {
    if (static_cast<std::size_t>(in.size()) > max) {
        return bad("more than " + std::to_string(max) + " ids");
    }
    std::vector<base::digest> out;
    out.reserve(static_cast<std::size_t>(in.size()));
    for (const auto& text : in) {
        TEQUIO_TRY(const auto id, base::id_from_bytes<base::digest>(base::as_bytes(text)));
        out.push_back(id);
    }
    return out;
}

base::result<base::blob_ref> read_ref(const std::string& root, std::uint64_t size,
                                      std::uint64_t index) {
    base::blob_ref ref;
    TEQUIO_TRY(ref.root, base::id_from_bytes<base::digest>(base::as_bytes(root)));
    ref.size = size;
    if (size > base::blob_size_max_bytes) return bad("a blob above its cap");
    if (index >= ref.pieces()) return bad("a piece beyond its blob");
    return ref;
}

base::result<message> read(const proto::peer_records& in) {
    if (in.records_size() > static_cast<int>(records_per_message)) return bad("too many records");
    peer_records out;
    for (const auto& r : in.records()) {
        if (r.size() > record_size_max) return bad("a peer record above its cap");
        out.records.push_back(bytes_of(r));
    }
    return message(std::move(out));
}

base::result<message> read(const proto::note& in) {
    if (in.kind() > 255) return bad("a note kind above 255");
    if (in.content().empty() || in.content().size() > note_bytes_max) {
        return bad("a note that is empty or above its cap");
    }
    return message(note{static_cast<std::uint8_t>(in.kind()), bytes_of(in.content())});
}

base::result<message> read(const proto::piece_request& in) {
    TEQUIO_TRY(const auto ref, read_ref(in.root(), in.size(), in.index()));
    return message(piece_request{ref, in.index()});
}

base::result<message> read(const proto::piece_answer& in) {
    TEQUIO_TRY(const auto ref, read_ref(in.root(), in.size(), in.index()));
    if (in.status() < 1 || in.status() > 3) return bad("an unknown piece status");
    piece_answer out{ref, static_cast<piece_status>(in.status()), in.index(), {}, {}};
    if (out.status != piece_status::found) {
        if (!in.content().empty() || in.path_size() != 0) return bad("content without a piece");
        return message(std::move(out));
    }
    if (in.content().size() != ref.piece_size(in.index())) return bad("a piece of wrong length");
    TEQUIO_TRY(out.path, read_ids(in.path(), path_length_max));
    out.bytes = bytes_of(in.content());
    return message(std::move(out));
}

base::result<message> read(const proto::app_message& in) {
    if (in.topic() > 255) return bad("a topic above 255");
    if (in.content().size() > app_bytes_max) return bad("an application message above its cap");
    return message(app{static_cast<std::uint8_t>(in.topic()), bytes_of(in.content())});
}

base::result<message> read(const proto::stream_open& in) {
    stream_open out;
    TEQUIO_TRY(out.name, base::id_from_bytes<base::digest>(base::as_bytes(in.name())));
    if (in.epoch() == 0) return bad("a stream without an epoch");
    out.epoch = in.epoch();
    out.received = in.received();
    out.answer = in.answer();
    return message(out);
}

base::result<message> read(const proto::stream_chunk& in) {
    stream_chunk out;
    TEQUIO_TRY(out.name, base::id_from_bytes<base::digest>(base::as_bytes(in.name())));
    const auto size = in.content().size();
    if (in.size() > stream_message_max || size > stream_chunk_max || in.offset() > in.size() ||
        size > in.size() - in.offset() || (size == 0 && in.size() != 0)) {
        return bad("a stream's part beyond its message, or above its cap");
    }
    out.epoch = in.epoch();
    out.number = in.number();
    out.size = in.size();
    out.offset = in.offset();
    out.bytes = bytes_of(in.content());
    return message(std::move(out));
}

base::result<message> read(const proto::stream_ack& in) {
    stream_ack out;
    TEQUIO_TRY(out.name, base::id_from_bytes<base::digest>(base::as_bytes(in.name())));
    if (in.taken() > in.received()) return bad("a stream of which more was taken than came");
    out.epoch = in.epoch();
    out.bytes = in.bytes();
    out.received = in.received();
    out.taken = in.taken();
    return message(out);
}

base::result<message> read(const proto::stream_close& in) {
    stream_close out;
    TEQUIO_TRY(out.name, base::id_from_bytes<base::digest>(base::as_bytes(in.name())));
    if (in.reason().size() > stream_reason_max) return bad("a reason above its cap");
    out.reason = in.reason();
    return message(std::move(out));
}

struct message_writer {
    proto::network_message& out;

    void operator()(const peer_records& m) const {
        auto& to = *out.mutable_peers();
        for (const auto& r : m.records) to.add_records(text_of(r));
    }
    void operator()(const note_offer& m) const {
        auto& to = *out.mutable_offer();
        for (const auto& id : m.ids) to.add_ids(text_of(id.view()));
        to.set_complete(m.complete);
    }
    void operator()(const note_request& m) const {
        auto& to = *out.mutable_request();
        for (const auto& id : m.ids) to.add_ids(text_of(id.view()));
    }
    void operator()(const note& m) const {
        out.mutable_note()->set_kind(m.kind);
        out.mutable_note()->set_content(text_of(m.bytes));
    }
    void operator()(const note_summary& m) const {
        out.mutable_summary()->set_digest(text_of(m.digest.view()));
    }
    void operator()(const piece_request& m) const {
        auto& to = *out.mutable_piece_request();
        to.set_root(text_of(m.ref.root.view()));
        to.set_size(m.ref.size);
        to.set_index(m.index);
    }
    void operator()(const piece_answer& m) const {
        auto& to = *out.mutable_piece_answer();
        to.set_root(text_of(m.ref.root.view()));
        to.set_size(m.ref.size);
        to.set_index(m.index);
        to.set_status(static_cast<std::uint32_t>(m.status));
        to.set_content(text_of(m.bytes));
        for (const auto& d : m.path) to.add_path(text_of(d.view()));
    }
    void operator()(const app& m) const {
        out.mutable_app()->set_topic(m.topic);
        out.mutable_app()->set_content(text_of(m.bytes));
    }
    void operator()(const stream_open& m) const {
        auto& to = *out.mutable_stream_open();
        to.set_name(text_of(m.name.view()));
        to.set_epoch(m.epoch);
        to.set_received(m.received);
        to.set_answer(m.answer);
    }
    void operator()(const stream_chunk& m) const {
        auto& to = *out.mutable_stream_chunk();
        to.set_name(text_of(m.name.view()));
        to.set_epoch(m.epoch);
        to.set_number(m.number);
        to.set_size(m.size);
        to.set_offset(m.offset);
        to.set_content(text_of(m.bytes));
    }
    void operator()(const stream_ack& m) const {
        auto& to = *out.mutable_stream_ack();
        to.set_name(text_of(m.name.view()));
        to.set_epoch(m.epoch);
        to.set_bytes(m.bytes);
        to.set_received(m.received);
        to.set_taken(m.taken);
    }
    void operator()(const stream_close& m) const {
        out.mutable_stream_close()->set_name(text_of(m.name.view()));
        out.mutable_stream_close()->set_reason(m.reason);
    }
};

}  // namespace

base::byte_vector encode(const message& m) {
    proto::network_message out;
    std::visit(message_writer{out}, m);
    return serialised(out);
}

base::result<message> decode_message(base::byte_view bytes) {
    proto::network_message in;
    if (!parsed(in, bytes)) return bad("not a network message");
    switch (in.body_case()) {
        case proto::network_message::kPeers:
            return read(in.peers());
        case proto::network_message::kOffer: {
            TEQUIO_TRY(auto ids, read_ids(in.offer().ids(), ids_per_offer));
            return message(note_offer{std::move(ids), in.offer().complete()});
        }
        case proto::network_message::kRequest: {
            TEQUIO_TRY(auto ids, read_ids(in.request().ids(), ids_per_request));
            return message(note_request{std::move(ids)});
        }
        case proto::network_message::kNote:
            return read(in.note());
        case proto::network_message::kSummary: {
            TEQUIO_TRY(const auto id,
                       base::id_from_bytes<base::digest>(base::as_bytes(in.summary().digest())));
            return message(note_summary{id});
        }
        case proto::network_message::kPieceRequest:
            return read(in.piece_request());
        case proto::network_message::kPieceAnswer:
            return read(in.piece_answer());
        case proto::network_message::kApp:
            return read(in.app());
        case proto::network_message::kStreamOpen:
            return read(in.stream_open());
        case proto::network_message::kStreamChunk:
            return read(in.stream_chunk());
        case proto::network_message::kStreamAck:
            return read(in.stream_ack());
        case proto::network_message::kStreamClose:
            return read(in.stream_close());
        case proto::network_message::BODY_NOT_SET:
            break;
    }
    return bad("a network message of an unknown kind");
}

}  // namespace tequio::p2p::wire
