// Peers of js-libp2p on loopback, under the orders of a test: reads {id, order, peer, ...}, a line
// of JSON each, answers {id, result} or {id, error}, and writes {event, peer, ...} for what happens
// by itself. Bytes travel as base64. What is asked of a peer, the test answers.
Promise.withResolvers ??= function () {
  let resolve, reject;
  const promise = new this((a, b) => { resolve = a; reject = b; });
  return { promise, resolve, reject };
};
const { createLibp2p } = await import("libp2p");
const { gossipsub } = await import("@chainsafe/libp2p-gossipsub");
const { noise } = await import("@chainsafe/libp2p-noise");
const { yamux } = await import("@chainsafe/libp2p-yamux");
const { generateKeyPair } = await import("@libp2p/crypto/keys");
const { identify } = await import("@libp2p/identify");
const { mplex } = await import("@libp2p/mplex");
const { peerIdFromString } = await import("@libp2p/peer-id");
const { ping } = await import("@libp2p/ping");
const { tcp } = await import("@libp2p/tcp");
const { multiaddr } = await import("@multiformats/multiaddr");
const { default: snappy } = await import("snappyjs");
const { createHash } = await import("node:crypto");
const { createInterface } = await import("node:readline");
const { setTimeout: sleep } = await import("node:timers/promises");

const MUXERS = { yamux, mplex };
const MANY = { maxInboundStreams: 512, maxOutboundStreams: 512 };
// No router without a mesh passes anything on at once: all goes by IHAVE and IWANT.
const LAZY = { D: 0, Dlo: 0, Dhi: 0, Dscore: 0, Dout: 0, floodPublish: false };
const CONTROL = ["ihave", "iwant", "graft", "prune", "idontwant"];
// For what was sent before a reset to be on its way.
const FLUSH_MS = 100;

const nodes = new Map();
const asked = new Map();
let count = 0;
const write = (message) => console.log(JSON.stringify(message));
const decode = (text) => Buffer.from(text, "base64");
const encode = (data) => Buffer.from(data).toString("base64");

// Streams --------------------------------------------------------------------------------------

async function readAll(stream) {
  const parts = [];
  let end = "closed";
  try {
    for await (const part of stream.source) parts.push(part.subarray());
  } catch (error) {
    end = error.name;
  }
  return { body: encode(Buffer.concat(parts)), end };
}

async function hear(peer, protocol, { stream, connection }) {
  const { body, end } = await readAll(stream);
  const id = count++;
  asked.set(id, { stream, connection });
  write({ event: "request", peer, protocol, from: connection.remotePeer.toString(), id, body, end });
}

async function* spoken({ stream, connection }, { pieces, end, pause_ms }) {
  for (const piece of pieces) {
    yield decode(piece);
    if (pause_ms) await sleep(pause_ms);
  }
  if (end === "hang") await new Promise(() => {});
  if (end !== "close") await sleep(FLUSH_MS);
  if (end === "reset") stream.abort(new Error("as the test has it"));
  if (end === "disconnect") connection.abort(new Error("as the test has it"));
}

// Refuses a stream on which a request comes along with the proposal of its protocol.
const strict = (peer, muxer) => (components) => {
  const inner = muxer(components);
  const createStreamMuxer = (init) => {
    const onIncomingStream = (stream) => {
      const source = stream.source;
      stream.source = (async function* () {
        let heard = Buffer.alloc(0);
        for await (const part of source) {
          heard = Buffer.concat([heard, part.subarray()]);
          const second = 1 + heard[0];
          if (!stream.protocol && heard.length > second + 1 + heard[second]) {
            write({ event: "early", peer });
            stream.abort(new Error("a request before its protocol was agreed on"));
            return;
          }
          yield part;
        }
      })();
      init.onIncomingStream(stream);
    };
    return inner.createStreamMuxer({ ...init, onIncomingStream });
  };
  return { protocol: inner.protocol, createStreamMuxer };
};

// What mplex holds against the other end: it disconnects from who gathers a few in a second.
function noting({ rateLimiter }, tell) {
  const consume = rateLimiter?.consume.bind(rateLimiter);
  if (consume) rateLimiter.consume = (fault, points) => (tell(fault), consume(fault, points));
}

// Gossip ---------------------------------------------------------------------------------------

// compute_message_id, altair p2p-interface.
function messageId({ topic, data }) {
  let [domain, content] = [1, data];
  try {
    content = snappy.uncompress(data);
  } catch {
    domain = 0;
  }
  const head = Buffer.alloc(12);
  head.writeUInt32LE(domain, 0);
  head.writeBigUInt64LE(BigInt(Buffer.byteLength(topic)), 4);
  return createHash("sha256").update(head).update(topic).update(content).digest().subarray(0, 20);
}

function router({ lazy, signed }) {
  return gossipsub({
    globalSignaturePolicy: signed ? "StrictSign" : "StrictNoSign",
    msgIdFn: messageId,
    heartbeatInterval: 700,
    allowPublishToZeroTopicPeers: true,
    ignoreDuplicatePublishError: true,
    ...(lazy ? LAZY : {}),
  });
}

// What arrives of control messages, by sender and kind.
function tallied(pubsub) {
  const tally = {};
  const receive = pubsub.handleReceivedRpc.bind(pubsub);
  pubsub.handleReceivedRpc = (from, rpc) => {
    const counts = tally[from] ??= Object.fromEntries(CONTROL.map((kind) => [kind, 0]));
    for (const kind of CONTROL) counts[kind] += rpc.control?.[kind]?.length ?? 0;
    return receive(from, rpc);
  };
  return tally;
}

// Orders ---------------------------------------------------------------------------------------

const ORDERS = {
  async start({ peer, muxers, protocols, refuses_early, lazy, signed }) {
    const node = await createLibp2p({
      privateKey: await generateKeyPair("secp256k1"),
      addresses: { listen: ["/ip4/127.0.0.1/tcp/0"] },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: muxers.map((name) =>
        refuses_early ? strict(peer, MUXERS[name]()) : MUXERS[name]()),
      // It disconnects from who does not answer its pings; here it asks often, and is patient.
      connectionMonitor: { pingInterval: 1000, pingTimeout: { minTimeout: 20000 } },
      services: {
        identify: identify({ agentVersion: "interop/1" }),
        ping: ping({ maxOutboundStreams: 16 }),
        pubsub: router({ lazy, signed }),
      },
    });
    const { pubsub } = node.services;
    nodes.set(peer, { node, tally: tallied(pubsub) });
    for (const protocol of protocols) {
      await node.handle(protocol, (incoming) => hear(peer, protocol, incoming), MANY);
    }
    const tell = (event, about) => write({ event, peer, ...about });
    const connection = ({ detail }) => ({
      remote: detail.remotePeer.toString(), direction: detail.direction, muxer: detail.multiplexer,
    });
    node.addEventListener("connection:open", (event) => {
      noting(event.detail.muxer, (fault) => tell("fault", { fault }));
      tell("connected", connection(event));
    });
    node.addEventListener("connection:close", (event) => tell("disconnected", connection(event)));
    node.addEventListener("peer:identify", ({ detail }) => tell("identified", {
      remote: detail.peerId.toString(), agent: detail.agentVersion, protocols: detail.protocols,
    }));
    pubsub.addEventListener("gossipsub:message", ({ detail: { msg, propagationSource } }) =>
      tell("message", {
        topic: msg.topic, data: encode(msg.data), type: msg.type, from: propagationSource.toString(),
      }));
    return node.getMultiaddrs()[0].toString();
  },

  async dial({ peer, address }) {
    await nodes.get(peer).node.dial(multiaddr(address));
  },

  // Writes what to answer; does not wait for it to be read.
  async answer({ request, answer }) {
    const { stream, connection } = asked.get(request);
    stream.sink(spoken({ stream, connection }, answer)).catch(() => {});
  },

  // With `cut` only so much of the request is sent, and then a reset.
  async ask({ peer, to, protocol, body, optimistic, cut }) {
    const [connection] = nodes.get(peer).node.getConnections(peerIdFromString(to));
    const stream = await connection.newStream(protocol, { negotiateFully: !optimistic, ...MANY });
    if (cut !== null) {
      stream.sink(spoken({ stream }, { pieces: [encode(decode(body).subarray(0, cut))], end: "reset" }))
        .catch(() => {});
      return { body: "", end: "reset by us" };
    }
    const sent = stream.sink(body ? [decode(body)] : []).catch(() => {});
    const answer = await readAll(stream);
    await sent;
    return answer;
  },

  ping: ({ peer, to }) => nodes.get(peer).node.services.ping.ping(peerIdFromString(to)),

  async subscribe({ peer, topic }) {
    nodes.get(peer).node.services.pubsub.subscribe(topic);
  },

  async publish({ peer, topic, data }) {
    const { recipients } = await nodes.get(peer).node.services.pubsub.publish(topic, decode(data));
    return recipients.length;
  },

  async gossip({ peer, topic }) {
    const { node: { services: { pubsub } }, tally } = nodes.get(peer);
    return {
      mesh: pubsub.getMeshPeers(topic),
      subscribers: pubsub.getSubscribers(topic).map(String),
      versions: [...pubsub.streamsOutbound.values()].map((stream) => stream.protocol),
      tally,
    };
  },

  async stop() {
    const ending = [...nodes.values()].map(({ node }) => node.stop());
    nodes.clear();
    asked.clear();
    await Promise.all(ending);
  },

  connections: async ({ peer }) =>
    nodes.get(peer).node.getConnections().map((connection) => connection.remotePeer.toString()),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, order, ...about } = JSON.parse(line);
  ORDERS[order](about).then(
    (result) => write({ id, result: result ?? null }),
    (error) => write({ id, error: `${error.name}: ${error.message}` }),
  );
}
process.exit(0);
