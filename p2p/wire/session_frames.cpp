#include "p2p/wire/session_frames.hpp"

#include <algorithm>

#include "base/ensure.hpp"
#include "p2p/wire/proto_bytes.hpp"
#include "session.pb.h"

namespace tequio::p2p::wire {
namespace {

base::result<hello> read(const proto::hello& in) {
    hello out;
    if (in.versions_size() < 1 || in.versions_size() > static_cast<int>(versions_max)) {
        return bad("a hello names 1 to 16 versions");
    }
    out.versions.assign(in.versions().begin(), in.versions().end());
    if (!std::is_sorted(out.versions.begin(), out.versions.end(), std::less_equal<>())) {
        return bad("a hello's versions ascend");
    }
    if (in.swarm_proofs_size() < 1 || in.swarm_proofs_size() > static_cast<int>(swarm_proofs_max)) {
        return bad("a hello has 1 to 16 swarm proofs");
    }
    for (const auto& proof : in.swarm_proofs()) {
        TEQUIO_TRY(const auto id, base::id_from_bytes<base::digest>(base::as_bytes(proof)));
        out.swarm_proofs.push_back(id);
    }
    TEQUIO_TRY(out.node, base::id_from_bytes<base::node_id>(base::as_bytes(in.node())));
    if (in.session_certificate().size() > 256) return bad("a certificate above its cap");
    out.session_certificate = bytes_of(in.session_certificate());
    if (in.exactness().size() > exactness_max) return bad("an exactness identity above its cap");
    out.exactness = in.exactness();
    if (in.listen_port() > 65535) return bad("a port above 65535");
    out.listen_port = static_cast<std::uint16_t>(in.listen_port());
    return out;
}

struct frame_writer {
    proto::session_frame& out;

    void operator()(const hello& h) const {
        auto& to = *out.mutable_hello();
        for (const auto v : h.versions) to.add_versions(v);
        for (const auto& p : h.swarm_proofs) to.add_swarm_proofs(text_of(p.view()));
        to.set_node(text_of(h.node.view()));
        to.set_session_certificate(text_of(h.session_certificate));
        to.set_exactness(h.exactness);
        to.set_listen_port(h.listen_port);
    }
    void operator()(const auth& a) const {
        out.mutable_auth()->set_signature(text_of(a.signature));
    }
    void operator()(const refusal& r) const {
        out.mutable_refusal()->set_reason(r.reason);
        out.mutable_refusal()->set_detail(r.detail.substr(0, refusal_detail_max));
    }
    void operator()(const ping& p) const { out.mutable_ping()->set_token(p.token); }
    void operator()(const pong& p) const { out.mutable_pong()->set_token(p.token); }
    void operator()(const data& d) const { out.set_message(text_of(d.bytes)); }
};

}  // namespace

base::byte_vector encode(const session_frame& frame) {
    proto::session_frame out;
    std::visit(frame_writer{out}, frame);
    return serialised(out);
}

base::result<session_frame> decode_session_frame(base::byte_view payload) {
    proto::session_frame in;
    if (payload.size() > frame_size_max || !parsed(in, payload)) {
        return bad("not a session frame");
    }
    switch (in.body_case()) {
        case proto::session_frame::kHello: {
            TEQUIO_TRY(auto h, read(in.hello()));
            return session_frame(std::move(h));
        }
        case proto::session_frame::kAuth: {
            TEQUIO_TRY(const auto s,
                       base::signature_from_bytes(base::as_bytes(in.auth().signature())));
            return session_frame(auth{s});
        }
        case proto::session_frame::kRefusal:
            if (in.refusal().detail().size() > refusal_detail_max) return bad("a long refusal");
            return session_frame(refusal{in.refusal().reason(), in.refusal().detail()});
        case proto::session_frame::kPing:
            return session_frame(ping{in.ping().token()});
        case proto::session_frame::kPong:
            return session_frame(pong{in.pong().token()});
        case proto::session_frame::kMessage:
            return session_frame(data{bytes_of(in.message())});
        case proto::session_frame::BODY_NOT_SET:
            break;
    }
    return bad("a session frame of an unknown kind");
}

base::byte_vector framed(base::byte_view payload) {
    base::ensure(!payload.empty() && payload.size() <= frame_size_max, "a frame fits its cap");
    base::byte_vector out;
    out.reserve(payload.size() + 4);
    base::byte_writer w(out);
    w.u32(static_cast<std::uint32_t>(payload.size()));
    w.raw(payload);
    return out;
}

void frame_reader::feed(base::byte_view bytes) {
    if (used_ > 0) {
        held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(used_));
        used_ = 0;
    }
    held_.insert(held_.end(), bytes.begin(), bytes.end());
}

frame_reader::state frame_reader::next(base::byte_vector& out) {
    const base::byte_view rest = base::byte_view(held_).subspan(used_);
    if (rest.size() < 4) return state::need_more;
    const std::size_t size = base::byte_reader(rest).u32();
    if (size == 0) return state::empty_frame;
    if (size > frame_size_max) return state::too_large;
    if (rest.size() < 4 + size) return state::need_more;
    const auto body = rest.subspan(4, size);
    out.assign(body.begin(), body.end());
    used_ += 4 + size;
    return state::frame;
}

}  // namespace tequio::p2p::wire
